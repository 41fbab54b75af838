//! Windows: what the samples of a frame are multiplied by, so that its ends fade.

use std::f32::consts::TAU as TAU_32;
use std::f64::consts::TAU;

/// Hann's window that repeats after `length`, as `torch.hann_window` computes it in f32. Its rounding is part
/// of what models were trained with: in quiet bins beside loud ones it is more than that of the transform.
pub(super) fn hann_of_torch(length: usize) -> Vec<f64> {
    let step = TAU_32 / length as f32;
    (0..length).map(|at| f64::from((at as f32 * step).cos() * -0.5 + 0.5)).collect()
}

/// Hamming's window that repeats after `length`: `torch.hamming_window`.
pub(super) fn hamming_of_torch(length: usize) -> Vec<f64> {
    let step = TAU_32 / length as f32;
    (0..length).map(|at| f64::from((at as f32 * step).cos() * -0.46 + 0.54)).collect()
}

/// Hann's window that repeats after `length`, as NumPy computes it.
pub(super) fn hann(length: usize) -> Vec<f64> {
    let mut window = hann_symmetric(length + 1);
    window.truncate(length);
    window
}

/// Hann's window with 0 at both ends.
pub(super) fn hann_symmetric(length: usize) -> Vec<f64> {
    let step = TAU / (length.max(2) - 1) as f64;
    (0..length).map(|at| 0.5 - 0.5 * (step * at as f64).cos()).collect()
}

/// Kaldi's: Hann's window with 0 at both ends to the power of 0.85.
pub(super) fn povey(length: usize) -> Vec<f64> {
    hann_symmetric(length).into_iter().map(|value| value.powf(0.85)).collect()
}
