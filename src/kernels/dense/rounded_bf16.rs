//! Products in bf16: weights are bf16, and activations are rounded to bf16.
//!
//! Many rows of activations are multiplied in pairs (`vdpbf16ps`) where the processor does that;
//! elsewhere, and for few rows, which wait for memory, rounded activations are multiplied in f32: the results differ by the order of sums alone. The error of sums against
//! f64, of rounded activations, is below `1e-5` of the sum of the products' magnitudes.

use half::bf16;

use crate::kernels::dense::element::{Element, has_pairs};
use crate::kernels::dense::product::{FEW, multiply_as};
use crate::kernels::pool;
use crate::kernels::shared::written;
use crate::kernels::tier::{Tier, tiered};
use crate::kernels::tile::Rows;

/// Whether this processor is faster in bf16 than in f32: AMD's since Zen 4, on paper twice as fast. Intel's have the
/// instruction since 2020 but take twice as long for it as for one in f32 (measured on Emerald
/// Rapids), so that nothing would be won.
pub(crate) fn is_faster() -> bool {
    #[cfg(target_arch = "x86_64")]
    let pays = {
        let maker = std::arch::x86_64::__cpuid(0);
        let maker = [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes).concat();
        has_pairs(Tier::best()) && maker == b"AuthenticAMD"
    };
    #[cfg(not(target_arch = "x86_64"))]
    let pays = false;
    pays
}

/// As [`super::multiply`], with activations rounded to bf16.
pub(super) fn multiply(
    tier: Tier,
    x: &[f32],
    columns: usize,
    weight: &[bf16],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let in_pairs = x.len() / columns > FEW && columns.is_multiple_of(2) && has_pairs(tier);
    match weight.as_chunks::<2>() {
        (pairs, []) if in_pairs => {
            let values = &rounded::<true>(tier, x);
            multiply_as(tier, Rows { values, stride: columns / 2 }, columns / 2, pairs, bias)
        }
        _ => {
            let values = &rounded::<false>(tier, x);
            multiply_as(tier, Rows { values, stride: columns }, columns, weight, bias)
        }
    }
}

/// Numbers rounded to bf16, to the nearest and of two as near to the even one: as numbers, or two at
/// a time as bits of one.
fn rounded<const PAIRS: bool>(tier: Tier, x: &[f32]) -> Vec<f32> {
    const PART: usize = 4096;
    let per = if PAIRS { 2 } else { 1 };
    // SAFETY: every part is written.
    let mut out = unsafe {
        written(&[x.len() / per], |outs| {
            let parts = x.len().div_ceil(PART);
            pool::for_each(parts, pool::grain(parts, PART), |range| {
                for part in range {
                    let x = &x[part * PART..x.len().min((part + 1) * PART)];
                    // SAFETY: each part is given out once.
                    let out = outs[0].part(part * PART / per, x.len() / per);
                    if PAIRS { round_pairs(tier, x, out) } else { round(tier, x, out) }
                }
            });
        })
    };
    out.swap_remove(0)
}

tiered! {
    fn round(x: &[f32], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = bf16::from_f32(*x).to_f32();
        }
    }
}

tiered! {
    fn round_pairs(x: &[f32], out: &mut [f32]) {
        for (out, [first, second]) in out.iter_mut().zip(x.as_chunks::<2>().0) {
            *out = [*first, *second].map(bf16::from_f32).widen();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_as_the_standard_conversion() {
        let mut x: Vec<f32> =
            (0..70_000_u32).map(|at| f32::from_bits(at.wrapping_mul(61_681))).collect();
        x.extend([
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::from_bits(!0),
            -0.0,
            257.0 / 256.0,
        ]);
        for tier in Tier::available() {
            let pairs = rounded::<true>(tier, &x);
            for (at, (rounded, x)) in rounded::<false>(tier, &x).iter().zip(&x).enumerate() {
                let expected = bf16::from_f32(*x);
                let of_pair = pairs[at / 2].to_bits() >> (at % 2 * 16) & 0xffff;
                for found in [rounded.to_bits() >> 16, of_pair] {
                    let found = bf16::from_bits(found as u16);
                    assert!(found == expected || (found.is_nan() && x.is_nan()), "{x}: {found}");
                }
            }
        }
    }

    /// Rows and columns that fill tiles, and some that do not; few and many activations, odd ones too.
    #[test]
    fn products_agree_with_f64() {
        let random = |length: usize, seed: usize| -> Vec<f32> {
            let number = |at: usize| ((at * 7919 + seed * 101) % 1009) as f32 / 1009.0 - 0.5;
            (0..length).map(number).collect()
        };
        for (rows, columns) in [(1, 2), (5, 19), (33, 40), (96, 130), (70, 1700)] {
            let weight: Vec<bf16> =
                random(rows * columns, 1).into_iter().map(bf16::from_f32).collect();
            let bias = random(rows, 3);
            for batch in [1, 4, 5, 8, 31] {
                let x = random(batch * columns, 2);
                let exact = |x: f32| f64::from(bf16::from_f32(x).to_f32());
                for tier in Tier::available() {
                    let out = multiply(tier, &x, columns, &weight, Some(&bias));
                    assert_eq!(out.len(), batch * rows);
                    for (at, found) in out.into_iter().enumerate() {
                        let x = &x[at / rows * columns..][..columns];
                        let weight = &weight[at % rows * columns..][..columns];
                        let products = x.iter().zip(weight).map(|(x, w)| exact(*x) * f64::from(*w));
                        let bias = f64::from(bias[at % rows]);
                        let size = products.clone().map(f64::abs).sum::<f64>() + bias.abs();
                        let error = (f64::from(found) - products.sum::<f64>() - bias).abs();
                        assert!(
                            error <= 1e-5 * size,
                            "{rows}x{columns}, {batch}: {error} of {size}"
                        );
                    }
                }
            }
        }
    }
}
