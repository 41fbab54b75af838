//! Sums of products of bytes, with what the processor has.

use std::arch::aarch64::*;

use crate::kernels::neon::{dot, matrix};

/// Half a piece: four words of eight rows, two vectors each.
pub(super) type Half = [int8x16_t; 8];

/// How products of bytes are summed.
pub(super) trait Products {
    /// Puts the bytes of a piece in the order that suits these instructions best, where many rows
    /// of activations make up for it.
    fn arrange(_piece: &mut [int8x16_t; 16]) {}

    /// The sums of eight rows for each row of activations.
    ///
    /// # Safety
    ///
    /// The processor must have the instructions.
    unsafe fn products<const M: usize>(quants: &Half, x: [&[i8; 16]; M]) -> [[int32x4_t; 2]; M];
}

/// With what every 64-bit Arm has: products of 16 bits, added in pairs.
pub(super) struct Widening;

impl Products for Widening {
    #[inline(always)]
    unsafe fn products<const M: usize>(quants: &Half, x: [&[i8; 16]; M]) -> [[int32x4_t; 2]; M] {
        // SAFETY: sixteen activations are four words.
        unsafe {
            x.map(|x| {
                let mut sums = [[vdupq_n_s32(0); 2]; 2];
                for (word, quants) in quants.as_chunks::<2>().0.iter().enumerate() {
                    let x = vreinterpretq_s8_s32(vld1q_dup_s32(x.as_ptr().cast::<i32>().add(word)));
                    for (sums, quants) in sums.iter_mut().zip(quants) {
                        let low = vmull_s8(vget_low_s8(*quants), vget_low_s8(x));
                        sums[0] = vpadalq_s16(sums[0], low);
                        sums[1] = vpadalq_s16(sums[1], vmull_high_s8(*quants, x));
                    }
                }
                sums.map(|sums| vpaddq_s32(sums[0], sums[1]))
            })
        }
    }
}

/// With `sdot`: four columns of four rows at once.
pub(super) struct Dots;

impl Products for Dots {
    #[inline(always)]
    unsafe fn products<const M: usize>(quants: &Half, x: [&[i8; 16]; M]) -> [[int32x4_t; 2]; M] {
        // SAFETY: the caller's promise.
        unsafe {
            x.map(|x| {
                let x = vld1q_s8(x.as_ptr());
                [0, 1].map(|rows| {
                    let sum = dot::<0>(vdupq_n_s32(0), quants[rows], x);
                    let sum = dot::<1>(sum, quants[2 + rows], x);
                    let sum = dot::<2>(sum, quants[4 + rows], x);
                    dot::<3>(sum, quants[6 + rows], x)
                })
            })
        }
    }
}

/// With `smmla`: eight columns of two rows with two rows of activations at once.
pub(super) struct Matrices;

impl Products for Matrices {
    /// Two words of two rows in each vector.
    fn arrange(piece: &mut [int8x16_t; 16]) {
        // SAFETY: every 64-bit Arm has these instructions.
        unsafe {
            for pair in piece.as_chunks_mut::<4>().0 {
                let [a, b, c, d] = pair.map(|quants| vreinterpretq_s64_s8(quants));
                let zip = |first: int64x2_t, second: int64x2_t| {
                    let (first, second) =
                        (vreinterpretq_s32_s64(first), vreinterpretq_s32_s64(second));
                    [vzip1q_s32(first, second), vzip2q_s32(first, second)]
                };
                let ([e, f], [g, h]) = (zip(a, c), zip(b, d));
                *pair = [e, f, g, h].map(|quants| vreinterpretq_s8_s32(quants));
            }
        }
    }

    #[inline(always)]
    unsafe fn products<const M: usize>(quants: &Half, x: [&[i8; 16]; M]) -> [[int32x4_t; 2]; M] {
        // SAFETY: the caller's promise; sixteen activations are two vectors of eight.
        unsafe {
            let mut out = [[vdupq_n_s32(0); 2]; M];
            for first in (0..M).step_by(2) {
                // An odd last row is multiplied twice.
                let second = (first + 1).min(M - 1);
                let mut sums = [vdupq_n_s32(0); 4];
                for (part, quants) in quants.as_chunks::<4>().0.iter().enumerate() {
                    let eight = |row: usize| vld1_s8(x[row].as_ptr().add(8 * part));
                    let x = vcombine_s8(eight(first), eight(second));
                    for (sum, quants) in sums.iter_mut().zip(quants) {
                        *sum = matrix(*sum, x, *quants);
                    }
                }
                let low = |a, b| vcombine_s32(vget_low_s32(a), vget_low_s32(b));
                let high = |a, b| vcombine_s32(vget_high_s32(a), vget_high_s32(b));
                out[second] = [high(sums[0], sums[1]), high(sums[2], sums[3])];
                out[first] = [low(sums[0], sums[1]), low(sums[2], sums[3])];
            }
            out
        }
    }
}
