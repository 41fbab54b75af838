//! Products of dense weights with AVX2: dot products for few rows of activations, transposing for
//! many.

use std::arch::x86_64::*;

use crate::kernels::dense::element::Element;

/// Rows of weights with up to four of activations; `write` gets the number of the row of activations,
/// of that of weights, and the sum.
///
/// Four rows at a time, each from another quarter of them: four long streams keep the memory busier
/// than one, and than four short ones, whose ends the processor does not see coming.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn few<T: Element>(
    x: &[f32],
    columns: usize,
    weight: &[T],
    write: &mut impl FnMut(usize, usize, f32),
) {
    let quarter = weight.len() / columns / 4;
    let row = |row: usize| &weight[row * columns..][..columns];
    for first in 0..quarter {
        let rows = [0, 1, 2, 3].map(|part| row(part * quarter + first));
        let mut write = |m: usize, n: usize, sum: f32| write(m, n * quarter + first, sum);
        match x.len() / columns {
            1 => dots::<T, 1, 4, 2>(x, columns, rows, &mut write),
            2 => dots::<T, 2, 4, 1>(x, columns, rows, &mut write),
            3 => dots::<T, 3, 4, 1>(x, columns, rows, &mut write),
            _ => {
                let (two, rest) = x.split_at(2 * columns);
                dots::<T, 2, 4, 1>(two, columns, rows, &mut write);
                dots::<T, 2, 4, 1>(rest, columns, rows, &mut |m, n, sum| write(m + 2, n, sum));
            }
        }
    }
    for last in 4 * quarter..weight.len() / columns {
        for (m, x) in x.chunks_exact(columns).enumerate() {
            dots::<T, 1, 1, 2>(x, columns, [row(last)], &mut |_, _, sum| write(m, last, sum));
        }
    }
}

/// `N` rows of weights with `M` of activations, with `P` sums of each, so that one addition need not
/// wait for the other.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dots<T: Element, const M: usize, const N: usize, const P: usize>(
    x: &[f32],
    columns: usize,
    weight: [&[T]; N],
    write: &mut impl FnMut(usize, usize, f32),
) {
    assert!(x.len() >= M * columns && weight.iter().all(|row| row.len() >= columns));
    let mut sums = [[[_mm256_setzero_ps(); P]; N]; M];
    let (steps, whole) = (columns / (8 * P) * 8 * P, columns / 8 * 8);
    let mut add = |at: usize, part: usize| {
        if at.is_multiple_of(64 / size_of::<T>()) {
            weight.iter().for_each(|row| fetch(row, at + 768 / size_of::<T>()));
        }
        // SAFETY: rows are `columns` long (asserted above), and eight fit after `at`.
        let weights = weight.map(|row| unsafe { T::load(row.as_ptr().add(at)) });
        for (m, sums) in sums.iter_mut().enumerate() {
            // SAFETY: as above.
            let x = unsafe { _mm256_loadu_ps(x.as_ptr().add(m * columns + at)) };
            for (sums, weight) in sums.iter_mut().zip(weights) {
                sums[part] = _mm256_fmadd_ps(x, weight, sums[part]);
            }
        }
    };
    for at in (0..steps).step_by(8 * P) {
        for part in 0..P {
            add(at + 8 * part, part);
        }
    }
    for at in (steps..whole).step_by(8) {
        add(at, 0);
    }
    for (m, sums) in sums.into_iter().enumerate() {
        for (n, parts) in sums.into_iter().enumerate() {
            let parts = parts.into_iter().reduce(|a, b| _mm256_add_ps(a, b));
            let mut sum = parts.map_or(0.0, |sum| total(sum));
            for at in whole..columns {
                sum += x[m * columns + at] * weight[n][at].widen();
            }
            write(m, n, sum);
        }
    }
}

/// Has the cache line of a weight that is due soon fetched, or one behind them all: the processor looks ahead
/// within a page only, and by itself has fewer loads on their way than memory answers at a time.
#[inline]
#[target_feature(enable = "avx2")]
fn fetch<T>(weights: &[T], at: usize) {
    _mm_prefetch::<_MM_HINT_T0>(weights.as_ptr().wrapping_add(at).cast());
}

/// Numbers as f32.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn widen<T: Element>(from: &[T], out: &mut [f32]) {
    let (eights, rest) = from.as_chunks::<8>();
    let (out_eights, out_rest) = out.as_chunks_mut::<8>();
    for (out, from) in out_eights.iter_mut().zip(eights) {
        // SAFETY: both are eight numbers.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), T::load(from.as_ptr())) };
    }
    out_rest.iter_mut().zip(rest).for_each(|(out, from)| *out = from.widen());
}

/// `panel[column][row]` of `columns` of up to `width` rows of weights, a multiple of 8, which begin
/// `stride` after each other; zeros for rows that are not there.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn transpose<T: Element>(
    weight: &[T],
    stride: usize,
    columns: usize,
    panel: &mut [f32],
    width: usize,
) {
    /// Columns that are fetched before they are due: farther ones would be of other rows.
    const AHEAD: usize = 64;
    let rows = weight.len().saturating_sub(columns) / stride + 1;
    assert!(weight.len() >= columns && panel.len() == columns * width && rows <= width);
    assert!(width.is_multiple_of(8));
    let whole = columns / 8 * 8;
    // All rows side by side, so that lines of the panel are written whole.
    for at in (0..whole).step_by(8) {
        for first in (0..width).step_by(8) {
            for i in first..first + 8 {
                fetch(weight, i * stride + at + AHEAD);
            }
            let block: [__m256; 8] = std::array::from_fn(|i| {
                if first + i < rows {
                    // SAFETY: the row is there, and eight fit after `at`.
                    unsafe { T::load(weight.as_ptr().add((first + i) * stride + at)) }
                } else {
                    _mm256_setzero_ps()
                }
            });
            for (i, column) in transposed(block).into_iter().enumerate() {
                // SAFETY: the panel has `width` floats per column (asserted above).
                unsafe {
                    _mm256_storeu_ps(panel.as_mut_ptr().add((at + i) * width + first), column)
                }
            }
        }
    }
    super::transpose::transpose(weight, stride, whole..columns, panel, width);
}

/// `from: (rows, columns)`, rows of `stride`, to `(columns, rows)`, of which each begins `out_stride` after the one
/// before.
///
/// # Safety
///
/// `out` must point to so many columns, which nobody else touches meanwhile.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn turn(
    from: &[f32],
    stride: usize,
    [rows, columns]: [usize; 2],
    out: *mut f32,
    out_stride: usize,
) {
    assert!(rows > 0 && columns <= stride && from.len() >= (rows - 1) * stride + columns);
    let (whole_rows, whole_columns) = (rows / 8 * 8, columns / 8 * 8);
    for column in (0..whole_columns).step_by(8) {
        // What is written lies side by side.
        for row in (0..whole_rows).step_by(8) {
            // SAFETY: so many rows and columns are there (asserted above, and the caller's promise).
            unsafe {
                let from = from.as_ptr().add(row * stride + column);
                let block = std::array::from_fn(|i| _mm256_loadu_ps(from.add(i * stride)));
                for (i, turned) in transposed(block).into_iter().enumerate() {
                    _mm256_storeu_ps(out.add((column + i) * out_stride + row), turned);
                }
            }
        }
    }
    for column in 0..columns {
        let rest = if column < whole_columns { whole_rows } else { 0 };
        for row in rest..rows {
            // SAFETY: as above.
            unsafe { *out.add(column * out_stride + row) = from[row * stride + column] };
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
fn total(x: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
