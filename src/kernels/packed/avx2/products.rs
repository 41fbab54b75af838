//! Sums of products of bytes, with what the processor has.

use std::arch::asm;
use std::arch::x86_64::*;

use crate::kernels::activations::Group;
use crate::kernels::packed::avx2::pieces::{offset, raised, together, word, words};
use crate::kernels::packed::avx2::unpack::{Piece, twice};
use crate::kernels::packed::format::Format;

/// How products of bytes are summed.
pub(super) trait Products {
    /// `scale * (quants · factors - offset)` of eight rows with 32 activations.
    ///
    /// # Safety
    ///
    /// The processor must have the instructions, and there must be so many activations.
    unsafe fn product<F: Format>(piece: &Piece, x: *const i8, group: &Group) -> __m256;
}

/// With what AVX2 has: products of 16 bits, added in pairs.
///
/// Unsigned quants of `b` bits times activations of 8 bits make sums of pairs below
/// `2 * 127 * (2^b - 1)`, so that eight (4 bits), four (5 bits) or two (6 bits) of them fit 16 bits
/// and are added before they are widened. Signed quants are raised by 128: two of their
/// products fit where activations are rounded for pairs
/// ([`Steps::Pairs`](crate::kernels::activations::Steps::Pairs)).
pub(super) struct Pairs;

impl Products for Pairs {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn product<F: Format>(piece: &Piece, x: *const i8, group: &Group) -> __m256 {
        let together = const { together::<F>() };
        let factors = piece.factors.map(|factors| twice(factors));
        let mut total = _mm256_setzero_si256();
        let mut pairs = _mm256_setzero_si256();
        words!(WORD {
            let quants = raised::<F>(piece.quants[WORD]);
            let products = _mm256_maddubs_epi16(quants, word(x, WORD));
            pairs = if WORD.is_multiple_of(together) { products } else { _mm256_add_epi16(pairs, products) };
            if (WORD + 1).is_multiple_of(together) {
                let factor = match (F::FACTORS, F::HALVES) {
                    (false, _) => _mm256_set1_epi16(1),
                    (true, false) => factors[0],
                    (true, true) => factors[WORD / 4],
                };
                total = _mm256_add_epi32(total, _mm256_madd_epi16(pairs, factor));
            }
        });
        scaled(total, const { offset::<F>() }, group, piece.scale)
    }
}

/// With VNNI, which adds four products to 32 bits at once: in AVX-512's encoding or in AVX-VNNI's.
pub(super) struct Fours<const EVEX: bool>;

impl<const EVEX: bool> Products for Fours<EVEX> {
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn product<F: Format>(piece: &Piece, x: *const i8, group: &Group) -> __m256 {
        let mut totals = [_mm256_setzero_si256(); 2];
        words!(WORD {
            let quants = raised::<F>(piece.quants[WORD]);
            let total = &mut totals[WORD / 4];
            // SAFETY: the processor has the instruction (the caller's promise).
            *total = unsafe { Self::add(*total, quants, word(x, WORD)) };
        });
        let scale =
            piece.factors.map(|factor| _mm256_mul_ps(piece.scale, _mm256_cvtepi32_ps(factor)));
        if F::HALVES {
            let [first, second] = totals.map(|total| _mm256_cvtepi32_ps(total));
            return _mm256_fmadd_ps(second, scale[1], _mm256_mul_ps(first, scale[0]));
        }
        let scale = if F::FACTORS { scale[0] } else { piece.scale };
        scaled(_mm256_add_epi32(totals[0], totals[1]), const { offset::<F>() }, group, scale)
    }
}

impl<const EVEX: bool> Fours<EVEX> {
    /// The intrinsics would not be inlined where their features are not enabled, which a trait's
    /// generic callers cannot do.
    ///
    /// # Safety
    ///
    /// The processor must have the instruction.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add(sums: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        let mut sums = sums;
        macro_rules! add {
            ($instruction:literal) => {
                // SAFETY: the caller's promise; the instruction touches nothing but its registers.
                unsafe {
                    asm!(
                        $instruction,
                        inout(ymm_reg) sums,
                        in(ymm_reg) unsigned,
                        in(ymm_reg) signed,
                        options(pure, nomem, nostack, preserves_flags),
                    );
                }
            };
        }
        if EVEX {
            add!("{{evex}} vpdpbusd {}, {}, {}");
        } else {
            add!("{{vex}} vpdpbusd {}, {}, {}");
        }
        sums
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn scaled(total: __m256i, offset: i32, group: &Group, scale: __m256) -> __m256 {
    let total = match offset {
        0 => total,
        offset => _mm256_sub_epi32(total, _mm256_set1_epi32(offset * group.total)),
    };
    _mm256_mul_ps(_mm256_cvtepi32_ps(total), scale)
}
