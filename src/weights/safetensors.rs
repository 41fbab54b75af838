//! safetensors: <https://huggingface.co/docs/safetensors>.

use std::collections::{BTreeMap, HashMap};

use candle_core::quantized::GgmlDType;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::source::mapped::MappedFile;
use crate::weights::elements::{Elements, kind_of_blocks};
use crate::weights::store::{Directory, Entry, Format, Order};

pub(super) const FORMAT: Format = Format { stem: "model", extension: "safetensors", read };

fn read(file: &MappedFile, number: usize) -> Result<Directory> {
    let (header, data) = header(file.bytes()).map_err(|e| Error::malformed(file.path(), e))?;
    // The crate checks that the tensors lie one after the other and that each is as long as its
    // shape says.
    let metadata: Metadata = serde_json::from_slice(header)
        .map_err(|error| Error::malformed(file.path(), format!("header: {error}")))?;
    let size = file.bytes().len() - data;
    if metadata.data_len() != size {
        let reason = format!(
            "is truncated or lies: its header promises {} bytes of tensors and {size} are there; \
             download it again",
            metadata.data_len()
        );
        return Err(Error::malformed(file.path(), reason));
    }
    let mut blocks = blocks_of(metadata.metadata().as_ref())
        .map_err(|reason| Error::malformed(file.path(), reason))?;
    let entry = |(name, info): (String, &TensorInfo)| {
        let (start, end) = info.data_offsets;
        let range = data + start..data + end;
        if let Some((shape, kind)) = blocks.remove(&name) {
            let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
            let fits = count.is_some_and(|count| {
                count / kind.block_size() * kind.type_size() == range.len()
                    && shape.last().is_some_and(|row| row.is_multiple_of(kind.block_size()))
            });
            if !fits {
                let reason = format!("tensor {name:?} is not {shape:?} in blocks of {kind:?}");
                return Err(Error::malformed(file.path(), reason));
            }
            return Ok((
                name,
                Entry {
                    file: number,
                    range,
                    shape,
                    elements: Elements::Blocks(kind),
                    order: Order::Rows,
                },
            ));
        }
        let elements = match info.dtype {
            Dtype::F64 => Elements::F64,
            Dtype::F32 => Elements::F32,
            Dtype::F16 => Elements::F16,
            Dtype::BF16 => Elements::BF16,
            Dtype::F8_E4M3 => Elements::F8E4M3,
            other => Elements::Other(other.to_string()),
        };
        Ok((
            name,
            Entry { file: number, range, shape: info.shape.clone(), elements, order: Order::Rows },
        ))
    };
    metadata.tensors().into_iter().map(entry).collect()
}

/// A text in the metadata of a file, where it is one of safetensors and has it.
pub(super) fn metadata(file: &MappedFile, key: &str) -> Option<String> {
    let (header, _) = header(file.bytes()).ok()?;
    let metadata: Metadata = serde_json::from_slice(header).ok()?;
    metadata.metadata().as_ref()?.get(key).cloned()
}

/// The header's text, and where the tensors begin.
fn header(bytes: &[u8]) -> std::result::Result<(&[u8], usize), String> {
    let (length, rest) = bytes.split_first_chunk().ok_or(
        "is too short for a safetensors file: it has less than 8 bytes; download it again",
    )?;
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    let header = header.ok_or_else(|| {
        let size = bytes.len();
        format!(
            "is truncated or no safetensors file: a header of {length} bytes in {size}; download it again"
        )
    })?;
    Ok((header, LENGTH + header.len()))
}

const LENGTH: usize = 8;

/// In the metadata of `model.safetensors`: which tensors are blocks, in JSON.
pub(super) const KEY: &str = "sconce.blocks";

/// What a tensor of bytes stands for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Blocks {
    pub(super) r#type: String,
    pub(super) shape: Vec<usize>,
}

/// The shape and type of each tensor of blocks, from the metadata of a safetensors file.
fn blocks_of(
    metadata: Option<&HashMap<String, String>>,
) -> std::result::Result<BTreeMap<String, (Vec<usize>, GgmlDType)>, String> {
    let Some(text) = metadata.and_then(|metadata| metadata.get(KEY)) else {
        return Ok(BTreeMap::new());
    };
    let blocks: BTreeMap<String, Blocks> =
        serde_json::from_str(text).map_err(|error| format!("{KEY}: {error}"))?;
    let known = |(name, Blocks { r#type, shape })| match kind_of_blocks(&r#type) {
        Some(kind) => Ok((name, (shape, kind))),
        None => Err(format!("{KEY}: {name:?} is of the unknown type {:?}", r#type)),
    };
    blocks.into_iter().map(known).collect()
}
