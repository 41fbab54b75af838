//! Few rows of activations: weights are unpacked where they are multiplied.
//!
//! Unsigned quants of `b` bits times activations of 8 bits make sums of pairs below
//! `2 * 127 * (2^b - 1)`, so that eight (4 bits), four (5 bits) or two (6 bits) of them fit 16 bits
//! and are added before they are widened. Signed quants are made unsigned by giving their sign to
//! the activations: two products of at most `128 * 127` fit.

use std::arch::x86_64::*;

use crate::kernels::activations::Activations;
use crate::kernels::packed::avx2::unpack::{Piece, unpack};
use crate::kernels::packed::avx2::{activations, array, offset, together, word, words};
use crate::kernels::packed::format::Format;
use crate::kernels::packed::layout::{Meaning, ROWS};

/// Multiplies `M` rows of activations, all there are, with groups of `bytes`; `write` gets the number
/// of the row of activations, of the group, and the sums.
///
/// Four groups at a time, each from another quarter of them: four streams keep the memory busier
/// than one.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply<F: Format, const M: usize>(
    groups: &[u8],
    bytes: usize,
    x: &Activations,
    write: &mut impl FnMut(usize, usize, &[f32; ROWS]),
) {
    assert_eq!(x.rows, M);
    let (group, count) = (|number: usize| &groups[number * bytes..][..bytes], groups.len() / bytes);
    let quarter = count / 4;
    for first in 0..quarter {
        let numbers = [0, 1, 2, 3].map(|part| part * quarter + first);
        streams::<F, M, 4>(numbers.map(group), x, &mut |row, part, sums| {
            write(row, numbers[part], sums);
        });
    }
    for last in 4 * quarter..count {
        streams::<F, M, 1>([group(last)], x, &mut |row, _, sums| write(row, last, sums));
    }
}

/// `N` groups with `M` rows of activations.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn streams<F: Format, const M: usize, const N: usize>(
    groups: [&[u8]; N],
    x: &Activations,
    write: &mut impl FnMut(usize, usize, &[f32; ROWS]),
) {
    let mut sums = [[_mm256_setzero_ps(); M]; N];
    let size = F::LAYOUT.block();
    for number in 0..x.columns / (F::LAYOUT.pieces * 32) {
        for (group, sums) in groups.iter().zip(&mut sums) {
            let block = &group[number * size..][..size];
            // Longer blocks are streams enough (measured).
            if F::LAYOUT.pieces == 1 {
                ahead(block);
            }
            for piece in 0..F::LAYOUT.pieces {
                let at = number * F::LAYOUT.pieces + piece;
                add::<F, M>(&unpack::<F>(block, piece), x, at, sums);
            }
        }
    }
    for (part, sums) in sums.into_iter().enumerate() {
        for (row, sums) in sums.into_iter().enumerate() {
            write(row, part, &array(sums));
        }
    }
}

/// Has the cache lines fetched that are due soon after a block.
#[inline]
#[target_feature(enable = "avx2")]
fn ahead(block: &[u8]) {
    const BYTES: usize = 768;
    for line in (0..block.len()).step_by(64) {
        _mm_prefetch::<_MM_HINT_T0>(block.as_ptr().wrapping_add(line + BYTES).cast());
    }
}

/// Adds the products of piece number `at` with `M` rows of activations.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add<F: Format, const M: usize>(
    piece: &Piece,
    x: &Activations,
    at: usize,
    sums: &mut [__m256; M],
) {
    for (row, sums) in sums.iter_mut().enumerate() {
        let (x, group) = activations(x, row, at);
        let total = dot::<F>(piece, x);
        let total = match const { offset::<F>() } {
            0 => total,
            offset => _mm256_sub_epi32(total, _mm256_set1_epi32(offset * group.total)),
        };
        let scale = _mm256_mul_ps(piece.scale, _mm256_set1_ps(group.scale));
        *sums = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), scale, *sums);
        if F::HALVES {
            for half in 0..2 {
                let sum = _mm256_set1_ps(group.halves[half]);
                *sums = _mm256_fmadd_ps(piece.minimum[half], sum, *sums);
            }
        } else if matches!(F::LAYOUT.meaning, Meaning::Minimum | Meaning::FactorAndMinimum) {
            *sums = _mm256_fmadd_ps(piece.minimum[0], _mm256_set1_ps(group.sum), *sums);
        }
    }
}

/// `quants · factors` with 32 activations.
#[inline]
#[target_feature(enable = "avx2")]
fn dot<F: Format>(piece: &Piece, x: *const i8) -> __m256i {
    let together = const { together::<F>() };
    let mut total = _mm256_setzero_si256();
    let mut pairs = _mm256_setzero_si256();
    words!(WORD {
        let (quants, x) = (piece.quants[WORD], word(x, WORD));
        let products = if F::SIGNED {
            _mm256_maddubs_epi16(_mm256_abs_epi8(quants), _mm256_sign_epi8(x, quants))
        } else {
            _mm256_maddubs_epi16(quants, x)
        };
        pairs = if WORD.is_multiple_of(together) { products } else { _mm256_add_epi16(pairs, products) };
        if (WORD + 1).is_multiple_of(together) {
            let factor = match (F::FACTORS, F::HALVES) {
                (false, _) => _mm256_set1_epi16(1),
                (true, false) => piece.factors[0],
                (true, true) => piece.factors[WORD / 4],
            };
            total = _mm256_add_epi32(total, _mm256_madd_epi16(pairs, factor));
        }
    });
    total
}
