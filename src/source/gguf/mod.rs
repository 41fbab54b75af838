//! The header of a GGUF file: metadata and the directory of tensors.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little
//! endian. No count in the file is trusted: each is checked against the bytes that are really
//! there.

mod reader;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use reader::GgufTensor;
pub use value::{GgufNumbers, GgufValue};

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
        match file.integer("split.count")? {
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
        let (part, range) = tensor.location();
        self.parts[part].bytes().get(range)
    }

    /// The files, in order.
    pub(crate) fn parts(&self) -> &[Arc<MappedFile>] {
        &self.parts
    }

    /// A text in the metadata.
    ///
    /// # Errors
    ///
    /// When the value is of another type.
    pub fn string(&self, key: &str) -> Result<Option<&str>> {
        self.malformed(self.read_as(key, GgufValue::as_str, "text"))
    }

    /// A non-negative integer in the metadata, of any integer type.
    ///
    /// # Errors
    ///
    /// When the value is something else.
    pub fn integer(&self, key: &str) -> Result<Option<u64>> {
        self.malformed(self.read_as(key, GgufValue::as_u64, "a whole number from 0 on"))
    }

    /// A boolean in the metadata.
    ///
    /// # Errors
    ///
    /// When the value is of another type.
    pub fn boolean(&self, key: &str) -> Result<Option<bool>> {
        self.malformed(self.read_as(key, GgufValue::as_bool, "true or false"))
    }

    /// The value of a key, converted by `convert`. A value of another type is an error, whose
    /// reason lacks the file's name.
    pub(crate) fn read_as<'a, T>(
        &'a self,
        key: &str,
        convert: impl FnOnce(&'a GgufValue) -> Option<T>,
        expected: &str,
    ) -> std::result::Result<Option<T>, String> {
        let Some(value) = self.metadata.get(key) else { return Ok(None) };
        convert(value).map(Some).ok_or_else(|| {
            format!("has the metadata key {key:?} with {value}; it should be {expected}")
        })
    }

    fn malformed<T>(&self, outcome: std::result::Result<T, String>) -> Result<T> {
        outcome.map_err(|reason| Error::malformed(self.path(), reason))
    }

    fn add_part(&mut self, path: &Path) -> Result<()> {
        let file = MappedFile::open(path)?;
        let part = self.parts.len();
        let header =
            reader::header(file.bytes(), part).map_err(|reason| Error::malformed(path, reason))?;
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
