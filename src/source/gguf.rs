//! The header of a GGUF file: metadata and the directory of tensors.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little
//! endian. Nothing is allocated on the file's word: every count is checked against the bytes that
//! are really there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::source::ggml::GgmlType;
use crate::source::mapped::MappedFile;

/// A GGUF file, memory-mapped, or all the parts of a split one.
#[derive(Debug, Clone)]
pub struct GgufFile {
    parts: Vec<Arc<MappedFile>>,
    metadata: BTreeMap<String, GgufValue>,
    tensors: BTreeMap<String, GgufTensor>,
}

/// One tensor of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Rows first, as in PyTorch (the file stores the reverse order).
    pub shape: Vec<usize>,
    /// ggml's number for the element type, `ggml_type` in `ggml.h`.
    pub ggml_type: u32,
    part: usize,
    /// The bytes of the part's file; empty where the element type is unknown.
    range: Range<usize>,
}

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum GgufValue {
    /// Values of one type.
    Array(Vec<Self>),
    /// A boolean.
    Bool(bool),
    /// Either float type.
    Float(f64),
    /// Any signed integer type.
    Int(i64),
    /// Text.
    String(String),
    /// Any unsigned integer type.
    UInt(u64),
}

impl GgufFile {
    /// Maps the parts of one GGUF file, in order, and reads their headers.
    ///
    /// # Errors
    ///
    /// When a part cannot be read, is no GGUF file, is truncated, or its header contradicts itself.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut file = Self {
            parts: Vec::with_capacity(paths.len()),
            metadata: BTreeMap::new(),
            tensors: BTreeMap::new(),
        };
        for path in paths {
            file.add_part(path)?;
        }
        let Some(first) = file.parts.first() else {
            return Err(Error::input("a GGUF file without parts"));
        };
        match file.integer("split.count") {
            Some(count) if count > 1 && count != file.parts.len() as u64 => {
                let reason = format!("is one of {count} parts of a split file; it needs them all");
                Err(Error::malformed(first.path(), reason))
            }
            _ => Ok(file),
        }
    }

    /// The file, or the first of its parts.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.parts[0].path()
    }

    /// All metadata by key; of a split file, the first part's.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, GgufValue> {
        &self.metadata
    }

    /// All tensors by name.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, GgufTensor> {
        &self.tensors
    }

    /// The bytes of a tensor as they lie in the file: rows one after the other, each of whole
    /// blocks. `None` where there is no such tensor or its element type is unknown.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        let tensor = self.tensors.get(name)?;
        GgmlType::from_number(tensor.ggml_type)?;
        self.parts[tensor.part].bytes().get(tensor.range.clone())
    }

    /// The files, in order.
    pub(crate) fn parts(&self) -> &[Arc<MappedFile>] {
        &self.parts
    }

    /// A string in the metadata.
    #[must_use]
    pub fn string(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key)? {
            GgufValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// A non-negative integer in the metadata.
    #[must_use]
    pub fn integer(&self, key: &str) -> Option<u64> {
        self.metadata.get(key)?.as_u64()
    }

    /// A boolean in the metadata.
    #[must_use]
    pub fn boolean(&self, key: &str) -> Option<bool> {
        match self.metadata.get(key)? {
            GgufValue::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// An array in the metadata.
    #[must_use]
    pub fn array(&self, key: &str) -> Option<&[GgufValue]> {
        match self.metadata.get(key)? {
            GgufValue::Array(values) => Some(values),
            _ => None,
        }
    }

    fn add_part(&mut self, path: &Path) -> Result<()> {
        let file = MappedFile::open(path)?;
        let part = self.parts.len();
        let mut reader = Reader { bytes: file.bytes(), position: 0 };
        let header = reader.header(part).map_err(|reason| Error::malformed(path, reason))?;
        for (name, tensor) in header.tensors {
            if self.tensors.contains_key(&name) {
                return Err(Error::malformed(path, format!("names tensor {name:?} twice")));
            }
            self.tensors.insert(name, tensor);
        }
        if part == 0 {
            self.metadata = header.metadata;
        }
        self.parts.push(Arc::new(file));
        Ok(())
    }
}

impl GgufTensor {
    /// The part of the file that holds the tensor, and where in it.
    pub(crate) fn location(&self) -> (usize, Range<usize>) {
        (self.part, self.range.clone())
    }
}

impl GgufValue {
    /// The value as a non-negative integer.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::UInt(value) => Some(*value),
            Self::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The value as a float; integers are converted.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            Self::UInt(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The value as text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

/// The file names of all parts of the file that `name` is, or is a part of.
pub(super) fn part_names(name: &str) -> Vec<String> {
    split_name(name).map_or_else(
        || vec![name.to_owned()],
        |(stem, parts)| {
            (1..=parts).map(|part| format!("{stem}-{part:05}-of-{parts:05}.gguf")).collect()
        },
    )
}

/// As [`part_names`], for a file on the disk; every part must exist.
pub(super) fn parts_on_disk(path: &Path) -> Result<Vec<PathBuf>> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(vec![path.to_owned()]);
    };
    let parts: Vec<_> = part_names(name).iter().map(|name| path.with_file_name(name)).collect();
    match parts.iter().find(|part| parts.len() > 1 && !part.exists()) {
        Some(missing) => Err(Error::MissingFile {
            origin: path.parent().unwrap_or(path).display().to_string(),
            file: missing.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            reason: format!("it is one of the {} parts of a split GGUF file", parts.len()),
        }),
        None => Ok(parts),
    }
}

/// `model-00001-of-00003.gguf` is `("model", 3)`.
fn split_name(name: &str) -> Option<(&str, usize)> {
    let (rest, parts) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, part) = rest.rsplit_once('-')?;
    let number = |text: &str| -> Option<usize> {
        let is_number = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok())?
    };
    let (part, parts) = (number(part)?, number(parts)?);
    (1..=parts).contains(&part).then_some((stem, parts))
}

const MAGIC: &[u8] = b"GGUF";
const DEFAULT_ALIGNMENT: usize = 32;
/// The specification asks for a multiple of 8, and blocks must not lie on odd addresses.
const LEAST_ALIGNMENT: usize = 8;
/// ggml allows four; more is a lie.
const MAX_DIMENSIONS: u32 = 4;
/// Arrays of arrays are legal but nobody writes them deeper.
const MAX_NESTING: usize = 4;

struct Header {
    metadata: BTreeMap<String, GgufValue>,
    tensors: Vec<(String, GgufTensor)>,
}

struct RawTensor {
    name: String,
    shape: Vec<usize>,
    ggml_type: u32,
    offset: u64,
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// Reasons are completed with the file's name by the caller.
type Parsed<T> = std::result::Result<T, String>;

impl<'a> Reader<'a> {
    fn header(&mut self, part: usize) -> Parsed<Header> {
        if self.take(4)? != MAGIC {
            return Err("is no GGUF file: it does not begin with the letters GGUF".to_owned());
        }
        let version = self.u32()?;
        if version.swap_bytes() == 3 {
            return Err("is a big-endian GGUF file; only little-endian ones are supported".into());
        }
        if !(2..=3).contains(&version) {
            return Err(format!("has GGUF version {version}; versions 2 and 3 are supported"));
        }
        let tensors = self.u64()?;
        let entries = self.u64()?;
        let mut metadata = BTreeMap::new();
        for _ in 0..entries {
            let key = self.string()?;
            let kind = self.u32()?;
            let value = self.value(kind, 0).map_err(|reason| format!("{reason} (key {key:?})"))?;
            if metadata.contains_key(&key) {
                return Err(format!("has the metadata key {key:?} twice"));
            }
            metadata.insert(key, value);
        }
        let mut directory = Vec::new();
        for _ in 0..tensors {
            directory.push(self.tensor()?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(value) => value
                .as_u64()
                .and_then(|value| usize::try_from(value).ok())
                .filter(|value| value.is_power_of_two() && *value >= LEAST_ALIGNMENT)
                .ok_or_else(|| {
                    format!("has general.alignment {value:?}; powers of two from 8 are possible")
                })?,
        };
        let data = self
            .position
            .checked_next_multiple_of(alignment)
            .ok_or("has an alignment beyond its end")?;
        let mut tensors = Vec::with_capacity(directory.len());
        for RawTensor { name, shape, ggml_type, offset } in directory {
            let range = self
                .range(&shape, ggml_type, data, offset, alignment)
                .map_err(|reason| format!("tensor {name:?} {shape:?}: {reason}"))?;
            tensors.push((name, GgufTensor { shape, ggml_type, part, range }));
        }
        Ok(Header { metadata, tensors })
    }

    /// The bytes of a tensor that begins `offset` bytes after `data`.
    fn range(
        &self,
        shape: &[usize],
        ggml_type: u32,
        data: usize,
        offset: u64,
        alignment: usize,
    ) -> Parsed<Range<usize>> {
        let Some(kind) = GgmlType::from_number(ggml_type) else {
            return Ok(0..0);
        };
        let length = kind.length(shape).ok_or_else(|| {
            format!("its rows are no whole blocks of {} {} weights", kind.weights, kind.name)
        })?;
        let offset = usize::try_from(offset).map_err(|error| error.to_string())?;
        if !offset.is_multiple_of(alignment) {
            return Err(format!("begins at {offset}, which is no multiple of {alignment}"));
        }
        data.checked_add(offset)
            .and_then(|start| Some(start..start.checked_add(length)?))
            .filter(|range| range.end <= self.bytes.len())
            .ok_or_else(|| {
                let size = self.bytes.len();
                format!("{length} bytes at {data} + {offset} are beyond the file's {size} bytes")
            })
    }

    fn tensor(&mut self) -> Parsed<RawTensor> {
        let name = self.string()?;
        let dimensions = self.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(format!("gives tensor {name:?} {dimensions} dimensions"));
        }
        let mut shape = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            let length = self.u64()?;
            shape.push(usize::try_from(length).map_err(|error| error.to_string())?);
        }
        shape.reverse();
        shape
            .iter()
            .try_fold(1_usize, |elements, &length| elements.checked_mul(length))
            .ok_or_else(|| format!("gives tensor {name:?} the impossible shape {shape:?}"))?;
        Ok(RawTensor { name, shape, ggml_type: self.u32()?, offset: self.u64()? })
    }

    fn value(&mut self, kind: u32, nesting: usize) -> Parsed<GgufValue> {
        Ok(match kind {
            0 => GgufValue::UInt(self.array::<1>()?[0].into()),
            1 => GgufValue::Int(i8::from_le_bytes(self.array()?).into()),
            2 => GgufValue::UInt(u16::from_le_bytes(self.array()?).into()),
            3 => GgufValue::Int(i16::from_le_bytes(self.array()?).into()),
            4 => GgufValue::UInt(self.u32()?.into()),
            5 => GgufValue::Int(i32::from_le_bytes(self.array()?).into()),
            6 => GgufValue::Float(f32::from_le_bytes(self.array()?).into()),
            7 => GgufValue::Bool(self.array::<1>()?[0] != 0),
            8 => GgufValue::String(self.string()?),
            9 if nesting < MAX_NESTING => {
                let kind = self.u32()?;
                let length = self.u64()?;
                let mut values = Vec::new();
                for _ in 0..length {
                    values.push(self.value(kind, nesting + 1)?);
                }
                GgufValue::Array(values)
            }
            9 => return Err(format!("nests arrays more than {MAX_NESTING} deep")),
            10 => GgufValue::UInt(self.u64()?),
            11 => GgufValue::Int(i64::from_le_bytes(self.array()?)),
            12 => GgufValue::Float(f64::from_le_bytes(self.array()?)),
            _ => return Err(format!("has a metadata value of unknown type {kind}")),
        })
    }

    /// Text in UTF-8. Some vocabularies hold raw bytes, which are replaced as Python does it.
    fn string(&mut self) -> Parsed<String> {
        let length = self.u64()?;
        let length = usize::try_from(length).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| "is truncated".to_owned())
    }

    fn take(&mut self, length: usize) -> Parsed<&'a [u8]> {
        let taken = self
            .position
            .checked_add(length)
            .and_then(|end| self.bytes.get(self.position..end))
            .ok_or_else(|| {
                format!("is truncated: {length} bytes wanted at {} of its header", self.position)
            })?;
        self.position += length;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts() {
        let parts =
            ["q4/m-00001-of-00003.gguf", "q4/m-00002-of-00003.gguf", "q4/m-00003-of-00003.gguf"];
        for name in parts {
            assert_eq!(part_names(name), parts);
        }
        assert_eq!(part_names("m-00001-of-00001.gguf"), ["m-00001-of-00001.gguf"]);
        let whole = [
            "m.gguf",
            "m-00000-of-00003.gguf",
            "m-00004-of-00003.gguf",
            "m-00001-of-00000.gguf",
            "m-1-of-3.gguf",
            "m-000001-of-000003.gguf",
            "m-+0001-of-00003.gguf",
            "m-00001-of-00003",
            "-of-.gguf",
            "m00001-of-00003.gguf.part",
        ];
        for name in whole {
            assert_eq!(part_names(name), [name]);
        }
    }

    #[test]
    fn parts_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = |part: usize| folder.path().join(format!("m-0000{part}-of-00002.gguf"));
        std::fs::write(path(1), b"").unwrap();
        let error = parts_on_disk(&path(1)).unwrap_err().to_string();
        assert!(error.contains("m-00002-of-00002.gguf") && error.contains("2 parts"), "{error}");
        std::fs::write(path(2), b"").unwrap();
        assert_eq!(parts_on_disk(&path(2)).unwrap(), [path(1), path(2)]);
    }
}
