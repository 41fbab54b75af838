//! Small products with NEON: up to six rows and sixteen columns of sums in registers.

use std::arch::aarch64::*;

use crate::kernels::tile::{Into, Part, Rows};

/// # Safety
///
/// The matrices must be as large as the shape says.
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
            // SAFETY: so many rows, and eight or sixteen columns, are left (the caller's promise).
            unsafe {
                match (rows - row, wide) {
                    (1, true) => part.multiply::<1, 4>(),
                    (2, true) => part.multiply::<2, 4>(),
                    (3, true) => part.multiply::<3, 4>(),
                    (4, true) => part.multiply::<4, 4>(),
                    (5, true) => part.multiply::<5, 4>(),
                    (_, true) => part.multiply::<6, 4>(),
                    (1, false) => part.multiply::<1, 2>(),
                    (2, false) => part.multiply::<2, 2>(),
                    (3, false) => part.multiply::<3, 2>(),
                    (4, false) => part.multiply::<4, 2>(),
                    (5, false) => part.multiply::<5, 2>(),
                    (_, false) => part.multiply::<6, 2>(),
                }
            }
        }
    }
}

impl Part<'_> {
    /// # Safety
    ///
    /// There must be `M` rows and `4 N` columns.
    #[inline(always)]
    unsafe fn multiply<const M: usize, const N: usize>(self) {
        // SAFETY: the caller's promise; every 64-bit Arm has NEON.
        unsafe {
            let mut sums = [[vdupq_n_f32(0.0); N]; M];
            for at in 0..self.depth {
                let right = self.right.add(at * self.right_stride);
                let right: [float32x4_t; N] = std::array::from_fn(|n| vld1q_f32(right.add(4 * n)));
                for (m, sums) in sums.iter_mut().enumerate() {
                    let left = *self.left.add(m * self.left_stride + at);
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = vfmaq_n_f32(*sum, right, left);
                    }
                }
            }
            for (m, sums) in sums.iter().enumerate() {
                for (n, sum) in sums.iter().enumerate() {
                    let out = self.out.add(m * self.stride + 4 * n);
                    let sum = match self.into {
                        Into::Add => vaddq_f32(*sum, vld1q_f32(out)),
                        Into::Plus(numbers) => {
                            vaddq_f32(*sum, vld1q_f32(numbers.as_ptr().add(4 * n)))
                        }
                        Into::Write => *sum,
                    };
                    vst1q_f32(out, sum);
                }
            }
        }
    }
}
