//! Many rows of activations: weights are unpacked once for all of them.
//!
//! Here quants are signed, from `-2^(b-1)` on, and activations unsigned, 128 too large: then the
//! quants are the operand that may come from memory, and what the 128 make too much is known
//! beforehand. Sums of pairs are at most `2 * 255 * 2^(b-1)`, of which eight (4 bits), four (5 bits)
//! or two (6 bits) fit 16 bits. Quants of 8 bits are multiplied as with few rows.

use std::arch::x86_64::*;

use crate::kernels::activations::Activations;
use crate::kernels::packed::avx2::unpack::{self, halves, quants, signed, twice, unpack, vector};
use crate::kernels::packed::avx2::{Minima, activations, array, minima, together, word, words};
use crate::kernels::packed::format::Format;
use crate::kernels::packed::layout::{BlockFormat, ROWS};

/// What a thread unpacks into.
#[derive(Default)]
pub(in crate::kernels::packed) struct Scratch {
    pieces: Vec<Piece>,
    bytes: Vec<u8>,
}

/// 32 columns of eight rows: `scale * (quants · factors - correction) + minimum`.
#[derive(Clone, Copy)]
struct Piece {
    quants: [__m256i; 8],
    /// Of each half, in 16 bits, twice per row; only where there are some.
    factors: [__m256i; 2],
    /// The quants' products with factors and 128.
    correction: __m256i,
    scale: __m256,
    /// Of each half; only the first where both are one.
    minimum: [__m256; 2],
}

/// Multiplies eight rows with all activations.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply<F: Format>(
    group: &[u8],
    x: &Activations,
    Scratch { pieces, bytes }: &mut Scratch,
    write: &mut impl FnMut(usize, &[f32; ROWS]),
) {
    if F::SIGNED {
        if F::LAYOUT.low_bits == 8 {
            return multiply_bytes(group, x, write);
        }
        widened::<F>(group, bytes);
        return multiply_bytes(bytes, x, write);
    }
    pieces.clear();
    for block in group.chunks_exact(F::LAYOUT.block()) {
        for piece in 0..F::LAYOUT.pieces {
            pieces.push(corrected::<F>(&signed::<F>(unpack::<F>(block, piece))));
        }
    }
    let mut row = 0;
    while row < x.rows {
        row += match x.rows - row {
            1 => rows::<F, 1>(pieces, x, row, write),
            2 => rows::<F, 2>(pieces, x, row, write),
            3 => rows::<F, 3>(pieces, x, row, write),
            _ => rows::<F, 4>(pieces, x, row, write),
        };
    }
}

/// Multiplies `M` rows from `row`.
#[target_feature(enable = "avx2,fma,f16c")]
fn rows<F: Format, const M: usize>(
    pieces: &[Piece],
    x: &Activations,
    row: usize,
    write: &mut impl FnMut(usize, &[f32; ROWS]),
) -> usize {
    assert!(row + M <= x.rows && x.raised.len() == x.values.len());
    let mut sums = [_mm256_setzero_ps(); M];
    let raised: [*const i8; M] = std::array::from_fn(|i| {
        std::hint::black_box(x.raised.as_ptr().wrapping_add((row + i) * x.columns).cast())
    });
    for (at, piece) in pieces.iter().enumerate() {
        let totals = dots::<F, M>(piece, raised.map(|x| x.wrapping_add(at * 32)));
        for (i, (total, sums)) in totals.into_iter().zip(&mut sums).enumerate() {
            let (_, group) = activations(x, row + i, at);
            let total = _mm256_sub_epi32(total, piece.correction);
            let scale = _mm256_mul_ps(piece.scale, _mm256_set1_ps(group.scale));
            *sums = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), scale, *sums);
            match minima::<F>() {
                Minima::None => {}
                Minima::One => {
                    let sum = _mm256_set1_ps(group.sum);
                    *sums = _mm256_fmadd_ps(piece.minimum[0], sum, *sums);
                }
                Minima::Halves => {
                    for half in 0..2 {
                        let sum = _mm256_set1_ps(group.halves[half]);
                        *sums = _mm256_fmadd_ps(piece.minimum[half], sum, *sums);
                    }
                }
            }
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        write(row + i, &array(sums));
    }
    M
}

/// `quants · factors` with 32 activations of each row.
#[inline]
#[target_feature(enable = "avx2")]
fn dots<F: Format, const M: usize>(piece: &Piece, x: [*const i8; M]) -> [__m256i; M] {
    let together = const { together::<F>() };
    let mut totals = [_mm256_setzero_si256(); M];
    let mut pairs = [_mm256_setzero_si256(); M];
    words!(WORD {
        let quants = piece.quants[WORD];
        for i in 0..M {
            let products = _mm256_maddubs_epi16(word(x[i], WORD), quants);
            pairs[i] = if WORD.is_multiple_of(together) { products } else { _mm256_add_epi16(pairs[i], products) };
            if (WORD + 1).is_multiple_of(together) {
                let factor = match (F::FACTORS, F::HALVES) {
                    (false, _) => _mm256_set1_epi16(1),
                    (true, false) => piece.factors[0],
                    (true, true) => piece.factors[WORD / 4],
                };
                let sums = _mm256_madd_epi16(pairs[i], factor);
                totals[i] = if WORD < together { sums } else { _mm256_add_epi32(totals[i], sums) };
            }
        }
    });
    totals
}

/// What 128 times the quants is known beforehand.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn corrected<F: Format>(from: &unpack::Piece) -> Piece {
    let unpack::Piece { quants, scale, minimum, .. } = *from;
    let factors = from.factors.map(|factors| twice(factors));
    let correction = _mm256_setzero_si256();
    let piece = Piece { quants, factors, correction, scale, minimum };
    let [correction] = dots::<F, 1>(&piece, [[-128; 32].as_ptr()]);
    Piece { correction, ..piece }
}

/// Signed quants of fewer bits, rearranged as Q8_0.
#[target_feature(enable = "avx2,fma,f16c")]
fn widened<F: Format>(group: &[u8], bytes: &mut Vec<u8>) {
    let (from, to) = (F::LAYOUT, BlockFormat::Q8_0.layout());
    assert!(from.pieces == 1 && from.head() == to.head());
    bytes.resize(group.len() / from.block() * to.block(), 0);
    for (block, out) in group.chunks_exact(from.block()).zip(bytes.chunks_exact_mut(to.block())) {
        let (head, out) = out.split_at_mut(to.head());
        head.copy_from_slice(&block[..from.head()]);
        for (out, quants) in out.as_chunks_mut::<32>().0.iter_mut().zip(quants::<F>(block, 0)) {
            // SAFETY: 32 bytes are one vector.
            unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), quants) };
        }
    }
}

/// Multiplies Q8_0 as [`few`](super::few) does, without unpacking.
#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_bytes(group: &[u8], x: &Activations, write: &mut impl FnMut(usize, &[f32; ROWS])) {
    let mut row = 0;
    while row < x.rows {
        row += match x.rows - row {
            1 => rows_of_bytes::<1>(group, x, row, write),
            2 => rows_of_bytes::<2>(group, x, row, write),
            3 => rows_of_bytes::<3>(group, x, row, write),
            _ => rows_of_bytes::<4>(group, x, row, write),
        };
    }
}

/// Multiplies `M` rows from `row`.
#[target_feature(enable = "avx2,fma,f16c")]
fn rows_of_bytes<const M: usize>(
    group: &[u8],
    x: &Activations,
    row: usize,
    write: &mut impl FnMut(usize, &[f32; ROWS]),
) -> usize {
    assert!(row + M <= x.rows);
    let layout = BlockFormat::Q8_0.layout();
    let ones = _mm256_set1_epi16(1);
    let mut sums = [_mm256_setzero_ps(); M];
    for (at, block) in group.chunks_exact(layout.block()).enumerate() {
        let mut totals = [_mm256_setzero_si256(); M];
        words!(WORD {
            // SAFETY: a block is as long as its layout says, which has eight vectors.
            let quants = unsafe { vector(block, layout.head() + 32 * WORD) };
            let sizes = _mm256_abs_epi8(quants);
            for (i, total) in totals.iter_mut().enumerate() {
                let x = word(activations(x, row + i, at).0, WORD);
                let pairs = _mm256_maddubs_epi16(sizes, _mm256_sign_epi8(x, quants));
                *total = _mm256_add_epi32(*total, _mm256_madd_epi16(pairs, ones));
            }
        });
        // SAFETY: as above: scales of eight rows come first.
        let scale = unsafe { halves(block, 0) };
        for (i, (total, sums)) in totals.iter().zip(&mut sums).enumerate() {
            let (_, group) = activations(x, row + i, at);
            let scale = _mm256_mul_ps(scale, _mm256_set1_ps(group.scale));
            *sums = _mm256_fmadd_ps(_mm256_cvtepi32_ps(*total), scale, *sums);
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        write(row + i, &array(sums));
    }
    M
}
