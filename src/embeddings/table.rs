//! Vectors by number: those of tokens or of words, whatever is beside them.

use crate::error::{Error, Result};
use crate::weights::Weights;
use crate::weights::slices::with_f32;

/// Rows of one length. Lives on the CPU: there is nothing to compute.
#[derive(Debug)]
pub(super) struct VectorTable {
    vectors: Vec<f32>,
    pub(super) dimension: usize,
    /// For messages.
    origin: String,
}

impl VectorTable {
    /// The first of the tensors that is there.
    pub(super) fn read(weights: &Weights, names: &[&str], origin: String) -> Result<Self> {
        let found = names.iter().find_map(|&name| Some((name, weights.shape(name)?)));
        let Some((name, &[rows, dimension])) = found else {
            let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
            return Err(Error::unsupported(format!(
                "{origin}: a table of vectors is wanted under {}",
                names.join(" or ")
            )));
        };
        let table = weights.tensor(name, &[rows, dimension])?;
        Ok(Self { vectors: with_f32(&table, <[f32]>::to_vec)?, dimension, origin })
    }

    /// The vector with that number.
    pub(super) fn row(&self, id: u32) -> Result<&[f32]> {
        let at = (id as usize).saturating_mul(self.dimension);
        self.vectors.get(at..at.saturating_add(self.dimension)).ok_or_else(|| {
            let vectors = self.vectors.len() / self.dimension.max(1);
            Error::malformed(&self.origin, format!("the token {id} has none of {vectors} vectors"))
        })
    }

    /// The mean of some; zeros where there are none.
    pub(super) fn mean(&self, ids: &[u32]) -> Result<Vec<f32>> {
        let mut sum = vec![0.0_f64; self.dimension];
        for &id in ids {
            let vector = self.row(id)?.iter();
            sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        let count = ids.len().max(1) as f64;
        Ok(sum.into_iter().map(|sum| (sum / count) as f32).collect())
    }
}
