//! `pytorch_model.bin`: what `torch.save` writes, as a zip archive or, before PyTorch 1.6, as
//! pickles followed by the storages.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;
#[cfg(feature = "audio")]
use std::path::Path;
#[cfg(feature = "audio")]
use std::sync::Arc;

#[cfg(feature = "audio")]
use candle_core::{DType, Device, Tensor};
use zip::{CompressionMethod, ZipArchive};

use crate::error::{Error, Result};
use crate::source::mapped::MappedFile;
#[cfg(feature = "audio")]
use crate::weights::convert;
use crate::weights::elements::Elements;
use crate::weights::pickle::{Parsed, PickledTensor, Unpickled, unpickle};
#[cfg(feature = "audio")]
use crate::weights::store::Store;
use crate::weights::store::{Directory, Entry, Format};

/// TorchScript: the same archive, with the program beside it, and objects for modules.
pub(super) const SCRIPT: Format = Format { stem: "model", extension: "jit", read };

/// The same under the name that most people give it, where a file is asked for by name.
pub(super) const PLAIN: Format = Format { stem: "model", extension: "pth", read };

pub(super) const FORMAT: Format = Format { stem: "pytorch_model", extension: "bin", read };

/// The only tensor in a file of `torch.save`, in f32 on the CPU: a voice.
#[cfg(feature = "audio")]
pub(crate) fn saved_tensor(path: &Path) -> Result<Tensor> {
    let file = Arc::new(MappedFile::open(path)?);
    let entries = read(&file, 0)?;
    let store = Store::of_files(path.to_owned(), vec![file], entries.into_iter().collect());
    let mut names = store.tensors.keys();
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(Error::malformed(path, "holds other than one tensor"));
    };
    match store.tensor(name) {
        Some(tensor) if matches!(tensor.elements, Elements::Other(_)) => Err(tensor.unreadable()),
        Some(tensor) => convert::dense(&tensor, DType::F32, 0.0, &Device::Cpu),
        None => Err(Error::malformed(path, "holds no tensor")),
    }
}

fn read(file: &MappedFile, number: usize) -> Result<Directory> {
    let bytes = file.bytes();
    let entries = if bytes.starts_with(ZIP_MAGIC) {
        archive(bytes, number)
    } else if bytes.starts_with(LEGACY_MAGIC) {
        legacy(bytes, number)
    } else {
        Err("is not a PyTorch checkpoint".to_owned())
    };
    entries.map_err(|reason| Error::malformed(file.path(), reason))
}

fn archive(bytes: &[u8], number: usize) -> Parsed<Directory> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| format!("{error}; if the file was cut off, download it again"))?;
    let mut members = HashMap::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(|error| error.to_string())?;
        if member.compression() != CompressionMethod::Stored {
            continue;
        }
        let range = member
            .data_start()
            .and_then(|start| usize::try_from(start).ok())
            .and_then(|start| Some(start..start.checked_add(member.size().try_into().ok()?)?))
            .filter(|range| range.end <= bytes.len())
            .ok_or(
                "is truncated: a member of its archive ends beyond the file; download it again",
            )?;
        members.insert(member.name().map_err(|error| error.to_string())?.into_owned(), range);
    }
    let (folder, pickle) = members
        .iter()
        .find_map(|(name, range)| Some((name.strip_suffix("data.pkl")?, range.clone())))
        .ok_or("holds no uncompressed data.pkl")?;
    if members
        .get(&format!("{folder}byteorder"))
        .is_some_and(|order| &bytes[order.clone()] == b"big")
    {
        return Err("was written by a big-endian machine".to_owned());
    }
    let (unpickled, _) = unpickle(&bytes[pickle])?;
    let storage = |key: &str| members.get(&format!("{folder}data/{key}")).cloned();
    entries(&unpickled, storage, number)
}

/// Five pickles (a magic number, a version, facts about the machine, the tensors, the order of the
/// storages), then for each storage its length in elements and its bytes.
fn legacy(bytes: &[u8], number: usize) -> Parsed<Directory> {
    let mut position = 0;
    let mut next = || -> Parsed<_> {
        let (unpickled, length) = unpickle(&bytes[position..])?;
        position += length;
        Ok(unpickled)
    };
    for _ in 0..3 {
        next()?;
    }
    let (tensors, keys) = (next()?, next()?);
    let sizes: HashMap<_, _> = tensors
        .storages()
        .iter()
        .map(|storage| (storage.key, storage_size(&storage.elements)))
        .collect();
    let mut storages = HashMap::new();
    for key in keys.texts()? {
        let size = sizes.get(key).copied().flatten().ok_or_else(|| {
            format!("holds the storage {key:?} of unknown size; convert it to safetensors")
        })?;
        let start = position + LENGTH;
        let range = bytes
            .get(position..start)
            .and_then(|raw| raw.try_into().ok())
            .and_then(|raw| usize::try_from(i64::from_le_bytes(raw)).ok())
            .and_then(|elements| start.checked_add(elements.checked_mul(size)?))
            .filter(|&end| end <= bytes.len())
            .map(|end| start..end)
            .ok_or_else(|| {
                format!("is truncated: the storage {key:?} ends beyond the file; download it again")
            })?;
        position = range.end;
        storages.insert(key, range);
    }
    entries(&tensors, |key| storages.get(key).cloned(), number)
}

fn entries(
    unpickled: &Unpickled<'_>,
    storage: impl Fn(&str) -> Option<Range<usize>>,
    number: usize,
) -> Parsed<Directory> {
    let entry = |(name, tensor): (String, PickledTensor<'_>)| {
        let PickledTensor { storage: origin, offset, shape, contiguous } = tensor;
        let whole = storage(origin.key)
            .ok_or_else(|| format!("lacks the storage {:?} of tensor {name:?}", origin.key))?;
        let (elements, range) = match origin.elements.unit() {
            None => (origin.elements, 0..0),
            Some(_) if !contiguous => {
                let elements = format!("{}, not contiguous", origin.elements.name());
                (Elements::Other(elements), 0..0)
            }
            Some((_, size)) => {
                let range = within(&whole, offset, &shape, size).ok_or_else(|| {
                    format!("tensor {name:?} {shape:?} ends beyond its storage {:?}", origin.key)
                })?;
                (origin.elements, range)
            }
        };
        Ok((name, Entry { file: number, range, shape, elements }))
    };
    unpickled.tensors()?.into_iter().map(entry).collect()
}

fn within(
    whole: &Range<usize>,
    offset: usize,
    shape: &[usize],
    size: usize,
) -> Option<Range<usize>> {
    let elements =
        shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length))?;
    let start = whole.start.checked_add(offset.checked_mul(size)?)?;
    let end = start.checked_add(elements.checked_mul(size)?)?;
    (end <= whole.end).then_some(start..end)
}

/// Bytes of an element, also of those that are skipped.
fn storage_size(elements: &Elements) -> Option<usize> {
    match elements {
        Elements::Other(class) => Some(match class.as_str() {
            "BoolStorage" | "ByteStorage" | "CharStorage" => 1,
            "ShortStorage" => 2,
            "IntStorage" => 4,
            "LongStorage" => 8,
            _ => return None,
        }),
        known => known.unit().map(|(_, size)| size),
    }
}

const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// The pickle of `0x1950a86a20f9469cfc6c`.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const LENGTH: usize = 8;
