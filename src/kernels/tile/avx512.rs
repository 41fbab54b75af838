//! The products with AVX-512.

use std::arch::asm;
use std::arch::x86_64::*;

use super::{Into, Part, Rows};

/// # Safety
///
/// The matrices must be as large as the shape says; for `PAIRS` the processor must have AVX512-BF16.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn product<const PAIRS: bool>(
    left: Rows<'_>,
    right: Rows<'_>,
    [rows, depth, columns]: [usize; 3],
    out: *mut f32,
    stride: usize,
    into: Into<'_>,
) {
    let mut column = 0;
    while column < columns {
        let vectors = (columns - column).div_ceil(16);
        // Some 24 sums keep both multipliers busy. The squarer their shape, the fewer loads they take:
        // 11 a step with 8 by 3, 14 with 12 by 2, which is a third slower where another thread
        // shares the core.
        let (wide, high) = match vectors {
            1 | 2 => (vectors, 12),
            _ if vectors.is_multiple_of(4) && !vectors.is_multiple_of(3) => (4, 6),
            _ => (3, 8),
        };
        let width = (columns - column).min(16 * wide);
        for row in (0..rows).step_by(high) {
            let part = Part::new(left, right, depth, out, stride, into, [row, column]);
            macro_rules! multiply {
                ($([$wide:literal: $($rows:literal)*])*) => {
                    match (wide, high.min(rows - row)) {
                        $($(($wide, $rows) => part.product::<$rows, $wide, PAIRS>(width),)*)*
                        _ => {}
                    }
                };
            }
            // SAFETY: so many rows and columns are left (the caller's promise).
            unsafe {
                multiply!(
                    [1: 1 2 3 4 5 6 7 8 9 10 11 12]
                    [2: 1 2 3 4 5 6 7 8 9 10 11 12]
                    [3: 1 2 3 4 5 6 7 8]
                    [4: 1 2 3 4 5 6]
                );
            }
        }
        column += width;
    }
}

impl Part<'_> {
    /// # Safety
    ///
    /// As of [`product`]; there must be `M` rows and `width` columns, of which `16 N` are multiplied at
    /// most.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn product<const M: usize, const N: usize, const PAIRS: bool>(self, width: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match width < 16 * N {
                true => self.product_as::<M, N, PAIRS, true>(width),
                false => self.product_as::<M, N, PAIRS, false>(width),
            }
        }
    }

    /// # Safety
    ///
    /// As of [`Self::product`]; the last vector is a part of one only where `PART` says so.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn product_as<const M: usize, const N: usize, const PAIRS: bool, const PART: bool>(
        self,
        width: usize,
    ) {
        // A mask takes time, even where it is full.
        let mask: __mmask16 = if PART { (1 << (width - 16 * (N - 1))) - 1 } else { !0 };
        let mut sums = [[_mm512_setzero_ps(); N]; M];
        // The compiler must not know how rows lie, or it adds strides in the loop.
        let left: [*const f32; M] = std::array::from_fn(|m| {
            std::hint::black_box(self.left.wrapping_add(m * self.left_stride))
        });
        for m in 0..M {
            let out: *const i8 = self.out.wrapping_add(m * self.stride).cast();
            (0..N).for_each(|n| _mm_prefetch::<_MM_HINT_T0>(out.wrapping_add(64 * n)));
        }
        let mut right = self.right;
        macro_rules! step {
            ($at:expr) => {
                // SAFETY: the caller's promise; row `at` is one of `depth`.
                let columns: [__m512; N] = std::array::from_fn(|n| unsafe {
                    match PART && n + 1 == N {
                        true => _mm512_maskz_loadu_ps(mask, right.add(16 * n)),
                        false => _mm512_loadu_ps(right.add(16 * n)),
                    }
                });
                right = right.wrapping_add(self.right_stride);
                for (left, sums) in left.iter().zip(&mut sums) {
                    // SAFETY: as above.
                    let left = _mm512_set1_ps(unsafe { *left.add($at) });
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        if !PAIRS {
                            *sum = _mm512_fmadd_ps(left, column, *sum);
                            continue;
                        }
                        // SAFETY: the caller's promise. Compiling all of this once more for
                        // processors with this one instruction would take a copy of the source.
                        unsafe {
                            asm!(
                                "vdpbf16ps {sum}, {left}, {column}",
                                sum = inout(zmm_reg) *sum,
                                left = in(zmm_reg) left,
                                column = in(zmm_reg) column,
                                options(pure, nomem, nostack, preserves_flags),
                            );
                        }
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
        let mask = |n: usize| if PART && n + 1 == N { mask } else { !0 };
        let out = |m: usize, n: usize| self.out.wrapping_add(m * self.stride + 16 * n);
        // Loops short enough to be unrolled: otherwise sums go through memory.
        match self.into {
            Into::Add => {
                for (m, sums) in sums.iter_mut().enumerate() {
                    for (n, sum) in sums.iter_mut().enumerate() {
                        // SAFETY: as above.
                        let before = unsafe { _mm512_maskz_loadu_ps(mask(n), out(m, n)) };
                        *sum = _mm512_add_ps(*sum, before);
                    }
                }
            }
            Into::Plus(numbers) => {
                let numbers: [__m512; N] = std::array::from_fn(|n| {
                    // SAFETY: there is a number for each column.
                    unsafe { _mm512_maskz_loadu_ps(mask(n), numbers.as_ptr().add(16 * n)) }
                });
                for sums in &mut sums {
                    for (sum, number) in sums.iter_mut().zip(numbers) {
                        *sum = _mm512_add_ps(*sum, number);
                    }
                }
            }
            Into::Write => {}
        }
        for (m, sums) in sums.into_iter().enumerate() {
            for (n, sum) in sums.into_iter().enumerate() {
                // SAFETY: as above.
                unsafe { _mm512_mask_storeu_ps(out(m, n), mask(n), sum) };
            }
        }
    }
}
