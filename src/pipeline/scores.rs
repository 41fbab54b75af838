//! From logits to scores, as NumPy computes them.

use candle_core::{DType, Tensor};

use crate::error::Result;

/// `exp(x - max) / sum`.
pub(super) fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let sum: f32 = exps.iter().sum();
    exps.iter().map(|exp| exp / sum).collect()
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
