//! A checkpoint as a directory of named tensors in memory-mapped files, whatever its format.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::source::mapped::MappedFile;
use crate::weights::elements::Elements;
#[cfg(feature = "image")]
use crate::weights::layout::{Layout, MovedPart};

/// All tensors of a checkpoint, by the names it gives them.
#[derive(Debug)]
pub(super) struct Store {
    /// The file that errors name: the only one, the index of several, or the first.
    pub(super) origin: PathBuf,
    pub(super) files: Vec<Arc<MappedFile>>,
    pub(super) tensors: BTreeMap<String, Entry>,
    /// Tensors that the index puts into a shard that does not hold them: an error only when they
    /// are asked for.
    pub(super) lacking: BTreeMap<String, PathBuf>,
}

/// Where a tensor lies, its shape and its element type.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: usize,
    /// Bytes of the file. The opener has checked that they are there and as many as shape and
    /// elements take.
    pub(super) range: Range<usize>,
    pub(super) shape: Vec<usize>,
    pub(super) elements: Elements,
    pub(super) order: Order,
}

/// How the bytes of a tensor lie.
#[cfg_attr(not(feature = "image"), allow(dead_code, reason = "for models that paint"))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// Row by row.
    #[default]
    Rows,
    /// The second half of the rows before the first.
    HalvesSwapped,
    /// Column by column.
    Columns,
}

/// A tensor, or some of its rows, still in the file unless its elements had to be reordered.
#[derive(Debug)]
pub(super) struct StoredTensor<'a> {
    pub(super) name: String,
    pub(super) file: &'a MappedFile,
    pub(super) shape: Vec<usize>,
    pub(super) elements: Elements,
    /// Whole rows, in order; together they are the tensor.
    pub(super) pieces: Vec<Cow<'a, [u8]>>,
    pub(super) range: Range<usize>,
}

/// Bytes of a tensor that are looked at in each place.
const SAMPLED: usize = 32;

impl Store {
    /// What the files themselves say they hold.
    pub(super) fn of_files(
        origin: PathBuf,
        files: Vec<Arc<MappedFile>>,
        tensors: BTreeMap<String, Entry>,
    ) -> Self {
        Self { origin, files, tensors, lacking: BTreeMap::new() }
    }

    /// The tensor of that name, or of the one it had before transformers renamed it.
    pub(super) fn tensor(&self, name: &str) -> Option<StoredTensor<'_>> {
        let (name, entry) = self.find(name)?;
        let file = &self.files[entry.file];
        let stored = StoredTensor {
            name: name.to_owned(),
            file,
            shape: entry.shape.clone(),
            elements: entry.elements.clone(),
            pieces: vec![Cow::Borrowed(&file.bytes()[entry.range.clone()])],
            range: entry.range.clone(),
        };
        let rows = entry.shape.first().copied().unwrap_or(0);
        match entry.order {
            Order::Rows => Some(stored),
            Order::HalvesSwapped => stored.rows(&[rows / 2..rows, 0..rows / 2]).ok(),
            Order::Columns => {
                let columns = 0..entry.shape.get(1).copied().unwrap_or(0);
                stored.transposed_rows(std::slice::from_ref(&columns)).ok()
            }
        }
    }

    /// The same tensors by the names of another layout; those that it does not know are left out.
    #[cfg(feature = "image")]
    pub(super) fn moved(self, layout: &Layout) -> Self {
        let mut tensors = BTreeMap::new();
        for (name, entry) in &self.tensors {
            for (ours, part) in layout.ours(name) {
                if let Some(entry) = entry.moved(part) {
                    tensors.insert(ours, entry);
                }
            }
        }
        Self { tensors, ..self }
    }

    /// Whether the checkpoint says it has the tensor.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.find(name).is_some() || self.lacking.contains_key(name)
    }

    /// The error for a tensor that the index lists but no shard holds.
    pub(super) fn lacking(&self, name: &str) -> Option<Error> {
        let shard = self.lacking.get(name)?;
        let index = self.origin.display();
        Some(Error::malformed(shard, format!("lacks tensor {name:?}, which {index} says it holds")))
    }

    /// A number that tells the values of the tensors from others, of a few bytes of each: of its beginning,
    /// its end and two places between.
    pub(super) fn sample(&self) -> u64 {
        self.tensors.iter().fold(0, |hash, (name, entry)| {
            let bytes = self.files[entry.file].bytes().get(entry.range.clone()).unwrap_or_default();
            let last = bytes.len().saturating_sub(SAMPLED);
            let places = (0..4).map(|place| last / 3 * place).chain([last]);
            places.fold(fingerprint(hash, name.as_bytes()), |hash, place| {
                fingerprint(hash, &bytes[place..bytes.len().min(place + SAMPLED)])
            })
        })
    }

    /// Whether no weight has been rounded to fewer bits than f32's.
    pub(super) fn is_full_precision(&self) -> bool {
        !self.tensors.values().any(|entry| match entry.elements {
            Elements::Blocks(_) | Elements::ReadOnlyBlocks(_) => true,
            Elements::BF16 | Elements::F16 | Elements::F8E4M3 => true,
            Elements::Dequantized | Elements::F32 | Elements::F64 | Elements::Other(_) => false,
        })
    }

    /// The dense dtype that most of the checkpoint's bytes are in.
    pub(super) fn main_dense_elements(&self) -> Option<&Elements> {
        let kinds = [Elements::F32, Elements::BF16, Elements::F16, Elements::F64, Elements::F8E4M3];
        let bytes = |kind: &Elements| -> u128 {
            let entries = self.tensors.values().filter(|entry| entry.elements == *kind);
            entries.map(|entry| entry.range.len() as u128).sum()
        };
        let most = kinds.iter().max_by_key(|kind| bytes(kind)).filter(|kind| bytes(kind) > 0)?;
        self.tensors.values().map(|entry| &entry.elements).find(|elements| *elements == most)
    }

    fn find(&self, name: &str) -> Option<(&str, &Entry)> {
        let found = |name: &str| self.tensors.get_key_value(name);
        let entry = found(name).or_else(|| {
            // Checkpoints converted from TensorFlow, `bert-base-uncased` among them, and
            // `_fix_state_dict_key_on_load` in transformers' modeling_utils.py.
            let (module, parameter) = name.rsplit_once("LayerNorm.")?;
            match parameter {
                "weight" => found(&format!("{module}LayerNorm.gamma")),
                "bias" => found(&format!("{module}LayerNorm.beta")),
                _ => None,
            }
        });
        entry.map(|(name, entry)| (name.as_str(), entry))
    }
}

#[cfg(feature = "image")]
impl Entry {
    /// A part of it; nothing where it has not so many rows.
    fn moved(&self, part: &MovedPart) -> Option<Self> {
        let (range, order, shape) = match part {
            MovedPart::All => (self.range.clone(), self.order, self.shape.clone()),
            MovedPart::HalvesSwapped => {
                (self.range.clone(), Order::HalvesSwapped, self.shape.clone())
            }
            MovedPart::Transposed => (self.range.clone(), Order::Columns, self.shape.clone()),
            MovedPart::Rows(rows, of) => {
                let (&first, rest) = self.shape.split_first()?;
                let row = self.range.len().checked_div(first)?;
                if first != *of || row * first != self.range.len() {
                    return None;
                }
                let start = self.range.start;
                let shape = std::iter::once(rows.len()).chain(rest.iter().copied()).collect();
                (start + rows.start * row..start + rows.end * row, self.order, shape)
            }
        };
        Some(Self { file: self.file, range, shape, elements: self.elements.clone(), order })
    }
}

impl<'a> StoredTensor<'a> {
    pub(super) fn elements_count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The rows of these ranges, one after the other. A row is everything under the first
    /// dimension.
    pub(super) fn rows(mut self, ranges: &[Range<usize>]) -> Result<Self> {
        let rows = self.shape.first().copied().unwrap_or(1);
        let ([bytes], Some(row_bytes)) = (self.pieces.as_slice(), self.row_bytes(rows)) else {
            return Err(self.unreadable());
        };
        let cut = |range: &Range<usize>| -> Option<Cow<'a, [u8]>> {
            let range = range.start.checked_mul(row_bytes)?..range.end.checked_mul(row_bytes)?;
            Some(match bytes {
                Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(range)?),
                Cow::Owned(bytes) => Cow::Owned(bytes.get(range)?.to_vec()),
            })
        };
        self.pieces = ranges.iter().map(cut).collect::<Option<_>>().ok_or_else(|| {
            let reason = format!("tensor {:?} has {rows} rows, not {ranges:?}", self.name);
            Error::malformed(self.file.path(), reason)
        })?;
        if let Some(first) = self.shape.first_mut() {
            *first = ranges.iter().map(Range::len).sum();
        }
        Ok(self)
    }

    /// One of several tensors stacked along the first dimension, cut out by [`rows`](Self::rows).
    pub(super) fn unstacked(mut self) -> Self {
        if !self.shape.is_empty() {
            self.shape.remove(0);
        }
        self
    }

    /// Rows of the matrix with rows and columns exchanged.
    pub(super) fn transposed_rows(self, ranges: &[Range<usize>]) -> Result<Self> {
        let (&[rows, columns], [bytes], Some((1, size))) =
            (self.shape.as_slice(), self.pieces.as_slice(), self.elements.unit())
        else {
            return Err(self.unreadable());
        };
        let kept = ranges.iter().map(Range::len).sum::<usize>();
        let mut turned = Vec::with_capacity(kept * rows * size);
        for column in ranges.iter().cloned().flatten() {
            for row in 0..rows {
                let at = (row * columns + column) * size;
                turned.extend_from_slice(&bytes[at..at + size]);
            }
        }
        Ok(Self { shape: vec![kept, rows], pieces: vec![Cow::Owned(turned)], ..self })
    }

    /// Tells the system that the tensor's bytes have been used.
    pub(super) fn release(&self) {
        self.file.release(self.range.clone());
    }

    pub(super) fn unreadable(&self) -> Error {
        let reason = format!(
            "tensor {:?} is of type {}, which is not supported here",
            self.name,
            self.elements.name()
        );
        Error::malformed(self.file.path(), reason)
    }

    /// Bytes of each of so many rows; `None` where they are no whole units.
    pub(super) fn row_bytes(&self, rows: usize) -> Option<usize> {
        let (weights, size) = self.elements.unit()?;
        let row = self.elements_count().checked_div(rows)?;
        row.is_multiple_of(weights).then(|| row / weights * size)
    }
}

/// The tensors of one file.
pub(super) type Directory = Vec<(String, Entry)>;

/// A checkpoint format whose tensors are spread over files by an index.
pub(super) struct Format {
    /// How the files' names begin and end: `model` and `safetensors`.
    pub(super) stem: &'static str,
    pub(super) extension: &'static str,
    /// Reads the directory of one file, which is number `usize` of the store's.
    pub(super) read: fn(&MappedFile, usize) -> Result<Directory>,
}
