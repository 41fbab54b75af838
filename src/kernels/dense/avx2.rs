//! Products of dense weights with AVX2: dot products for few rows of activations, panels for many.

use std::arch::x86_64::*;

use crate::kernels::dense::element::Element;
use crate::kernels::dense::{PANEL, ROWS};

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
            let weights: [__m256; N] =
                std::array::from_fn(|n| unsafe { T::load(weight.as_ptr().add(n * columns + at)) });
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
    let pairs = |a: usize| [_mm256_unpacklo_ps(x[a], x[a + 1]), _mm256_unpackhi_ps(x[a], x[a + 1])];
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
