//! Normalization of rows, with sums in f32 by sixteen lanes.

use crate::kernels::shared::each_row;
use crate::kernels::tier::{Tier, tiered};

/// `x / sqrt(mean(x^2) + eps) * weight` of each row of `width`. Where the weight is longer than a row,
/// rows take its parts by turns.
pub(crate) fn rms(x: &[f32], width: usize, weight: &[f32], eps: f32, out: &mut [f32]) {
    rms_on(Tier::best(), x, width, weight, eps, out);
}

/// `(x - mean) / sqrt(variance + eps) * weight + bias` of each row, as [`rms`] takes them.
pub(crate) fn layer(
    x: &[f32],
    width: usize,
    [weight, bias]: [&[f32]; 2],
    eps: f32,
    out: &mut [f32],
) {
    layer_on(Tier::best(), x, width, [weight, bias], eps, out);
}

fn rms_on(tier: Tier, x: &[f32], width: usize, weight: &[f32], eps: f32, out: &mut [f32]) {
    assert!(x.len() == out.len() && width > 0 && x.len().is_multiple_of(weight.len()));
    each_row(out, width, 2 * width, |row, out| {
        let at = row * width;
        rms_row(tier, &x[at..][..width], &weight[at % weight.len()..][..width], eps, out);
    });
}

fn layer_on(
    tier: Tier,
    x: &[f32],
    width: usize,
    [weight, bias]: [&[f32]; 2],
    eps: f32,
    out: &mut [f32],
) {
    assert!(x.len() == out.len() && width > 0 && x.len().is_multiple_of(weight.len()));
    assert_eq!(bias.len(), weight.len());
    each_row(out, width, 3 * width, |row, out| {
        let (x, at) = (&x[row * width..][..width], row * width % weight.len());
        layer_row(tier, x, &weight[at..][..width], &bias[at..][..width], eps, out);
    });
}

tiered! {
    fn rms_row(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let squares = sum(x, |x| x * x);
        let scale = 1.0 / (squares / x.len() as f32 + eps).sqrt();
        for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * weight;
        }
    }
}

tiered! {
    fn layer_row(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
        let mean = sum(x, |x| x) / x.len() as f32;
        let squares = sum(x, |x| (x - mean) * (x - mean));
        let scale = 1.0 / (squares / x.len() as f32 + eps).sqrt();
        for (((out, x), weight), bias) in out.iter_mut().zip(x).zip(weight).zip(bias) {
            *out = (x - mean) * scale * weight + bias;
        }
    }
}

#[inline(always)]
fn sum(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (whole, rest) = x.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for x in whole {
        for (lane, x) in lanes.iter_mut().zip(x) {
            *lane += of(*x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += of(*x);
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_and_width_agrees_with_f64() {
        for width in [1, 3, 16, 40, 577] {
            let x: Vec<f32> = (0..5 * width).map(|i| ((i * 37 % 61) as f32 - 25.0) * 0.3).collect();
            let weight: Vec<f32> = (0..width).map(|i| 1.0 + (i % 7) as f32 * 0.1).collect();
            let bias: Vec<f32> = (0..width).map(|i| (i % 5) as f32).collect();
            for tier in Tier::available() {
                let (mut root, mut layer) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
                rms_on(tier, &x, width, &weight, 1e-5, &mut root);
                layer_on(tier, &x, width, [&weight, &bias], 1e-5, &mut layer);
                for (row, x) in x.chunks(width).enumerate() {
                    let mean = |of: &dyn Fn(f64) -> f64| {
                        x.iter().map(|x| of(f64::from(*x))).sum::<f64>() / width as f64
                    };
                    let square = mean(&|x| x * x);
                    let average = mean(&|x| x);
                    let variance = mean(&|x| (x - average).powi(2));
                    for (at, x) in x.iter().enumerate() {
                        let (x, weight) = (f64::from(*x), f64::from(weight[at]));
                        let expected = x / (square + 1e-5).sqrt() * weight;
                        let found = f64::from(root[row * width + at]);
                        assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0));
                        let expected =
                            (x - average) / (variance + 1e-5).sqrt() * weight + f64::from(bias[at]);
                        let found = f64::from(layer[row * width + at]);
                        assert!((found - expected).abs() < 3e-6 * expected.abs().max(1.0));
                    }
                }
            }
        }
    }
}
