//! Products with dense weights of f32, f16 or bf16, row by row as they lie in memory.
//!
//! Few rows of activations are multiplied straight from the weights, in long streams. More rows, up to some
//! hundred, are transposed once for all weights ([`turned`]). For more than these, weights are widened and
//! transposed into panels that stay in the cache ([`blocked`]). Where
//! it was asked for and is faster, weights in bf16 are multiplied as they are ([`rounded_bf16`]).
//!
//! Sums are in f32, so the error against f64 is below `3e-6` of the sum of the products'
//! magnitudes. A row of activations gives the same bits whatever rows are with it: where it is
//! alone, where it is one of two to four, and beyond.
#![expect(unsafe_code, reason = "vector instructions, and threads that write to one slice")]

#[cfg(target_arch = "x86_64")]
mod avx2;
mod blocked;
mod element;
#[cfg(target_arch = "aarch64")]
mod neon;
mod panel;
mod product;
pub(crate) mod rounded_bf16;
mod transpose;
mod turned;

use half::{bf16, f16};

use crate::kernels::tier::Tier;
use crate::kernels::tile::Rows;
use product::multiply_as;
pub(super) use product::widen;

/// A weight of shape `(rows, columns)`, row by row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dense<'a> {
    BF16(&'a [bf16]),
    /// bf16, for activations rounded to it.
    RoundedBF16(&'a [bf16]),
    F16(&'a [f16]),
    F32(&'a [f32]),
}

impl Dense<'_> {
    /// The same weight, for activations rounded to bf16 if it is in it.
    pub(crate) fn rounded(self) -> Self {
        match self {
            Self::BF16(weight) => Self::RoundedBF16(weight),
            other => other,
        }
    }
}

/// `x`, rows of `columns`, times the transposed weight: `(x rows, weight rows)`. A bias has one number
/// for each row of the weight.
pub(crate) fn multiply(
    x: &[f32],
    columns: usize,
    weight: Dense<'_>,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    multiply_on(Tier::best(), x, columns, weight, bias)
}

/// As [`multiply`], of rows of `columns` of which each begins `stride` after the one before, so that they
/// overlap: those of a convolution. As many as `x` holds.
pub(crate) fn multiply_overlapping(
    x: &[f32],
    stride: usize,
    columns: usize,
    weight: Dense<'_>,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    multiply_rows(Tier::best(), Rows { values: x, stride }, columns, weight, bias)
}

fn multiply_on(
    tier: Tier,
    x: &[f32],
    columns: usize,
    weight: Dense<'_>,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    assert!(columns > 0 && x.len().is_multiple_of(columns));
    match weight {
        Dense::RoundedBF16(weight) => rounded_bf16::multiply(tier, x, columns, weight, bias),
        _ => multiply_rows(tier, Rows { values: x, stride: columns }, columns, weight, bias),
    }
}

/// Of rows that may overlap; activations are not rounded.
fn multiply_rows(
    tier: Tier,
    x: Rows<'_>,
    columns: usize,
    weight: Dense<'_>,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    match weight {
        Dense::BF16(weight) | Dense::RoundedBF16(weight) => {
            multiply_as(tier, x, columns, weight, bias)
        }
        Dense::F16(weight) => multiply_as(tier, x, columns, weight, bias),
        Dense::F32(weight) => multiply_as(tier, x, columns, weight, bias),
    }
}

#[cfg(test)]
mod tests {
    use half::slice::HalfFloatSliceExt;

    use super::*;
    use crate::kernels::pool;

    fn random(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 1009.0 - 0.5).collect()
    }

    #[test]
    fn every_tier_type_and_shape_agrees_with_f64() {
        for (rows, columns) in
            [(0, 3), (1, 1), (3, 7), (4, 8), (5, 19), (33, 40), (16, 130), (70, 300), (40, 800)]
        {
            let values = random(rows * columns, 1);
            let mut narrow = vec![bf16::ZERO; values.len()];
            narrow.convert_from_f32_slice(&values);
            let mut half = vec![f16::ZERO; values.len()];
            half.convert_from_f32_slice(&values);
            for weight in [Dense::F32(&values), Dense::BF16(&narrow), Dense::F16(&half)] {
                let value = |at: usize| match weight {
                    Dense::F32(values) => values[at],
                    Dense::BF16(values) | Dense::RoundedBF16(values) => values[at].to_f32(),
                    Dense::F16(values) => values[at].to_f32(),
                };
                let biases = random(rows, 3);
                for batch in [1, 2, 3, 4, 5, 6, 7, 13] {
                    let x = random(batch * columns, 2);
                    let bias = (batch % 2 == 0).then_some(&*biases);
                    for tier in Tier::available() {
                        let out = multiply_on(tier, &x, columns, weight, bias);
                        assert_eq!(out.len(), batch * rows);
                        for (at, found) in out.iter().enumerate() {
                            let (i, row) = (at / rows, at % rows);
                            let products = (0..columns).map(|column| {
                                f64::from(x[i * columns + column])
                                    * f64::from(value(row * columns + column))
                            });
                            let bias = bias.map_or(0.0, |bias| f64::from(bias[row]));
                            let expected = products.clone().sum::<f64>() + bias;
                            let size = products.map(f64::abs).sum::<f64>() + bias.abs();
                            let error = (f64::from(*found) - expected).abs();
                            assert!(error <= 3e-6 * size, "{rows}x{columns}, {batch}: {error}");
                        }
                    }
                }
            }
        }
    }

    /// Whether activations are transposed or weights, and whatever rows are with one.
    #[test]
    fn many_rows_give_the_same_bits_as_some() {
        for (rows, columns) in [(49 * pool::threads(), 803), (193 * pool::threads(), 40)] {
            let (weight, bias) = (random(rows * columns, 1), random(rows, 3));
            let mut half = vec![f16::ZERO; weight.len()];
            half.convert_from_f32_slice(&weight);
            for weight in [Dense::F32(&weight), Dense::F16(&half)] {
                let x = random(130 * columns, 2);
                for tier in Tier::available() {
                    let all = multiply_on(tier, &x, columns, weight, Some(&bias));
                    for batch in [5, 9, 50, 128] {
                        let x = &x[..batch * columns];
                        let some = multiply_on(tier, x, columns, weight, Some(&bias));
                        assert!(some == all[..batch * rows], "{tier:?}, {rows}x{columns}, {batch}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_that_overlap_are_those_written_out() {
        for (rows, columns, stride, batch) in
            [(1, 1, 1, 3), (5, 19, 7, 1), (33, 40, 8, 4), (16, 130, 1, 40), (70, 1700, 170, 9)]
        {
            let (weight, bias) = (random(rows * columns, 1), random(rows, 3));
            // What is left does not make a row.
            let x = random((batch - 1) * stride + columns + (stride - 1), 2);
            let starts = (0..batch).map(|row| row * stride);
            let written: Vec<f32> =
                starts.flat_map(|start| x[start..start + columns].iter().copied()).collect();
            let weight = Dense::F32(&weight);
            for tier in Tier::available() {
                let overlapping = Rows { values: &x, stride };
                let found = multiply_rows(tier, overlapping, columns, weight, Some(&bias));
                let expected = multiply_on(tier, &written, columns, weight, Some(&bias));
                assert_eq!(found.len(), batch * rows);
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-4, "{tier:?}: {found}, not {expected}");
                }
            }
        }
        assert!(multiply_overlapping(&[0.0; 3], 1, 4, Dense::F32(&[0.0; 8]), None).is_empty());
    }
}
