//! Adapters in the weights.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::Result;
use crate::kernels::dense;
use crate::kernels::dense::Dense;
use crate::weights::adapters::file::Matrices;
use crate::weights::convert;
use crate::weights::elements::Elements;
use crate::weights::store::StoredTensor;

impl Matrices {
    /// Those of some rows of the layer.
    pub(super) fn rows(self, ranges: &[Range<usize>]) -> Self {
        let rank = self.rank;
        let cut = |numbers: &[f32], width: usize| -> Vec<f32> {
            let rows = ranges.iter().flat_map(|range| {
                numbers.get(range.start * width..range.end * width).unwrap_or_default()
            });
            rows.copied().collect()
        };
        let up = cut(&self.up, rank);
        let magnitude = self.magnitude.as_ref().map(|lengths| cut(lengths, 1));
        Self { outs: up.len() / rank.max(1), up, magnitude, ..self }
    }

    /// What is added to the weight, `(out_features, in_features)`.
    fn product(&self) -> Vec<f32> {
        // The product takes the second matrix turned.
        let Self { down, rank, ins, .. } = self;
        let turned: Vec<f32> =
            (0..rank * ins).map(|at| down[at % rank * ins + at / rank]).collect();
        let mut product = dense::multiply(&self.up, *rank, Dense::F32(&turned), None);
        product.iter_mut().for_each(|number| *number *= self.scale);
        product
    }
}

/// The tensor in f32 with what adapters add to it, one after the other.
pub(in crate::weights) fn merged<'a, 'b>(
    stored: StoredTensor<'a>,
    changes: impl Iterator<Item = &'b Matrices>,
) -> Result<StoredTensor<'a>> {
    let mut weight = convert::numbers(&stored)?;
    for change in changes {
        for (number, more) in weight.iter_mut().zip(change.product()) {
            *number += more;
        }
        if let Some(lengths) = &change.magnitude {
            for (row, length) in weight.chunks_mut(change.ins.max(1)).zip(lengths) {
                let squares: f32 = row.iter().map(|number| number * number).sum();
                let factor = length / squares.sqrt();
                row.iter_mut().for_each(|number| *number *= factor);
            }
        }
    }
    stored.release();
    let bytes: Vec<u8> = weight.into_iter().flat_map(f32::to_le_bytes).collect();
    Ok(StoredTensor { elements: Elements::F32, pieces: vec![Cow::Owned(bytes)], ..stored })
}
