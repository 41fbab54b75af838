//! Voices: what was said before, in the files that Suno ships.

use std::io::{Cursor, Read};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result, did_you_mean};
use crate::source::{ModelFiles, file};

/// A voice of Bark: what was said before, as tokens of each stage. Suno's `.npz` files hold one, and repositories list
/// theirs in `speaker_embeddings_path.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Voice {
    /// Semantic tokens.
    pub semantic: Vec<u32>,
    /// Codes of the first codebooks, `(codebooks, frames)`.
    pub coarse: Vec<Vec<u32>>,
    /// Codes of all codebooks, `(codebooks, frames)`.
    pub fine: Vec<Vec<u32>>,
}

impl Voice {
    /// A voice of tokens, semantic ones and codes `(codebooks, frames)`.
    ///
    /// # Errors
    ///
    /// When codebooks differ in length, or there are none.
    pub fn new(semantic: Vec<u32>, coarse: Vec<Vec<u32>>, fine: Vec<Vec<u32>>) -> Result<Self> {
        for (name, books) in [("coarse_prompt", &coarse), ("fine_prompt", &fine)] {
            let frames = books.first().map(Vec::len);
            if frames.is_none() || books.iter().any(|book| Some(book.len()) != frames) {
                return Err(Error::input(format!(
                    "`{name}` of a voice holds no codebooks of one length"
                )));
            }
        }
        Ok(Self { semantic, coarse, fine })
    }

    /// Reads a `.npz` file with the arrays `semantic_prompt`, `coarse_prompt` and `fine_prompt`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is no such file.
    pub fn from_npz(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = file::read(path)?;
        Self::from_npz_bytes(&bytes).map_err(|error| Error::malformed(path, error))
    }

    /// As [`from_npz`](Self::from_npz), of a file's bytes.
    ///
    /// # Errors
    ///
    /// When they are no such file.
    pub fn from_npz_bytes(bytes: &[u8]) -> Result<Self> {
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| Error::input(format!("this is no .npz file: {error}")))?;
        let mut array = |name: &str| -> Result<Vec<Vec<u32>>> {
            let entry = format!("{name}.npy");
            let index = archive.index_for_name(&entry);
            let index = index.ok_or_else(|| Error::input(format!("there is no array `{name}`")))?;
            let mut member = archive
                .by_index_raw(index)
                .map_err(|error| Error::input(format!("`{name}` cannot be read: {error}")))?;
            let is_stored = member.compression() == zip::CompressionMethod::Stored;
            let mut raw = Vec::new();
            member
                .by_ref()
                .take(MOST_BYTES as u64)
                .read_to_end(&mut raw)
                .map_err(|error| Error::input(format!("`{name}` cannot be read: {error}")))?;
            let raw = match is_stored {
                true => raw,
                false => miniz_oxide::inflate::decompress_to_vec_with_limit(&raw, MOST_BYTES)
                    .map_err(|error| Error::input(format!("`{name}` cannot be read: {error}")))?,
            };
            of_npy(&raw).map_err(|reason| Error::input(format!("`{name}`: {reason}")))
        };
        Self::of_arrays(&mut array)
    }

    /// The voice of that name in a repository: as `speaker_embeddings_path.json` lists it, or a `.npz` file.
    ///
    /// # Errors
    ///
    /// When there is no such voice, which lists those that there are, and when its files cannot be read.
    pub fn from_files(files: &ModelFiles, name: &str) -> Result<Self> {
        let list: Map<String, Value> =
            files.json("speaker_embeddings_path.json")?.unwrap_or_default();
        if let Some(Value::Object(paths)) = list.get(name) {
            let mut array = |part: &str| -> Result<Vec<Vec<u32>>> {
                let path = paths.get(part).and_then(Value::as_str);
                let path = path
                    .ok_or_else(|| Error::input(format!("the voice {name:?} has no `{part}`")))?;
                let path = files.required(path, "the voice")?;
                let bytes = file::read(&path)?;
                of_npy(&bytes).map_err(|reason| Error::malformed(&path, reason))
            };
            return Self::of_arrays(&mut array);
        }
        let file = if name.ends_with(".npz") { name.to_owned() } else { format!("{name}.npz") };
        for file in [file.clone(), format!("speaker_embeddings/{file}")] {
            if let Ok(Some(path)) = files.optional(&file) {
                return Self::from_npz(path);
            }
        }
        let names: Vec<&str> = list
            .iter()
            .filter(|(_, value)| value.is_object())
            .map(|(name, _)| name.as_str())
            .collect();
        let known = match names.is_empty() {
            true => "the model lists none".to_owned(),
            false => format!("there are {}{}", names.join(", "), did_you_mean(name, &names)),
        };
        Err(Error::input(format!("there is no voice {name:?}; {known}")))
    }

    fn of_arrays(array: &mut dyn FnMut(&str) -> Result<Vec<Vec<u32>>>) -> Result<Self> {
        let semantic = array("semantic_prompt")?;
        let [semantic] = <[Vec<u32>; 1]>::try_from(semantic)
            .map_err(|_| Error::input("`semantic_prompt` should have one dimension"))?;
        Self::new(semantic, array("coarse_prompt")?, array("fine_prompt")?)
    }
}

/// The rows of an array of whole numbers in the format of NumPy, of one or two dimensions.
/// <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>
fn of_npy(bytes: &[u8]) -> std::result::Result<Vec<Vec<u32>>, String> {
    let short = || "this is no .npy file".to_owned();
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(short)?;
    let (start, length): (usize, usize) = match rest.get(..6).ok_or_else(short)? {
        [1, _, a, b, ..] => (4, usize::from(u16::from_le_bytes([*a, *b]))),
        [_, _, a, b, c, d] => (6, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        _ => return Err(short()),
    };
    let header =
        start.checked_add(length).and_then(|end| rest.get(start..end)).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| short())?;
    let field =
        |name: &str| header.split_once(&format!("'{name}':")).map(|(_, rest)| rest.trim_start());
    let kind = field("descr").and_then(|rest| rest.split('\'').nth(1)).ok_or_else(short)?;
    let is_fortran = field("fortran_order").is_some_and(|rest| rest.starts_with("True"));
    let shape = field("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    let (shape, _) = shape.ok_or_else(short)?;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    let sizes: Vec<usize> = sizes.map(str::parse).collect::<Result<_, _>>().map_err(|_| short())?;
    let (rows, columns) = match sizes.as_slice() {
        [columns] => (1, *columns),
        [rows, columns] => (*rows, *columns),
        _ => return Err(format!("an array of {} dimensions", sizes.len())),
    };
    let size = match kind {
        "|i1" | "|u1" => 1,
        "<i2" | "<u2" => 2,
        "<i4" | "<u4" => 4,
        "<i8" | "<u8" => 8,
        _ => return Err(format!("the type {kind:?} is none of whole numbers")),
    };
    let data = &rest[start + length..];
    let count =
        rows.checked_mul(columns).filter(|count| count.checked_mul(size) == Some(data.len()));
    if count.is_none() || !(1..=MOST_ROWS).contains(&rows) {
        return Err(format!("{} bytes for the shape {sizes:?}", data.len()));
    }
    let number = |bytes: &[u8]| {
        // Negative numbers are too large for an id.
        let bits = bytes.iter().rev().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
        u32::try_from(bits).map_err(|_| format!("{bits} is no id of a token"))
    };
    let numbers = data.chunks_exact(size).map(number).collect::<Result<Vec<u32>, String>>()?;
    let at = |row: usize, column: usize| match is_fortran {
        true => numbers[column * rows + row],
        false => numbers[row * columns + column],
    };
    Ok((0..rows).map(|row| (0..columns).map(|column| at(row, column)).collect()).collect())
}

/// No voice is larger.
const MOST_BYTES: usize = 1 << 26;

/// No codec has that many codebooks.
const MOST_ROWS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_of_every_kind_are_read_and_broken_ones_are_refused() {
        let file = |header: &str, data: &[u8]| {
            let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
            bytes.extend((header.len() as u16).to_le_bytes());
            bytes.extend(header.as_bytes());
            bytes.extend(data);
            of_npy(&bytes)
        };
        let header = |kind: &str, order: &str, shape: &str| {
            format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}")
        };
        let two = [1_u8, 0, 2, 0, 3, 0, 4, 0];
        assert_eq!(file(&header("<i2", "False", "(2, 2)"), &two), Ok(vec![vec![1, 2], vec![3, 4]]));
        assert_eq!(file(&header("<u2", "True", "(2, 2)"), &two), Ok(vec![vec![1, 3], vec![2, 4]]));
        assert_eq!(
            file(&header("<i8", "False", "(1,)"), &[7, 0, 0, 0, 0, 0, 0, 0]),
            Ok(vec![vec![7]])
        );
        for (kind, shape, data) in [
            ("<f4", "(1,)", &[0_u8; 4][..]),
            ("<i8", "(1,)", &[255; 8]),
            ("<i8", "(2,)", &[0; 8]),
            ("<i8", "(9223372036854775807, 8)", &[0; 8]),
            ("<i8", "(0, 4)", &[]),
            ("<i8", "(1000000000000, 0)", &[]),
            ("<i8", "(9000000000000000000, 0)", &[]),
            ("|i1", "(65, 1)", &[0; 65]),
            ("<i8", "()", &[0; 8]),
        ] {
            assert!(file(&header(kind, "False", shape), data).is_err(), "{kind}, {shape}");
        }
        assert!(of_npy(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").is_err());
    }
}
