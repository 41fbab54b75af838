//! Products with dense weights of f32, f16 or bf16, row by row as they lie in memory.
//!
//! Few rows of activations are multiplied straight from the weights: four rows of weights at a time,
//! each a stream. For more rows, sixteen rows of weights are widened and transposed into a panel
//! that stays in the cache while all activations pass by, six rows of them at a time.
//!
//! Sums are in f32, so the error against f64 is below `1e-6` of the sum of the products'
//! magnitudes. A row of activations gives the same bits whatever rows are with it, up to
//! [`FEW`] rows, and the same bits beyond.
#![expect(unsafe_code, reason = "vector instructions, and threads that write to one slice")]

use half::{bf16, f16};

use crate::kernels::pool;
use crate::kernels::shared::Shared;
use crate::kernels::tier::Tier;

/// A weight of shape `(rows, columns)`, row by row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dense<'a> {
    BF16(&'a [bf16]),
    F16(&'a [f16]),
    F32(&'a [f32]),
}

/// `x`, rows of `columns`, times the transposed weight, into `out`: `(x rows, weight rows)`.
pub(crate) fn multiply(x: &[f32], columns: usize, weight: Dense<'_>, out: &mut [f32]) {
    multiply_on(Tier::best(), x, columns, weight, out);
}

fn multiply_on(tier: Tier, x: &[f32], columns: usize, weight: Dense<'_>, out: &mut [f32]) {
    match weight {
        Dense::BF16(weight) => multiply_as(tier, x, columns, weight, out),
        Dense::F16(weight) => multiply_as(tier, x, columns, weight, out),
        Dense::F32(weight) => multiply_as(tier, x, columns, weight, out),
    }
}

fn multiply_as<T: Element>(tier: Tier, x: &[f32], columns: usize, weight: &[T], out: &mut [f32]) {
    assert!(columns > 0 && x.len().is_multiple_of(columns) && weight.len().is_multiple_of(columns));
    let (batch, rows) = (x.len() / columns, weight.len() / columns);
    assert_eq!(out.len(), batch * rows);
    let out = Shared::new(out);
    let step = if batch <= FEW { ROWS } else { PANEL };
    let steps = rows.div_ceil(step);
    let least = SMALLEST_WORK / (step * columns * batch).max(1);
    let grain = (steps / (4 * pool::threads())).clamp(1, 64).max(least);
    pool::for_each(steps, grain, |range| {
        #[cfg(target_arch = "x86_64")]
        let mut panel = Vec::new();
        for start in range.map(|number| number * step) {
            let weight = &weight[start * columns..rows.min(start + step) * columns];
            let mut write = |row: usize, sums: &[f32]| {
                // SAFETY: every step of every row is written by the one thread that got it.
                unsafe { out.write(row * rows + start, sums) };
            };
            match tier {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the tier says that the processor has these instructions.
                Tier::Avx2 if batch <= FEW => unsafe {
                    avx2::few(x, columns, weight, &mut write);
                },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                Tier::Avx2 => unsafe {
                    avx2::many(x, columns, weight, &mut panel, &mut write);
                },
                _ => scalar(x, columns, weight, &mut write),
            }
        }
    });
}

/// Up to so many rows of activations, weights are read once for all of them.
const FEW: usize = 4;
/// Rows of weights multiplied together with few rows of activations.
const ROWS: usize = 4;
/// Rows of weights in a panel.
const PANEL: usize = 16;
/// Products of numbers that one thread does in less time than a hand-over takes.
const SMALLEST_WORK: usize = 1 << 15;

fn scalar<T: Element>(
    x: &[f32],
    columns: usize,
    weight: &[T],
    write: &mut impl FnMut(usize, &[f32]),
) {
    for (row, x) in x.chunks_exact(columns).enumerate() {
        let mut sums = [0.0; PANEL];
        for (sum, weight) in sums.iter_mut().zip(weight.chunks_exact(columns)) {
            // Several sums, which are more exact and vectorize.
            let mut parts = [0.0_f32; 8];
            for (i, (x, weight)) in x.iter().zip(weight).enumerate() {
                parts[i % 8] += x * weight.widen();
            }
            *sum = parts.iter().sum();
        }
        write(row, &sums[..weight.len() / columns]);
    }
}

/// What weights are made of.
trait Element: Copy + Sync {
    fn widen(self) -> f32;

    /// # Safety
    ///
    /// `from` must point to eight of them, and the processor have AVX2 and F16C.
    #[cfg(target_arch = "x86_64")]
    unsafe fn load(from: *const Self) -> std::arch::x86_64::__m256;
}

impl Element for f32 {
    fn widen(self) -> f32 {
        self
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(from: *const Self) -> std::arch::x86_64::__m256 {
        // SAFETY: the caller's promise.
        unsafe { std::arch::x86_64::_mm256_loadu_ps(from) }
    }
}

impl Element for f16 {
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(from: *const Self) -> std::arch::x86_64::__m256 {
        use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps};
        // SAFETY: the caller's promise.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(from.cast()) })
    }
}

impl Element for bf16 {
    fn widen(self) -> f32 {
        self.to_f32()
    }

    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn load(from: *const Self) -> std::arch::x86_64::__m256 {
        use std::arch::x86_64::{
            _mm_loadu_si128, _mm256_castsi256_ps, _mm256_cvtepu16_epi32, _mm256_slli_epi32,
        };
        // SAFETY: the caller's promise.
        let halves = unsafe { _mm_loadu_si128(from.cast()) };
        _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{Element, PANEL, ROWS};

    /// Up to four rows of weights with up to four of activations.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn few<T: Element>(
        x: &[f32],
        columns: usize,
        weight: &[T],
        write: &mut impl FnMut(usize, &[f32]),
    ) {
        if weight.len() == ROWS * columns {
            match x.len() / columns {
                1 => return dots::<T, ROWS, 1>(x, columns, weight, write),
                2 => return dots::<T, ROWS, 2>(x, columns, weight, write),
                _ => {}
            }
            for (row, x) in x.chunks_exact(columns).enumerate() {
                dots::<T, ROWS, 1>(x, columns, weight, &mut |_, sums| write(row, sums));
            }
            return;
        }
        for (row, x) in x.chunks_exact(columns).enumerate() {
            let mut sums = [0.0; ROWS];
            for (sum, weight) in sums.iter_mut().zip(weight.chunks_exact(columns)) {
                dots::<T, 1, 1>(x, columns, weight, &mut |_, one| *sum = one[0]);
            }
            write(row, &sums[..weight.len() / columns]);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn dots<T: Element, const N: usize, const M: usize>(
        x: &[f32],
        columns: usize,
        weight: &[T],
        write: &mut impl FnMut(usize, &[f32]),
    ) {
        assert!(x.len() >= M * columns && weight.len() >= N * columns);
        let mut sums = [[[_mm256_setzero_ps(); 2]; N]; M];
        let whole = columns / 8 * 8;
        let mut at = 0;
        while at < whole {
            // Two sums each, so that one addition need not wait for the other.
            for part in 0..2 {
                if at >= whole {
                    break;
                }
                // SAFETY: rows are `columns` long (asserted above), and eight fit after `at`.
                let weights: [__m256; N] = std::array::from_fn(|n| unsafe {
                    T::load(weight.as_ptr().add(n * columns + at))
                });
                for (m, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let x = unsafe { _mm256_loadu_ps(x.as_ptr().add(m * columns + at)) };
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        sums[part] = _mm256_fmadd_ps(x, weight, sums[part]);
                    }
                }
                at += 8;
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            let mut out = [0.0; N];
            for (n, (out, sums)) in out.iter_mut().zip(sums).enumerate() {
                *out = total(_mm256_add_ps(sums[0], sums[1]));
                for at in whole..columns {
                    *out += x[m * columns + at] * weight[n * columns + at].widen();
                }
            }
            write(m, &out);
        }
    }

    /// Up to sixteen rows of weights with any number of activations.
    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn many<T: Element>(
        x: &[f32],
        columns: usize,
        weight: &[T],
        panel: &mut Vec<f32>,
        write: &mut impl FnMut(usize, &[f32]),
    ) {
        let rows = weight.len() / columns;
        transpose(weight, columns, panel);
        let batch = x.len() / columns;
        let mut row = 0;
        while row < batch {
            let x = &x[row * columns..];
            let mut put = |i: usize, sums: &[f32; PANEL]| write(row + i, &sums[..rows]);
            row += match batch - row {
                1 => tile::<1>(x, columns, panel, &mut put),
                2 => tile::<2>(x, columns, panel, &mut put),
                3 => tile::<3>(x, columns, panel, &mut put),
                4 => tile::<4>(x, columns, panel, &mut put),
                5 => tile::<5>(x, columns, panel, &mut put),
                _ => tile::<6>(x, columns, panel, &mut put),
            };
        }
    }

    /// `panel[column][row]`, with zeros for rows that are not there.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn transpose<T: Element>(weight: &[T], columns: usize, panel: &mut Vec<f32>) {
        let rows = weight.len() / columns;
        panel.clear();
        panel.resize(columns * PANEL, 0.0);
        let whole = columns / 8 * 8;
        for (row, weight) in weight.chunks_exact(columns).enumerate() {
            for at in whole..columns {
                panel[at * PANEL + row] = weight[at].widen();
            }
        }
        for first in (0..rows).step_by(8) {
            for at in (0..whole).step_by(8) {
                let block: [__m256; 8] = std::array::from_fn(|i| {
                    if first + i < rows {
                        // SAFETY: the row is there, and eight fit after `at`.
                        unsafe { T::load(weight.as_ptr().add((first + i) * columns + at)) }
                    } else {
                        _mm256_setzero_ps()
                    }
                });
                for (i, column) in transposed(block).into_iter().enumerate() {
                    let out = &mut panel[(at + i) * PANEL + first..][..8];
                    // SAFETY: eight floats are one vector.
                    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), column) };
                }
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn transposed(x: [__m256; 8]) -> [__m256; 8] {
        let pairs =
            |a: usize| [_mm256_unpacklo_ps(x[a], x[a + 1]), _mm256_unpackhi_ps(x[a], x[a + 1])];
        let (p, q, r, s) = (pairs(0), pairs(2), pairs(4), pairs(6));
        let fours = |a: [__m256; 2], b: [__m256; 2]| {
            [
                _mm256_shuffle_ps::<0x44>(a[0], b[0]),
                _mm256_shuffle_ps::<0xee>(a[0], b[0]),
                _mm256_shuffle_ps::<0x44>(a[1], b[1]),
                _mm256_shuffle_ps::<0xee>(a[1], b[1]),
            ]
        };
        let (upper, lower) = (fours(p, q), fours(r, s));
        std::array::from_fn(|i| {
            if i < 4 {
                _mm256_permute2f128_ps::<0x20>(upper[i], lower[i])
            } else {
                _mm256_permute2f128_ps::<0x31>(upper[i - 4], lower[i - 4])
            }
        })
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn tile<const M: usize>(
        x: &[f32],
        columns: usize,
        panel: &[f32],
        write: &mut impl FnMut(usize, &[f32; PANEL]),
    ) -> usize {
        assert!(x.len() >= M * columns && panel.len() >= columns * PANEL);
        let mut sums = [[_mm256_setzero_ps(); 2]; M];
        for at in 0..columns {
            // SAFETY: the panel has sixteen floats per column (asserted above).
            let weights: [__m256; 2] = std::array::from_fn(|half| unsafe {
                _mm256_loadu_ps(panel.as_ptr().add(at * PANEL + 8 * half))
            });
            for (m, sums) in sums.iter_mut().enumerate() {
                // SAFETY: `M` rows of `columns` (asserted above).
                let x = _mm256_set1_ps(unsafe { *x.get_unchecked(m * columns + at) });
                sums[0] = _mm256_fmadd_ps(x, weights[0], sums[0]);
                sums[1] = _mm256_fmadd_ps(x, weights[1], sums[1]);
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            let mut out = [0.0; PANEL];
            for (half, sums) in sums.iter().enumerate() {
                // SAFETY: sixteen floats are two vectors.
                unsafe { _mm256_storeu_ps(out.as_mut_ptr().add(8 * half), *sums) };
            }
            write(m, &out);
        }
        M
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn total(x: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

#[cfg(test)]
mod tests {
    use half::slice::HalfFloatSliceExt;

    use super::*;

    fn random(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 1009.0 - 0.5).collect()
    }

    #[test]
    fn every_tier_type_and_shape_agrees_with_f64() {
        for (rows, columns) in [(1, 1), (3, 7), (4, 8), (5, 19), (33, 40), (16, 130), (70, 300)] {
            let values = random(rows * columns, 1);
            let mut brain = vec![bf16::ZERO; values.len()];
            brain.convert_from_f32_slice(&values);
            let mut half = vec![f16::ZERO; values.len()];
            half.convert_from_f32_slice(&values);
            for weight in [Dense::F32(&values), Dense::BF16(&brain), Dense::F16(&half)] {
                let value = |at: usize| match weight {
                    Dense::F32(values) => values[at],
                    Dense::BF16(values) => values[at].to_f32(),
                    Dense::F16(values) => values[at].to_f32(),
                };
                for batch in [1, 2, 3, 4, 5, 6, 7, 13] {
                    let x = random(batch * columns, 2);
                    for tier in [Tier::best(), Tier::Scalar] {
                        let mut out = vec![f32::NAN; batch * rows];
                        multiply_on(tier, &x, columns, weight, &mut out);
                        for (at, found) in out.iter().enumerate() {
                            let (i, row) = (at / rows, at % rows);
                            let products = (0..columns).map(|column| {
                                f64::from(x[i * columns + column])
                                    * f64::from(value(row * columns + column))
                            });
                            let expected: f64 = products.clone().sum();
                            let size: f64 = products.map(f64::abs).sum();
                            let error = (f64::from(*found) - expected).abs();
                            assert!(error <= 1e-6 * size, "{rows}x{columns}, {batch}: {error}");
                        }
                    }
                }
            }
        }
    }
}
