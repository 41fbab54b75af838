//! The tensors that make up one weight, with what they must hold checked.

use std::borrow::Cow;
use std::path::Path;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::error::{Error, Result};
use crate::weights::elements::Elements;
use crate::weights::store::{Store, StoredTensor};

/// The tensors of one module.
pub(super) struct Parts<'a, 's> {
    pub(super) store: &'a Store,
    /// What their names begin with, the dot included.
    pub(super) module: &'s str,
}

impl<'a> Parts<'a, '_> {
    pub(super) fn find(&self, name: &str) -> Option<StoredTensor<'a>> {
        self.store.tensor(&format!("{}{name}", self.module))
    }

    pub(super) fn require(&self, name: &str) -> Result<StoredTensor<'a>> {
        self.find(name).ok_or_else(|| Error::MissingTensor {
            tensor: format!("{}weight", self.module),
            stored_as: format!("{}{name}", self.module),
            path: self.store.origin.clone(),
        })
    }

    /// The numbers of a tensor of floats.
    pub(super) fn floats(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>)> {
        let tensor = self.require(name)?;
        let (Some((1, _)), [bytes]) = (tensor.elements.unit(), tensor.pieces.as_slice()) else {
            return Err(tensor.unreadable());
        };
        let mut values = vec![0.0; tensor.elements_count()];
        tensor.elements.widen(bytes, &mut values)?;
        Ok((values, tensor.shape.clone()))
    }

    /// The numbers of a tensor of signed integers, and its shape.
    pub(super) fn integers(&self, name: &str) -> Result<(Vec<i64>, Vec<usize>)> {
        let tensor = self.require(name)?;
        let values: Option<Vec<i64>> = if let Some(bytes) = raw(&tensor, "I8", 1) {
            Some(bytes.iter().map(|byte| i64::from(byte.cast_signed())).collect())
        } else if let Some(bytes) = raw(&tensor, "I32", 4) {
            let values = bytes.as_chunks().0.iter();
            Some(values.map(|value| i64::from(i32::from_le_bytes(*value))).collect())
        } else {
            let values = raw(&tensor, "I64", 8).map(|bytes| bytes.as_chunks().0.iter());
            values.map(|values| values.map(|value| i64::from_le_bytes(*value)).collect())
        };
        values.map(|values| (values, tensor.shape.clone())).ok_or_else(|| tensor.unreadable())
    }

    /// The 32-bit integers of a matrix, and its shape.
    pub(super) fn words(&self, name: &str) -> Result<(Vec<u32>, [usize; 2])> {
        let tensor = self.require(name)?;
        let (&[rows, columns], Some(bytes)) = (tensor.shape.as_slice(), raw(&tensor, "I32", 4))
        else {
            return Err(tensor.unreadable());
        };
        Ok((
            bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect(),
            [rows, columns],
        ))
    }
}

/// The bytes of a tensor of integers of `size` bytes, called `kind` in the file.
pub(super) fn raw<'t>(tensor: &'t StoredTensor<'_>, kind: &str, size: usize) -> Option<&'t [u8]> {
    let [bytes] = tensor.pieces.as_slice() else { return None };
    let whole = tensor.elements_count().checked_mul(size) == Some(bytes.len());
    (whole && tensor.elements == Elements::Other(kind.to_owned())).then_some(&**bytes)
}

/// The error when the parts of a weight do not fit each other.
pub(super) fn misfit(tensor: &StoredTensor<'_>, what: &str) -> Error {
    let reason = format!("tensor {:?} of shape {:?} {what}", tensor.name, tensor.shape);
    Error::malformed(tensor.file.path(), reason)
}

/// A field of `quantization_config` whose value cannot be read, and what can be.
pub(super) fn refused(path: &Path, field: &str, value: &str, known: &str) -> Error {
    Error::unsupported(format!(
        "{}: `quantization_config.{field}` is {value:?}; {known} can be read",
        path.display()
    ))
}

/// The default of `weight_block_size`.
pub(super) const BLOCK: [usize; 2] = [128, 128];

/// A matrix whose rows `row` computes from `weight` and what goes with it.
pub(super) fn matrix<'a>(
    weight: &StoredTensor<'a>,
    shape: [usize; 2],
    row: impl Fn(usize, &mut [f32]) + Sync,
) -> StoredTensor<'a> {
    let columns = shape[1].max(1);
    let mut bytes = vec![0; shape[0] * shape[1] * size_of::<f32>()];
    bytes.par_chunks_mut(columns * size_of::<f32>()).enumerate().for_each_init(
        || vec![0.0; columns],
        |values, (number, bytes)| {
            row(number, values);
            for (bytes, value) in bytes.as_chunks_mut().0.iter_mut().zip(values.iter()) {
                *bytes = f32::to_le_bytes(*value);
            }
        },
    );
    StoredTensor {
        shape: shape.to_vec(),
        elements: Elements::Dequantized,
        pieces: vec![Cow::Owned(bytes)],
        name: weight.name.clone(),
        file: weight.file,
        range: weight.range.clone(),
    }
}
