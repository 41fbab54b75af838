//! From packed bits to signed bytes.

use std::arch::aarch64::*;

use crate::kernels::neon::widen;
use crate::kernels::packed::format::{Format, Meaning, TABLE};

/// 32 columns of eight rows: `scale * (quants · factors) + minimum`.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// Eight words of eight rows, two vectors each.
    pub(super) quants: [int8x16_t; 16],
    /// Of each half; only the first where both are one.
    pub(super) factors: [[int32x4_t; 2]; 2],
    pub(super) scale: [float32x4_t; 2],
    /// Of each half; only the first where both are one.
    pub(super) minimum: [[float32x4_t; 2]; 2],
}

#[inline(always)]
pub(super) fn unpack<F: Format>(block: &[u8], piece: usize) -> Piece {
    let layout = F::LAYOUT;
    assert!(block.len() >= layout.block() && piece < layout.pieces);
    let start = layout.head() + piece * layout.piece();
    let (low, high) = layout.bits();
    let (low, high) = (start + low, start + high);
    // SAFETY: the block is as long as its layout says (asserted above), and only parts of the
    // layout are asked for; every 64-bit Arm has NEON.
    unsafe {
        let vector = |at: usize| vld1q_u8(block.as_ptr().add(at));
        let bits = |at: usize, shift: usize, mask: u8| {
            vandq_u8(vshlq_u8(vector(at), vdupq_n_s8(-(shift as i8))), vdupq_n_u8(mask))
        };
        let table = vld1q_s8(TABLE.as_ptr());
        let offset = vdupq_n_s8(match layout.meaning {
            Meaning::Offset(offset) | Meaning::Factors(offset) => offset.cast_signed(),
            _ => 0,
        });
        let quants = std::array::from_fn(|i| {
            let (word, part) = (i / 2, i % 2 * 16);
            let low = match layout.low_bits {
                2 => bits(low + word % 2 * 32 + part, word / 2 * 2, 3),
                4 => bits(low + word % 4 * 32 + part, word / 4 * 4, 15),
                _ => vector(low + word * 32 + part),
            };
            let rest = match layout.high_bits {
                0 => vdupq_n_u8(0),
                1 => bits(high + part, word, 1),
                _ => bits(high + word / 4 * 32 + part, word % 4 * 2, 3),
            };
            let rest = vshlq_u8(rest, vdupq_n_s8(layout.low_bits as i8));
            match layout.meaning {
                Meaning::Table => vqtbl1q_s8(table, low),
                _ => vsubq_s8(vreinterpretq_s8_u8(vorrq_u8(low, rest)), offset),
            }
        });
        let halves = |at: usize| {
            let halves = vld1q_u16(block.as_ptr().add(at).cast());
            [widen(vget_low_u16(halves)), widen(vget_high_u16(halves))]
        };
        let wide =
            |bytes: int16x8_t| [vmovl_s16(vget_low_s16(bytes)), vmovl_s16(vget_high_s16(bytes))];
        let eight = |half: usize| vld1_u8(block.as_ptr().add(start + 8 * half));
        let unsigned = |bytes: uint8x8_t| wide(vreinterpretq_s16_u16(vmovl_u8(bytes)));
        // What minima are: the second head times a factor, or not.
        let minima = |factors: [int32x4_t; 2]| {
            let [m, n] = halves(16);
            let [a, b] = factors.map(|factors| vcvtq_f32_s32(factors));
            [vnegq_f32(vmulq_f32(m, a)), vnegq_f32(vmulq_f32(n, b))]
        };
        let (ones, unused) = ([vdupq_n_s32(1); 2], [vdupq_n_f32(0.0); 2]);
        let (factors, minimum) = match layout.meaning {
            Meaning::Offset(_) | Meaning::Table => ([ones; 2], [unused; 2]),
            Meaning::Minimum => ([ones; 2], [halves(16), unused]),
            Meaning::Factors(_) => {
                let signed = |half| wide(vmovl_s8(vreinterpret_s8_u8(eight(half))));
                ([signed(0), signed(1)], [unused; 2])
            }
            Meaning::FactorAndMinimum => {
                ([unsigned(eight(0)), ones], [minima(unsigned(eight(1))), unused])
            }
            Meaning::Nibbles => {
                let low = |half| unsigned(vand_u8(eight(half), vdup_n_u8(15)));
                let high = |half| unsigned(vshr_n_u8::<4>(eight(half)));
                ([low(0), low(1)], [minima(high(0)), minima(high(1))])
            }
        };
        Piece { quants, factors, scale: halves(0), minimum }
    }
}
