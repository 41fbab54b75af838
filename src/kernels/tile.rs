//! Small matrix products whose right side lies in the cache: the building blocks of larger
//! products. Transposition of small matrices.
#![expect(unsafe_code, reason = "vector instructions")]

use crate::kernels::tier::{Tier, tiered};
#[cfg(target_arch = "aarch64")]
use crate::kernels::vector::Neon;
#[cfg(target_arch = "x86_64")]
use crate::kernels::vector::{Narrow, NarrowPairs, Wide, WidePairs};
use crate::kernels::vector::{Number, Plain, Vector};

/// A matrix in a slice: rows of which each begins `stride` after the one before. They overlap where they
/// are longer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a, T = f32> {
    pub(super) values: &'a [T],
    pub(super) stride: usize,
}

impl<T> Rows<'_, T> {
    /// How many rows of this length there are.
    pub(super) fn count(&self, width: usize) -> usize {
        match self.values.len().checked_sub(width) {
            Some(others) if self.stride > 0 => others / self.stride + 1,
            _ => 0,
        }
    }
}

/// What happens to a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Store<'a> {
    /// Adds the product to what is there.
    Accumulate,
    /// Writes the product.
    Write,
    /// Writes the product plus a bias for each column.
    WriteWithBias(&'a [f32]),
}

impl Store<'_> {
    /// The same from a column on.
    fn from(self, column: usize) -> Self {
        match self {
            Self::WriteWithBias(numbers) => Self::WriteWithBias(&numbers[column..]),
            other => other,
        }
    }
}

/// What is fetched from memory into the caches while a product is computed, since it is read soon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    /// Where it begins. The memory need not be valid.
    pub(super) from: *const u8,
    /// Bytes for each row of the left matrix.
    pub(super) bytes: usize,
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
/// are a multiple of 8. Numbers of f16 are widened as they are read. Each row gives the same bits whatever rows are with it.
pub(super) fn product<T: Number>(
    tier: Tier,
    left: Rows<'_>,
    right: Rows<'_, T>,
    [rows, depth, columns]: [usize; 3],
    out: &mut [f32],
    stride: usize,
    into: Store<'_>,
) {
    assert!(columns <= stride && fits(out.len(), stride, rows, columns));
    // SAFETY: `out` is as large as the shape says (asserted above), and ours alone.
    unsafe {
        let out = out.as_mut_ptr();
        product_at::<false, T>(
            tier,
            left,
            right,
            [rows, depth, columns],
            (out, stride),
            into,
            None,
        );
    }
}

/// [`product`], where others write between the rows of `out`. With `PAIRS` each number of the matrices
/// is the bits of two of bf16, which are multiplied each with its like and added to the same sum.
/// What is `ahead` is fetched meanwhile.
///
/// # Safety
///
/// `out` must point to `rows` rows of `columns` numbers, each `stride` after the one before, which
/// nobody else touches meanwhile. For `PAIRS` the processor must have AVX512-BF16.
///
/// # Panics
///
/// For `PAIRS`, when the tier is not AVX-512.
pub(super) unsafe fn product_at<const PAIRS: bool, T: Number>(
    tier: Tier,
    left: Rows<'_>,
    right: Rows<'_, T>,
    [rows, depth, columns]: [usize; 3],
    (out, stride): (*mut f32, usize),
    into: Store<'_>,
    ahead: Option<Ahead>,
) {
    assert!(!PAIRS || tier == Tier::Avx512);
    assert!(columns.is_multiple_of(8));
    assert!(fits(left.values.len(), left.stride, rows, depth));
    assert!(fits(right.values.len(), right.stride, depth, columns));
    assert!(!matches!(into, Store::WriteWithBias(numbers) if numbers.len() != columns));
    let whole = Part {
        left: left.values.as_ptr(),
        left_stride: left.stride,
        right: right.values.as_ptr(),
        right_stride: right.stride,
        depth,
        out,
        stride,
        into,
        ahead: ahead.unwrap_or(Ahead { from: std::ptr::null(), bytes: 0 }),
    };
    match tier {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the tier says that the processor has these instructions (the caller that it has those
        // for pairs); the left and the right matrix are as large as the shape says (asserted above),
        // and `out` is (the caller's promise).
        Tier::Avx512 => unsafe {
            match (PAIRS, ahead.is_some()) {
                (true, true) => avx512::<WidePairs, NarrowPairs, T, true>(whole, rows, columns),
                (true, false) => avx512::<WidePairs, NarrowPairs, T, false>(whole, rows, columns),
                (false, true) => avx512::<Wide, Narrow, T, true>(whole, rows, columns),
                (false, false) => avx512::<Wide, Narrow, T, false>(whole, rows, columns),
            }
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Tier::AvxVnni | Tier::Avx2 => unsafe {
            match ahead {
                Some(_) => avx2::<T, true>(whole, rows, columns),
                None => avx2::<T, false>(whole, rows, columns),
            }
        },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Tier::Neon | Tier::NeonDot | Tier::NeonI8mm => unsafe {
            by_six::<Neon, 4, 2, T, false>(whole, rows, columns);
        },
        // SAFETY: as above.
        _ => unsafe { by_six::<Plain, 2, 1, T, false>(whole, rows, columns) },
    }
}

/// Whether `rows` of `width` numbers, each `stride` after the one before, lie in `length`.
fn fits(length: usize, stride: usize, rows: usize, width: usize) -> bool {
    rows == 0 || (rows - 1) * stride + width <= length
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

/// Multiplies so many rows with so many vectors of columns: those that are left, if they are among
/// these numbers.
macro_rules! multiply {
    ($part:expr, $vector:ty, $rows:expr, $wide:expr, $($count:literal)*) => {
        match $rows {
            $($count => $part.multiply::<$vector, $count, { $wide }, AHEAD>(),)*
            _ => {}
        }
    };
}

/// # Safety
///
/// There must be so many rows and columns, a multiple of 8, and the processor have AVX-512 and what
/// else the vectors, of 16 and 8, take.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,f16c")]
unsafe fn avx512<W: Vector, N: Vector, T: Number, const AHEAD: bool>(
    whole: Part<'_, T>,
    rows: usize,
    columns: usize,
) {
    let mut column = 0;
    while column < columns {
        let vectors = (columns - column) / 16;
        // Some 24 sums keep both multipliers busy. The squarer their shape, the fewer loads they take:
        // 11 a step with 8 by 3, 14 with 12 by 2, which is a third slower where another thread
        // shares the core.
        let (width, high) = match vectors {
            0 => (8, 12),
            1 | 2 => (16 * vectors, 12),
            _ if vectors.is_multiple_of(4) && !vectors.is_multiple_of(3) => (64, 6),
            _ => (48, 8),
        };
        for row in (0..rows).step_by(high) {
            let (part, rows) = (whole.from(row, column), high.min(rows - row));
            // SAFETY: so many rows and columns are left (the caller's promise).
            unsafe {
                match width {
                    8 => multiply!(part, N, rows, 1, 1 2 3 4 5 6 7 8 9 10 11 12),
                    16 => multiply!(part, W, rows, 1, 1 2 3 4 5 6 7 8 9 10 11 12),
                    32 => multiply!(part, W, rows, 2, 1 2 3 4 5 6 7 8 9 10 11 12),
                    48 => multiply!(part, W, rows, 3, 1 2 3 4 5 6 7 8),
                    _ => multiply!(part, W, rows, 4, 1 2 3 4 5 6),
                }
            }
        }
        column += width;
    }
}

/// # Safety
///
/// As of [`by_six`], and the processor must have AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2<T: Number, const AHEAD: bool>(whole: Part<'_, T>, rows: usize, columns: usize) {
    // SAFETY: the caller's promise.
    unsafe { by_six::<Narrow, 2, 1, T, AHEAD>(whole, rows, columns) }
}

/// Six rows and sixteen columns, which are `ALL` vectors, at a time; the last eight are `HALF`.
///
/// # Safety
///
/// There must be so many rows and columns, a multiple of 8, and the processor have the vector's
/// instructions.
#[inline(always)]
unsafe fn by_six<V: Vector, const ALL: usize, const HALF: usize, T: Number, const AHEAD: bool>(
    whole: Part<'_, T>,
    rows: usize,
    columns: usize,
) {
    for column in (0..columns).step_by(16) {
        for row in (0..rows).step_by(6) {
            let (part, rows) = (whole.from(row, column), 6.min(rows - row));
            // SAFETY: so many rows, and eight or sixteen columns, are left (the caller's promise).
            unsafe {
                match columns - column {
                    8 => multiply!(part, V, rows, HALF, 1 2 3 4 5 6),
                    _ => multiply!(part, V, rows, ALL, 1 2 3 4 5 6),
                }
            }
        }
    }
}

/// A part of the matrices: `depth` numbers of rows of the left one, and the first of some
/// columns of the others.
#[derive(Clone, Copy)]
struct Part<'a, T> {
    left: *const f32,
    left_stride: usize,
    right: *const T,
    right_stride: usize,
    depth: usize,
    out: *mut f32,
    stride: usize,
    into: Store<'a>,
    ahead: Ahead,
}

impl<T: Number> Part<'_, T> {
    /// From a row of the left matrix and a column of the right one on.
    fn from(self, row: usize, column: usize) -> Self {
        Self {
            left: self.left.wrapping_add(row * self.left_stride),
            right: self.right.wrapping_add(column),
            out: self.out.wrapping_add(row * self.stride + column),
            into: self.into.from(column),
            ahead: Ahead {
                from: self.ahead.from.wrapping_add(row * self.ahead.bytes),
                ..self.ahead
            },
            ..self
        }
    }

    /// # Safety
    ///
    /// There must be `M` rows and `N` vectors of columns, and the processor have the vector's
    /// instructions.
    #[inline(always)]
    unsafe fn multiply<V: Vector, const M: usize, const N: usize, const AHEAD: bool>(self) {
        // SAFETY: rows and columns are there (the caller's promise).
        unsafe {
            let mut sums = [[V::all(0.0); N]; M];
            // The compiler must not know how rows lie, or it adds strides in the loop.
            let mut left = [std::ptr::null::<f32>(); M];
            for (m, left) in left.iter_mut().enumerate() {
                *left = std::hint::black_box(self.left.wrapping_add(m * self.left_stride));
            }
            let out = |m: usize, n: usize| self.out.wrapping_add(m * self.stride + n * V::LANES);
            for m in 0..M {
                (0..N).step_by(16 / V::LANES).for_each(|n| V::fetch(out(m, n)));
            }
            let mut right = self.right;
            let mut ahead = self.ahead.from;
            let ahead_step = (2 * M * self.ahead.bytes) / self.depth.max(1);
            macro_rules! step {
                ($at:expr) => {
                    if AHEAD && $at % 2 == 0 {
                        V::fetch(ahead.cast());
                        ahead = ahead.wrapping_add(ahead_step);
                    }
                    let mut columns = [V::all(0.0); N];
                    for (n, column) in columns.iter_mut().enumerate() {
                        *column = T::load::<V>(right.add(n * V::LANES));
                    }
                    right = right.wrapping_add(self.right_stride);
                    for (left, sums) in left.iter().zip(&mut sums) {
                        let left = V::all(*left.add($at));
                        for (sum, column) in sums.iter_mut().zip(columns) {
                            *sum = V::multiply_add(left, column, *sum);
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
            // Loops short enough to be unrolled: otherwise sums go through memory.
            match self.into {
                Store::Accumulate => {
                    for (m, sums) in sums.iter_mut().enumerate() {
                        for (n, sum) in sums.iter_mut().enumerate() {
                            *sum = V::add(*sum, V::load(out(m, n)));
                        }
                    }
                }
                Store::WriteWithBias(numbers) => {
                    for sums in &mut sums {
                        for (n, sum) in sums.iter_mut().enumerate() {
                            let number = V::load(numbers.as_ptr().add(n * V::LANES));
                            *sum = V::add(*sum, number);
                        }
                    }
                }
                Store::Write => {}
            }
            for (m, sums) in sums.into_iter().enumerate() {
                for (n, sum) in sums.into_iter().enumerate() {
                    V::store(sum, out(m, n));
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
                for into in [Store::Accumulate, Store::Write] {
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
                        let start =
                            if into == Store::Accumulate { f64::from(*before) } else { 0.0 };
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
