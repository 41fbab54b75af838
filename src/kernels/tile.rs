//! Small matrix products whose right side lies in the cache: what larger ones are made of.
//! Matrices are turned here too.
#![expect(unsafe_code, reason = "vector instructions")]

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use crate::kernels::tier::{Tier, tiered};

/// A matrix in a slice: rows of which each begins `stride` after the one before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
}

/// What becomes of a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Into<'a> {
    /// It is added to what is there.
    Add,
    /// It is written, with a number for each column added.
    Plus(&'a [f32]),
    Write,
}

impl Into<'_> {
    /// The same from a column on.
    fn from(self, column: usize) -> Self {
        match self {
            Self::Plus(numbers) => Self::Plus(&numbers[column..]),
            other => other,
        }
    }
}

/// How many rows of the left matrix and columns of the right one are multiplied at once, at best: more
/// of both make faster products.
pub(super) const fn tile(tier: Tier) -> [usize; 2] {
    match tier {
        Tier::Avx512 => [8, 48],
        _ => [6, 16],
    }
}

/// `left`, `(rows, depth)`, times `right`, `(depth, columns)`, into `out`, rows of `stride`. Columns
/// are a multiple of 8. Each row gives the same bits whatever rows are with it.
pub(super) fn product(
    tier: Tier,
    left: Rows<'_>,
    right: Rows<'_>,
    [rows, depth, columns]: [usize; 3],
    out: &mut [f32],
    stride: usize,
    into: Into<'_>,
) {
    assert!(fits(out.len(), stride, rows, columns));
    // SAFETY: `out` is as large as the shape says (asserted above), and ours alone.
    unsafe {
        let out = out.as_mut_ptr();
        product_at::<false>(tier, left, right, [rows, depth, columns], out, stride, into);
    }
}

/// [`product`], where others write between the rows of `out`. With `PAIRS` each number of the matrices
/// is the bits of two of bf16, which are multiplied each with its like and added to the same sum.
///
/// # Safety
///
/// `out` must point to `rows` rows of `columns` numbers, each `stride` after the one before, which
/// nobody else touches meanwhile. For `PAIRS` the processor must have AVX512-BF16.
///
/// # Panics
///
/// For `PAIRS`, when the tier is not AVX-512.
pub(super) unsafe fn product_at<const PAIRS: bool>(
    tier: Tier,
    left: Rows<'_>,
    right: Rows<'_>,
    [rows, depth, columns]: [usize; 3],
    out: *mut f32,
    stride: usize,
    into: Into<'_>,
) {
    assert!(!PAIRS || tier == Tier::Avx512);
    assert!(columns.is_multiple_of(8));
    assert!(fits(left.values.len(), left.stride, rows, depth));
    assert!(fits(right.values.len(), right.stride, depth, columns));
    assert!(!matches!(into, Into::Plus(numbers) if numbers.len() != columns));
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier says that the processor has these instructions; the left and the right
        // matrix are as large as the shape says (asserted above), and `out` is (the caller's
        // promise).
        Tier::Avx512 => unsafe {
            avx512::product::<PAIRS>(left, right, [rows, depth, columns], out, stride, into);
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Tier::AvxVnni | Tier::Avx2 => unsafe {
            avx2::product(left, right, [rows, depth, columns], out, stride, into);
        },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Tier::Neon | Tier::NeonDot | Tier::NeonI8mm => unsafe {
            neon::product(left, right, [rows, depth, columns], out, stride, into);
        },
        // SAFETY: as above.
        _ => unsafe { scalar(left, right, [rows, depth, columns], out, stride, into) },
    }
}

/// Whether `rows` of `width` numbers, each `stride` after the one before, lie in `length`.
fn fits(length: usize, stride: usize, rows: usize, width: usize) -> bool {
    rows == 0 || (width <= stride && (rows - 1) * stride + width <= length)
}

/// # Safety
///
/// As of [`product_at`].
unsafe fn scalar(
    left: Rows<'_>,
    right: Rows<'_>,
    [rows, depth, columns]: [usize; 3],
    out: *mut f32,
    stride: usize,
    into: Into<'_>,
) {
    for row in 0..rows {
        // SAFETY: the caller's promise.
        let out = unsafe { std::slice::from_raw_parts_mut(out.add(row * stride), columns) };
        match into {
            Into::Add => {}
            Into::Plus(numbers) => out.copy_from_slice(numbers),
            Into::Write => out.fill(0.0),
        }
        for at in 0..depth {
            let factor = left.values[row * left.stride + at];
            for (out, right) in out.iter_mut().zip(&right.values[at * right.stride..]) {
                *out += factor * right;
            }
        }
    }
}

tiered! {
    /// `(rows, columns)` to `(columns, rows)`, rows of `stride`.
    pub(super) fn turn(from: Rows<'_>, shape: [usize; 2], out: &mut [f32], stride: usize) {
        let [rows, columns] = shape;
        let (whole_rows, whole_columns) = (rows / 8 * 8, columns / 8 * 8);
        for row in (0..whole_rows).step_by(8) {
            for column in (0..whole_columns).step_by(8) {
                let mut block = [[0.0_f32; 8]; 8];
                for (i, values) in block.iter_mut().enumerate() {
                    values.copy_from_slice(&from.values[(row + i) * from.stride + column..][..8]);
                }
                for i in 0..8 {
                    let turned: [f32; 8] = std::array::from_fn(|j| block[j][i]);
                    out[(column + i) * stride + row..][..8].copy_from_slice(&turned);
                }
            }
        }
        for row in 0..rows {
            let rest = if row < whole_rows { whole_columns } else { 0 };
            for column in rest..columns {
                out[column * stride + row] = from.values[row * from.stride + column];
            }
        }
    }
}

/// A part of the matrices: `depth` numbers of rows of the left one, and the first of some
/// columns of the others.
#[derive(Clone, Copy)]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
struct Part<'a> {
    left: *const f32,
    left_stride: usize,
    right: *const f32,
    right_stride: usize,
    depth: usize,
    out: *mut f32,
    stride: usize,
    into: Into<'a>,
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
impl<'a> Part<'a> {
    /// From a row of the left matrix and a column of the right one on.
    fn new(
        left: Rows<'_>,
        right: Rows<'_>,
        depth: usize,
        out: *mut f32,
        stride: usize,
        into: Into<'a>,
        [row, column]: [usize; 2],
    ) -> Self {
        Self {
            left: left.values.as_ptr().wrapping_add(row * left.stride),
            left_stride: left.stride,
            right: right.values.as_ptr().wrapping_add(column),
            right_stride: right.stride,
            depth,
            out: out.wrapping_add(row * stride + column),
            stride,
            into: into.from(column),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{Into, Part, Rows};

    /// # Safety
    ///
    /// The matrices must be as large as the shape says.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn product(
        left: Rows<'_>,
        right: Rows<'_>,
        [rows, depth, columns]: [usize; 3],
        out: *mut f32,
        stride: usize,
        into: Into<'_>,
    ) {
        for column in (0..columns).step_by(16) {
            let wide = columns - column >= 16;
            for row in (0..rows).step_by(6) {
                let part = Part::new(left, right, depth, out, stride, into, [row, column]);
                // SAFETY: so many rows, and eight or sixteen columns, are left (the caller's
                // promise).
                unsafe {
                    match (rows - row, wide) {
                        (1, true) => part.multiply::<1, 2>(),
                        (2, true) => part.multiply::<2, 2>(),
                        (3, true) => part.multiply::<3, 2>(),
                        (4, true) => part.multiply::<4, 2>(),
                        (5, true) => part.multiply::<5, 2>(),
                        (_, true) => part.multiply::<6, 2>(),
                        (1, false) => part.multiply::<1, 1>(),
                        (2, false) => part.multiply::<2, 1>(),
                        (3, false) => part.multiply::<3, 1>(),
                        (4, false) => part.multiply::<4, 1>(),
                        (5, false) => part.multiply::<5, 1>(),
                        (_, false) => part.multiply::<6, 1>(),
                    }
                }
            }
        }
    }

    impl Part<'_> {
        /// # Safety
        ///
        /// There must be `M` rows and `8 N` columns.
        #[inline]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn multiply<const M: usize, const N: usize>(self) {
            let mut sums = [[_mm256_setzero_ps(); N]; M];
            // The compiler must not know how rows lie, or it adds strides in the loop.
            let left: [*const f32; M] = std::array::from_fn(|m| {
                std::hint::black_box(self.left.wrapping_add(m * self.left_stride))
            });
            for m in 0..M {
                _mm_prefetch::<_MM_HINT_T0>(self.out.wrapping_add(m * self.stride).cast());
            }
            let mut right = self.right;
            macro_rules! step {
                ($at:expr) => {
                    // SAFETY: the caller's promise; row `at` is one of `depth`.
                    let columns: [__m256; N] =
                        std::array::from_fn(|n| unsafe { _mm256_loadu_ps(right.add(8 * n)) });
                    right = right.wrapping_add(self.right_stride);
                    for (left, sums) in left.iter().zip(&mut sums) {
                        // SAFETY: as above.
                        let left = _mm256_set1_ps(unsafe { *left.add($at) });
                        for (sum, column) in sums.iter_mut().zip(columns) {
                            *sum = _mm256_fmadd_ps(left, column, *sum);
                        }
                    }
                };
            }
            let fours = self.depth / 4 * 4;
            for four in (0..fours).step_by(4) {
                for at in four..four + 4 {
                    step!(at);
                }
            }
            for at in fours..self.depth {
                step!(at);
            }
            for (m, sums) in sums.iter().enumerate() {
                for (n, sum) in sums.iter().enumerate() {
                    // SAFETY: as above.
                    unsafe {
                        let out = self.out.add(m * self.stride + 8 * n);
                        let sum = match self.into {
                            Into::Add => _mm256_add_ps(*sum, _mm256_loadu_ps(out)),
                            Into::Plus(numbers) => {
                                _mm256_add_ps(*sum, _mm256_loadu_ps(numbers.as_ptr().add(8 * n)))
                            }
                            Into::Write => *sum,
                        };
                        _mm256_storeu_ps(out, sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_and_shape_agrees_with_f64() {
        let numbers = |length: usize, seed: usize| -> Vec<f32> {
            (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 1009.0 - 0.5).collect()
        };
        for (rows, depth, columns) in [(1, 1, 8), (5, 7, 24), (6, 64, 16), (13, 33, 40)] {
            let (left, right) = (numbers(rows * (depth + 3), 1), numbers(depth * (columns + 1), 2));
            let before = numbers(rows * (columns + 2), 3);
            for tier in Tier::available() {
                for into in [Into::Add, Into::Write] {
                    let mut out = before.clone();
                    let left_rows = Rows { values: &left, stride: depth + 3 };
                    let right_rows = Rows { values: &right, stride: columns + 1 };
                    let shape = [rows, depth, columns];
                    product(tier, left_rows, right_rows, shape, &mut out, columns + 2, into);
                    for (at, (found, before)) in out.iter().zip(&before).enumerate() {
                        let (row, column) = (at / (columns + 2), at % (columns + 2));
                        if column >= columns {
                            assert_eq!(found, before);
                            continue;
                        }
                        let start = if into == Into::Add { f64::from(*before) } else { 0.0 };
                        let expected = (0..depth).fold(start, |sum, at| {
                            let left = f64::from(left[row * (depth + 3) + at]);
                            sum + left * f64::from(right[at * (columns + 1) + column])
                        });
                        assert!((f64::from(*found) - expected).abs() < 1e-5);
                    }
                }
            }
        }
    }
}
