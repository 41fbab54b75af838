//! A GGUF file of the tensors of another: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::quantized::GgmlDType;

use crate::error::{Error, Result};
use crate::source::ggml::GgmlType;
use crate::source::gguf::{GgufFile, GgufValue};
use crate::weights::elements::block_name;
use crate::weights::save::{bytes, in_place_of, length};
use crate::weights::store::Store;

const ALIGNMENT: usize = 32;

pub(super) fn save(
    file: &GgufFile,
    store: &Store,
    blocks: &BTreeMap<String, Option<GgmlDType>>,
    to: &Path,
) -> Result<()> {
    in_place_of(to, |path| {
        let io = |error| Error::write(to)(error);
        let mut out = BufWriter::new(File::create(path).map_err(io)?);
        out.write_all(&header(file, blocks)?).map_err(io)?;
        for name in file.tensors().keys() {
            let kind = blocks.get(name).copied().flatten();
            let bytes = bytes(store, name, kind)?;
            out.write_all(&bytes).map_err(io)?;
            let padding = bytes.len().next_multiple_of(ALIGNMENT) - bytes.len();
            out.write_all(&vec![0; padding]).map_err(io)?;
        }
        out.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)
    })
}

/// Everything before the tensors, padded.
fn header(file: &GgufFile, blocks: &BTreeMap<String, Option<GgmlDType>>) -> Result<Vec<u8>> {
    let mut metadata: Vec<_> = file.metadata().iter().collect();
    // What the file was quantized to, how it was split and aligned, is no longer true.
    let stale = ["general.alignment", "general.file_type", "general.quantization_version"];
    metadata.retain(|(key, _)| !stale.contains(&key.as_str()) && !key.starts_with("split."));
    let version = ("general.quantization_version".to_owned(), GgufValue::UInt(2));
    metadata.push((&version.0, &version.1));

    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((file.tensors().len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        string(&mut out, key);
        out.extend(type_of(value).to_le_bytes());
        write_value(&mut out, value, type_of(value));
    }
    let mut offset = 0_usize;
    for (name, tensor) in file.tensors() {
        let unknown = || {
            let reason = format!("tensor {name:?} is of type {}, which is none", tensor.ggml_type);
            Error::malformed(file.path(), reason)
        };
        let (number, bytes) = match blocks.get(name).copied().flatten() {
            Some(kind) => {
                let number = GgmlType::named(block_name(kind)).ok_or_else(unknown)?.number;
                (number, length(kind, &tensor.shape))
            }
            None => (tensor.ggml_type, file.bytes(name).ok_or_else(unknown)?.len()),
        };
        string(&mut out, name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        for &size in tensor.shape.iter().rev() {
            out.extend((size as u64).to_le_bytes());
        }
        out.extend(number.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += bytes.next_multiple_of(ALIGNMENT);
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    Ok(out)
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// The number of the type that a value is written as: of integers the 32-bit one where it is large
/// enough, which is what readers expect.
fn type_of(value: &GgufValue) -> u32 {
    match value {
        GgufValue::UInt(value) if u32::try_from(*value).is_ok() => 4,
        GgufValue::Int(value) if i32::try_from(*value).is_ok() => 5,
        GgufValue::Float(value) if f64::from(*value as f32) == *value || value.is_nan() => 6,
        GgufValue::Bool(_) => 7,
        GgufValue::String(_) => 8,
        GgufValue::Array(_) => 9,
        GgufValue::UInt(_) => 10,
        GgufValue::Int(_) => 11,
        GgufValue::Float(_) => 12,
    }
}

fn write_value(out: &mut Vec<u8>, value: &GgufValue, as_type: u32) {
    match value {
        GgufValue::UInt(value) if as_type == 4 => out.extend((*value as u32).to_le_bytes()),
        GgufValue::Int(value) if as_type == 5 => out.extend((*value as i32).to_le_bytes()),
        GgufValue::Float(value) if as_type == 6 => out.extend((*value as f32).to_le_bytes()),
        GgufValue::UInt(value) => out.extend(value.to_le_bytes()),
        GgufValue::Int(value) => out.extend(value.to_le_bytes()),
        GgufValue::Float(value) => out.extend(value.to_le_bytes()),
        GgufValue::Bool(value) => out.push(u8::from(*value)),
        GgufValue::String(text) => string(out, text),
        GgufValue::Array(values) => {
            // One type for all, the widest that one of them needs.
            let kind = values.iter().map(type_of).max().unwrap_or(4);
            out.extend(kind.to_le_bytes());
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| write_value(out, value, kind));
        }
    }
}
