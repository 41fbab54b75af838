//! `pytorch_model.bin`: what `torch.save` writes, as a zip archive or, before PyTorch 1.6, as
//! pickles followed by the storages.

use std::collections::HashMap;
use std::ops::Range;
#[cfg(feature = "audio")]
use std::path::Path;
#[cfg(feature = "audio")]
use std::sync::Arc;

#[cfg(feature = "audio")]
use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::source::mapped::MappedFile;
use crate::source::pickle::{Parsed, PickledTensor, unpickle};
use crate::source::torch_archive::TorchArchive;
#[cfg(feature = "audio")]
use crate::source::whisper_cpp::WhisperPtFile;
#[cfg(feature = "audio")]
use crate::weights::convert;
use crate::weights::elements::Elements;
#[cfg(feature = "audio")]
use crate::weights::store::Store;
use crate::weights::store::{Directory, Entry, Format, Order};

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
    let entries = if TorchArchive::is_one(bytes) {
        archive(bytes, number)
    } else if bytes.starts_with(LEGACY_MAGIC) {
        legacy(bytes, number)
    } else {
        Err("is not a PyTorch checkpoint".to_owned())
    };
    entries.map_err(|reason| Error::malformed(file.path(), reason))
}

fn archive(bytes: &[u8], number: usize) -> Parsed<Directory> {
    let archive = TorchArchive::open(bytes)?;
    let (unpickled, _) = unpickle(&bytes[archive.pickle.clone()])?;
    entries(unpickled.tensors()?, |key| archive.storage(key), number)
}

/// The tensors of one of OpenAI's Whisper files, which lie beside the sizes of the model.
#[cfg(feature = "audio")]
pub(super) fn open_whisper(file: &WhisperPtFile) -> Result<Store> {
    let read = || -> Parsed<(Directory, Vec<u8>)> {
        let bytes = file.mapped().bytes();
        let archive = TorchArchive::open(bytes)?;
        let (unpickled, _) = unpickle(&bytes[archive.pickle.clone()])?;
        let tensors = unpickled.tensors_in(WhisperPtFile::TENSORS)?;
        let (plain, turned): (Vec<_>, _) =
            tensors.into_iter().partition(|(_, tensor)| tensor.contiguous);
        let mut directory = entries(plain, |key| archive.storage(key), 0)?;
        // Some of OpenAI's are transposed: these are put in order beside the file.
        let mut moved = Vec::new();
        for (name, tensor) in turned {
            let whole = archive.storage(tensor.storage.key).ok_or("lacks a storage")?;
            let elements = elements(tensor.storage.class);
            let start = moved.len();
            if let Some((_, size)) = elements.unit() {
                in_order(&bytes[whole], &tensor, size, &mut moved)
                    .ok_or_else(|| format!("tensor {name:?} ends beyond its storage"))?;
            }
            let range = start..moved.len();
            directory.push((
                name,
                Entry { file: 1, range, shape: tensor.shape, elements, order: Order::Rows },
            ));
        }
        Ok((directory, moved))
    };
    let (tensors, moved) = read().map_err(|reason| Error::malformed(file.path(), reason))?;
    let mut files = vec![file.mapped().clone()];
    if !moved.is_empty() {
        files.push(Arc::new(MappedFile::open(&file.put("in_order.bin", moved)?)?));
    }
    Ok(Store::of_files(file.path().to_owned(), files, tensors.into_iter().collect()))
}

/// Appends the elements of a tensor, of `size` bytes each, in the order of its shape. `None` where they are not
/// all in the storage, or are more than it has.
#[cfg(feature = "audio")]
fn in_order(
    storage: &[u8],
    tensor: &PickledTensor<'_>,
    size: usize,
    moved: &mut Vec<u8>,
) -> Option<()> {
    let PickledTensor { offset, shape, strides, .. } = tensor;
    let count = shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length))?;
    if count.checked_mul(size)? > storage.len() || shape.len() != strides.len() {
        return None;
    }
    let mut index = vec![0_usize; shape.len()];
    for _ in 0..count {
        let mut steps = index.iter().zip(strides);
        let place = steps.try_fold(*offset, |place, (index, stride)| {
            place.checked_add(index.checked_mul(*stride)?)
        })?;
        let start = place.checked_mul(size)?;
        moved.extend_from_slice(storage.get(start..start.checked_add(size)?)?);
        for (index, &length) in index.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < length {
                break;
            }
            *index = 0;
        }
    }
    Some(())
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
        .map(|storage| (storage.key, storage_size(&elements(storage.class))))
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
    entries(tensors.tensors()?, |key| storages.get(key).cloned(), number)
}

fn entries(
    tensors: Vec<(String, PickledTensor<'_>)>,
    storage: impl Fn(&str) -> Option<Range<usize>>,
    number: usize,
) -> Parsed<Directory> {
    let entry = |(name, tensor): (String, PickledTensor<'_>)| {
        let PickledTensor { storage: origin, offset, shape, contiguous, .. } = tensor;
        let whole = storage(origin.key)
            .ok_or_else(|| format!("lacks the storage {:?} of tensor {name:?}", origin.key))?;
        let elements = elements(origin.class);
        let (elements, range) = match elements.unit() {
            None => (elements, 0..0),
            Some(_) if !contiguous => {
                let elements = format!("{}, not contiguous", elements.name());
                (Elements::Other(elements), 0..0)
            }
            Some((_, size)) => {
                let range = within(&whole, offset, &shape, size).ok_or_else(|| {
                    format!("tensor {name:?} {shape:?} ends beyond its storage {:?}", origin.key)
                })?;
                (elements, range)
            }
        };
        Ok((name, Entry { file: number, range, shape, elements, order: Order::Rows }))
    };
    tensors.into_iter().map(entry).collect()
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

/// What a storage of a class of `torch` holds.
fn elements(class: &str) -> Elements {
    match class {
        "FloatStorage" => Elements::F32,
        "HalfStorage" => Elements::F16,
        "BFloat16Storage" => Elements::BF16,
        "DoubleStorage" => Elements::F64,
        other => Elements::Other(other.to_owned()),
    }
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

/// The pickle of `0x1950a86a20f9469cfc6c`.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
const LENGTH: usize = 8;
