//! From packed bits to bytes.

use std::arch::x86_64::*;

use crate::kernels::packed::avx2::pieces::words;
use crate::kernels::packed::format::{Format, Meaning, TABLE};

/// 32 columns of eight rows: `scale * (quants · factors - offset) + minimum`.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) quants: [__m256i; 8],
    /// Of each half; only where there are some.
    pub(super) factors: [__m256i; 2],
    pub(super) scale: __m256,
    /// Of each half; only the first where both are one.
    pub(super) minimum: [__m256; 2],
}

/// # Safety
///
/// The block must have 32 bytes at `at`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn vector(block: &[u8], at: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_loadu_si256(block.as_ptr().add(at).cast()) }
}

/// # Safety
///
/// The block must have eight numbers in f16 at `at`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) unsafe fn halves(block: &[u8], at: usize) -> __m256 {
    // SAFETY: the caller's promise.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(block.as_ptr().add(at).cast()) })
}

/// Eight bytes at `at`.
///
/// # Safety
///
/// The block must have them.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn eight(block: &[u8], at: usize) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { _mm_loadl_epi64(block.as_ptr().add(at).cast()) }
}

/// The bytes of a piece, eight words of eight rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn quants<F: Format>(block: &[u8], piece: usize) -> [__m256i; 8] {
    let layout = F::LAYOUT;
    assert!(block.len() >= layout.block() && piece < layout.pieces);
    let start = layout.head() + piece * layout.piece();
    let (low, high) = layout.bits();
    let (low, high) = (start + low, start + high);
    let zero = _mm256_setzero_si256();
    // SAFETY: sixteen bytes are one vector.
    let table = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(TABLE.as_ptr().cast()) });
    let mut quants = [zero; 8];
    words!(WORD {
        // SAFETY: the block is as long as its layout says (asserted above), and only parts of the
        // layout are asked for.
        let bits = unsafe {
            match layout.low_bits {
                2 => _mm256_and_si256(
                    right::<{ WORD / 2 * 2 }>(vector(block, low + WORD % 2 * 32)),
                    _mm256_set1_epi8(3),
                ),
                4 => _mm256_and_si256(
                    right::<{ WORD / 4 * 4 }>(vector(block, low + WORD % 4 * 32)),
                    _mm256_set1_epi8(15),
                ),
                _ => vector(block, low + WORD * 32),
            }
        };
        // SAFETY: as above.
        let rest = unsafe {
            match layout.high_bits {
                0 => zero,
                1 => _mm256_and_si256(
                    aligned::<WORD>(vector(block, high), layout.low_bits),
                    _mm256_set1_epi8(1 << layout.low_bits),
                ),
                _ => _mm256_and_si256(
                    aligned::<{ WORD % 4 * 2 }>(
                        vector(block, high + WORD / 4 * 32),
                        layout.low_bits,
                    ),
                    _mm256_set1_epi8(0x30),
                ),
            }
        };
        quants[WORD] = match layout.meaning {
            Meaning::Table => _mm256_shuffle_epi8(table, bits),
            _ => _mm256_or_si256(bits, rest),
        };
    });
    quants
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn unpack<F: Format>(block: &[u8], piece: usize) -> Piece {
    let layout = F::LAYOUT;
    let quants = quants::<F>(block, piece);
    let start = layout.head() + piece * layout.piece();
    let zero = _mm256_setzero_si256();
    let unused = _mm256_setzero_ps();
    let negative = |x| _mm256_sub_ps(_mm256_setzero_ps(), x);
    // SAFETY: the block is as long as its layout says (asserted by `quants`): heads are one or two
    // vectors of f16, factors two times eight bytes, and quants come after.
    let (d, factor) = unsafe { (halves(block, 0), [eight(block, start), eight(block, start + 8)]) };
    let (factors, minimum) = match layout.meaning {
        Meaning::Offset(_) | Meaning::Table => ([zero; 2], [unused; 2]),
        // SAFETY: as above.
        Meaning::Minimum => ([zero; 2], [unsafe { halves(block, 16) }, unused]),
        Meaning::Factors(offset) => {
            let wide = factor.map(|factor| _mm256_cvtepi8_epi32(factor));
            let offset = _mm256_mul_ps(d, _mm256_set1_ps(-f32::from(offset)));
            let minimum = wide.map(|factor| _mm256_mul_ps(offset, _mm256_cvtepi32_ps(factor)));
            (wide, minimum)
        }
        Meaning::FactorAndMinimum => {
            let [factor, minimum] = factor.map(|factor| _mm256_cvtepu8_epi32(factor));
            // SAFETY: as above.
            let minimum = _mm256_mul_ps(unsafe { halves(block, 16) }, _mm256_cvtepi32_ps(minimum));
            ([factor, zero], [negative(minimum), unused])
        }
        Meaning::Nibbles => {
            let wide = factor.map(|factor| _mm256_cvtepu8_epi32(factor));
            // SAFETY: as above.
            let m = negative(unsafe { halves(block, 16) });
            let minimum =
                wide.map(|wide| _mm256_mul_ps(m, _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(wide))));
            let low = _mm256_set1_epi32(15);
            (wide.map(|wide| _mm256_and_si256(wide, low)), minimum)
        }
    };
    Piece { quants, factors, scale: d, minimum }
}

/// What unsigned quants are too large by to be signed.
const fn bias<F: Format>() -> i8 {
    match F::LAYOUT.meaning {
        Meaning::Factors(offset) => offset as i8,
        Meaning::Nibbles => 0,
        _ if F::LAYOUT.high_bits == 1 => 16,
        _ => 8,
    }
}

/// The same with signed quants.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(super) fn signed<F: Format>(piece: Piece) -> Piece {
    if F::SIGNED {
        return piece;
    }
    let bias = const { bias::<F>() };
    let quants = piece.quants.map(|quants| _mm256_sub_epi8(quants, _mm256_set1_epi8(bias)));
    let raise = _mm256_mul_ps(piece.scale, _mm256_set1_ps(f32::from(bias)));
    let [first, second] = piece.minimum;
    let minimum = match F::LAYOUT.meaning {
        Meaning::Minimum => [_mm256_add_ps(first, raise), second],
        Meaning::FactorAndMinimum => {
            [_mm256_fmadd_ps(raise, _mm256_cvtepi32_ps(piece.factors[0]), first), second]
        }
        _ => piece.minimum,
    };
    Piece { quants, minimum, ..piece }
}

/// A number in the low half of each 32 bits, in both halves.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn twice(wide: __m256i) -> __m256i {
    _mm256_or_si256(
        _mm256_and_si256(wide, _mm256_set1_epi32(0xffff)),
        _mm256_slli_epi32::<16>(wide),
    )
}

/// Shifts right, across bytes: what comes in from the byte above is to be masked.
#[inline]
#[target_feature(enable = "avx2")]
fn right<const BITS: usize>(x: __m256i) -> __m256i {
    _mm256_srl_epi16(x, _mm_cvtsi32_si128(BITS as i32))
}

/// Moves bit `FROM` to bit `to`, across bytes as [`right`].
#[inline]
#[target_feature(enable = "avx2")]
fn aligned<const FROM: usize>(x: __m256i, to: usize) -> __m256i {
    if FROM >= to {
        _mm256_srl_epi16(x, _mm_cvtsi32_si128((FROM - to) as i32))
    } else {
        _mm256_sll_epi16(x, _mm_cvtsi32_si128((to - FROM) as i32))
    }
}
