//! A GGUF file of the tensors of another: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::source::ggml::GgmlType;
use crate::source::gguf::{GgufFile, GgufValue};
use crate::weights::Weights;
use crate::weights::elements::block_name;
use crate::weights::save::outgoing::Outgoing;
use crate::weights::save::written::{Progress, Written, WrittenForm, bytes, in_place_of};

const ALIGNMENT: usize = 32;

/// A file of the tensors of another, with its metadata.
pub(super) fn save(
    file: &GgufFile,
    weights: &Weights,
    written: &BTreeMap<&str, Written<'_>>,
    to: &Path,
    progress: Progress<'_>,
) -> Result<()> {
    // What the file was quantized to, how it was split and aligned, is no longer true.
    let stale = ["general.alignment", "general.file_type", "general.quantization_version"];
    let metadata = file.metadata().iter();
    let kept = metadata
        .filter(|(key, _)| !stale.contains(&key.as_str()) && !key.starts_with("split."))
        .map(|(key, value)| (key.clone(), value.clone()));
    let as_stored = WrittenForm::AsStored;
    let mut tensors = Vec::with_capacity(file.tensors().len());
    for (name, tensor) in file.tensors() {
        let unused = Written { shape: &tensor.shape, transposed: false, form: as_stored };
        let written = written.get(name.as_str()).copied().unwrap_or(unused);
        let kind = match written.form {
            WrittenForm::Blocks(kind) => GgmlType::named(block_name(kind)),
            WrittenForm::AsStored | WrittenForm::Dense(_) => {
                GgmlType::from_number(tensor.ggml_type)
            }
        };
        let kind = kind.ok_or_else(|| {
            let reason = format!("tensor {name:?} is of type {}, which is none", tensor.ggml_type);
            Error::malformed(file.path(), reason)
        })?;
        tensors.push(Outgoing {
            name: name.clone(),
            shape: tensor.shape.clone(),
            kind,
            bytes: Box::new(move || bytes(weights, name, &written)),
        });
    }
    write(kept.collect(), [&[], &tensors], |_| Ok(()), to, progress)
}

/// Writes a file, one tensor after the other; `check` looks at it when it holds the `first` of them.
pub(crate) fn write(
    metadata: Vec<(String, GgufValue)>,
    [first, rest]: [&[Outgoing<'_>]; 2],
    check: impl FnOnce(&GgufFile) -> Result<()>,
    to: &Path,
    progress: Progress<'_>,
) -> Result<()> {
    in_place_of(to, |path| {
        let io = |error| Error::write(to)(error);
        let (header, length) = header(metadata, first.iter().chain(rest))?;
        let mut out = BufWriter::new(File::create(path).map_err(io)?);
        out.write_all(&header).map_err(io)?;
        first.iter().try_for_each(|tensor| write_tensor(&mut out, tensor, to))?;
        out.flush().map_err(io)?;
        out.get_ref().set_len((header.len() + length) as u64).map_err(io)?;
        check(&GgufFile::open(&[path.to_owned()])?)?;
        rest.iter().try_for_each(|tensor| {
            progress(&tensor.name);
            write_tensor(&mut out, tensor, to)
        })?;
        out.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)
    })
}

fn write_tensor(out: &mut impl Write, tensor: &Outgoing<'_>, to: &Path) -> Result<()> {
    let bytes = (tensor.bytes)()?;
    if Some(bytes.len()) != tensor.kind.length(&tensor.shape) {
        let (name, shape) = (&tensor.name, &tensor.shape);
        let reason = format!("{name:?} of shape {shape:?} became {} bytes", bytes.len());
        return Err(Error::unsupported(reason));
    }
    let padding = bytes.len().next_multiple_of(ALIGNMENT) - bytes.len();
    let written = out.write_all(&bytes).and_then(|()| out.write_all(&[0; ALIGNMENT][..padding]));
    written.map_err(Error::write(to))
}

/// Everything before the tensors, padded, and how many bytes follow.
fn header<'a>(
    mut metadata: Vec<(String, GgufValue)>,
    tensors: impl Iterator<Item = &'a Outgoing<'a>> + Clone,
) -> Result<(Vec<u8>, usize)> {
    metadata.push(("general.quantization_version".to_owned(), GgufValue::UInt(2)));
    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.clone().count() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in &metadata {
        string(&mut out, key);
        out.extend(type_of(value).to_le_bytes());
        write_value(&mut out, value, type_of(value));
    }
    let mut offset = 0_usize;
    for Outgoing { name, shape, kind, .. } in tensors {
        let bytes = kind.length(shape).ok_or_else(|| {
            let reason =
                format!("{name:?} of shape {shape:?} is not whole blocks of {}", kind.name);
            Error::unsupported(reason)
        })?;
        string(&mut out, name);
        out.extend((shape.len() as u32).to_le_bytes());
        for &size in shape.iter().rev() {
            out.extend((size as u64).to_le_bytes());
        }
        out.extend(kind.number.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += bytes.next_multiple_of(ALIGNMENT);
    }
    out.resize(out.len().next_multiple_of(ALIGNMENT), 0);
    Ok((out, offset))
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
        GgufValue::Array(_) | GgufValue::Numbers(_) => 9,
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
        GgufValue::Numbers(numbers) => {
            let (kind, bytes) = numbers.as_stored();
            out.extend(kind.to_le_bytes());
            out.extend((numbers.len() as u64).to_le_bytes());
            out.extend(bytes);
        }
        GgufValue::Array(values) => {
            // One type for all, the widest that one of them needs.
            let kind = values.iter().map(type_of).max().unwrap_or(4);
            out.extend(kind.to_le_bytes());
            out.extend((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| write_value(out, value, kind));
        }
    }
}
