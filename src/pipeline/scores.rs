//! From logits to scores, as NumPy computes them.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::generation::softmax::Softmax;

/// `exp(x - max) / sum`, with a sum in f64: vocabularies have 250,000 terms.
pub(super) fn softmax(logits: &[f32]) -> Vec<f32> {
    let softmax = Softmax::of(logits);
    logits.iter().map(|&logit| softmax.probability(logit)).collect()
}

/// Summed in f64.
pub(super) fn mean(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let count = values.len() as f64;
    (values.map(f64::from).sum::<f64>() / count) as f32
}

pub(super) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The place of the highest value, the first of equals; 0 where there are none.
pub(super) fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (place, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = place;
        }
    }
    best
}

/// The rows of `(rows, …)`, each flat, in f32.
pub(super) fn rows(tensor: &Tensor) -> Result<Vec<Vec<f32>>> {
    let rows = tensor.dim(0)?;
    let flat = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let width = flat.len() / rows.max(1);
    Ok(flat.chunks(width.max(1)).map(<[f32]>::to_vec).collect())
}
