//! Many rows of activations with AVX2: weights are unpacked once for all rows, and four rows of
//! activations are spread over vectors once for many weights, so that they are the operand that comes
//! from memory.
//!
//! Sums of pairs of up to six bits are added while they fit 16 bits, as with few rows
//! ([`products`](super::products)). Signed quants are split into sizes and signs: where a quant is
//! negative, the bits of its activation are flipped, which makes `-x - 1` of `x`, and the sizes of
//! these quants are added beforehand.

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use crate::kernels::activations::Activations;
use crate::kernels::packed::avx2::pieces::{Target, activations, offset, together, word, words};
use crate::kernels::packed::avx2::unpack::{self, twice, unpack};
use crate::kernels::packed::format::{BlockFormat, Format, Meaning, ROWS, with_format};

/// Rows of activations at a time: their sums, and what they are made of, fill the registers.
pub(super) const HEIGHT: usize = 4;

/// Pieces at a time: so many of four rows of activations stay in the first cache.
const PIECES: usize = 12;

/// Groups that are unpacked at a time: so many pieces of each stay in the second cache.
const GROUPS: usize = 48;

/// 32 columns of eight rows of weights: `scale * (quants · factors) + minimum`. What a format does not
/// have is never read.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Piece<const SIGNS: usize> {
    quants: [__m256i; 8],
    /// All bits of a byte where its quant is negative; where quants are signed.
    signs: [__m256i; SIGNS],
    scale: __m256,
    /// The sizes of negative quants.
    correction: __m256i,
    /// Of each half, in 16 bits, twice per row.
    factors: [__m256i; 2],
    /// Of each half; only the first where both are one.
    minimum: [__m256; 2],
}

/// 32 columns of four rows of activations, each number in all lanes.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Spread {
    words: [[__m256i; HEIGHT]; 8],
    scale: [__m256; HEIGHT],
    /// What offsets of quants make too much, negated.
    correction: [__m256i; HEIGHT],
    /// What minima are multiplied with; only the first where both halves have one.
    sums: [[__m256; HEIGHT]; 2],
}

/// Multiplies groups of eight rows with some rows of activations.
///
/// # Safety
///
/// As of [`super::multiply_many`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn multiply(
    format: BlockFormat,
    groups: &[u8],
    x: &Activations,
    rows: Range<usize>,
    target: Target<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        with_format!(format, F => match F::SIGNED {
            true => multiply_as::<F, 8>(groups, x, rows, target),
            false => multiply_as::<F, 0>(groups, x, rows, target),
        });
    }
}

/// # Safety
///
/// As of [`multiply`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_as<F: Format, const SIGNS: usize>(
    groups: &[u8],
    x: &Activations,
    rows: Range<usize>,
    target: Target<'_>,
) {
    let (size, pieces) = (F::LAYOUT.block(), F::LAYOUT.pieces);
    let blocks = x.columns / (pieces * 32);
    assert!(x.columns.is_multiple_of(pieces * 32) && rows.end <= x.rows);
    assert_eq!(groups.len(), target.rows.div_ceil(ROWS) * blocks * size);
    let (ints, floats) = ([_mm256_setzero_si256(); HEIGHT], [_mm256_setzero_ps(); HEIGHT]);
    let nothing = Spread { words: [ints; 8], scale: floats, correction: ints, sums: [floats; 2] };
    let at_once = (PIECES / pieces).max(1);
    let mut spread = vec![nothing; blocks.min(at_once) * pieces];
    let mut unpacked = Vec::with_capacity(GROUPS * spread.len());
    for start in (0..blocks).step_by(at_once) {
        let count = at_once.min(blocks - start);
        for (number, groups) in groups.chunks(GROUPS * blocks * size).enumerate() {
            unpacked.clear();
            for group in groups.chunks_exact(blocks * size) {
                for block in group[start * size..].chunks_exact(size).take(count) {
                    for piece in 0..pieces {
                        unpacked.push(Piece::<SIGNS>::new::<F>(&unpack::<F>(block, piece)));
                    }
                }
            }
            let work = Work {
                pieces: &unpacked,
                start: start * pieces,
                x,
                target: target.part(number * GROUPS * ROWS, GROUPS * ROWS),
            };
            let spread = &mut spread[..count * pieces];
            for row in rows.clone().step_by(HEIGHT) {
                // SAFETY: the caller's promise, and so many rows are left.
                unsafe {
                    match rows.end - row {
                        1 => work.multiply::<F, 1>(row, spread),
                        2 => work.multiply::<F, 2>(row, spread),
                        3 => work.multiply::<F, 3>(row, spread),
                        _ => work.multiply::<F, HEIGHT>(row, spread),
                    }
                }
            }
        }
    }
}

impl<const SIGNS: usize> Piece<SIGNS> {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new<F: Format>(from: &unpack::Piece) -> Self {
        let zero = _mm256_setzero_si256();
        let (mut quants, mut signs, mut correction) = (from.quants, [zero; SIGNS], zero);
        for (quants, signs) in quants.iter_mut().zip(&mut signs) {
            *signs = _mm256_cmpgt_epi8(zero, *quants);
            *quants = _mm256_abs_epi8(*quants);
            let negative = _mm256_and_si256(*quants, *signs);
            let pairs = _mm256_maddubs_epi16(negative, _mm256_set1_epi8(1));
            let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
            correction = _mm256_add_epi32(correction, fours);
        }
        let factors = from.factors.map(|factors| twice(factors));
        Self { quants, signs, scale: from.scale, correction, factors, minimum: from.minimum }
    }
}

impl Spread {
    /// Sets row number `i` to piece number `at` of a row of activations.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn put<F: Format>(&mut self, i: usize, x: &Activations, row: usize, at: usize) {
        let (values, group) = activations(x, row, at);
        words!(WORD {
            self.words[WORD][i] = word(values, WORD);
        });
        self.scale[i] = _mm256_set1_ps(group.scale);
        if const { offset::<F>() } > 0 {
            self.correction[i] = _mm256_set1_epi32(-const { offset::<F>() } * group.total);
        }
        let sums = if F::HALVES { group.halves } else { [group.sum; 2] };
        for (to, sum) in self.sums.iter_mut().zip(sums).take(const { minima::<F>() }) {
            to[i] = _mm256_set1_ps(sum);
        }
    }
}

/// How many minima pieces have, one for each half or one for both.
const fn minima<F: Format>() -> usize {
    match F::LAYOUT.meaning {
        Meaning::Minimum | Meaning::FactorAndMinimum => 1,
        _ if F::HALVES => 2,
        _ => 0,
    }
}

/// Pieces of some groups that are to be multiplied.
struct Work<'a, const SIGNS: usize> {
    pieces: &'a [Piece<SIGNS>],
    /// The first piece's number in its rows.
    start: usize,
    x: &'a Activations,
    target: Target<'a>,
}

impl<const SIGNS: usize> Work<'_, SIGNS> {
    /// Multiplies `M` rows of activations from `row`.
    ///
    /// # Safety
    ///
    /// As of [`super::multiply_many`]; there must be so many rows.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn multiply<F: Format, const M: usize>(&self, row: usize, spread: &mut [Spread]) {
        for (at, spread) in spread.iter_mut().enumerate() {
            for i in 0..M {
                spread.put::<F>(i, self.x, row + i, self.start + at);
            }
        }
        let target = &self.target;
        for (number, pieces) in self.pieces.chunks_exact(spread.len()).enumerate() {
            let first = number * ROWS;
            let out = |i: usize| target.out.wrapping_add((row + i) * target.stride + first);
            let present = target.rows - first;
            let mut sums = [_mm256_setzero_ps(); M];
            for (i, sums) in sums.iter_mut().enumerate() {
                let before = match target.bias {
                    Some(bias) if self.start == 0 => bias[first..].as_ptr(),
                    None if self.start == 0 => continue,
                    _ => out(i),
                };
                // SAFETY: numbers of rows that are not there are not touched; the others of `out`
                // have been written, and are the caller's alone.
                *sums = unsafe {
                    match present >= ROWS {
                        true => _mm256_loadu_ps(before),
                        false => _mm256_maskload_ps(before, lanes(present)),
                    }
                };
            }
            add::<F, SIGNS, M>(pieces, spread, &mut sums);
            for (i, sums) in sums.into_iter().enumerate() {
                // SAFETY: as above.
                unsafe {
                    match present >= ROWS {
                        true => _mm256_storeu_ps(out(i), sums),
                        false => _mm256_maskstore_ps(out(i), lanes(present), sums),
                    }
                }
            }
        }
    }
}

/// All bits of the first lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn lanes(count: usize) -> __m256i {
    let count = _mm256_set1_epi32(count as i32);
    _mm256_cmpgt_epi32(count, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

/// Adds the products of some pieces with `M` rows of activations.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add<F: Format, const SIGNS: usize, const M: usize>(
    pieces: &[Piece<SIGNS>],
    x: &[Spread],
    sums: &mut [__m256; M],
) {
    for (piece, x) in pieces.iter().zip(x) {
        let totals = dots::<F, SIGNS, M>(piece, x);
        for (i, (total, sums)) in totals.into_iter().zip(sums.iter_mut()).enumerate() {
            let scale = _mm256_mul_ps(piece.scale, x.scale[i]);
            *sums = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), scale, *sums);
            for (minimum, of) in piece.minimum.iter().zip(&x.sums).take(const { minima::<F>() }) {
                *sums = _mm256_fmadd_ps(*minimum, of[i], *sums);
            }
        }
    }
}

/// `quants · factors` of eight rows with `M` rows of activations.
#[inline]
#[target_feature(enable = "avx2")]
fn dots<F: Format, const SIGNS: usize, const M: usize>(
    piece: &Piece<SIGNS>,
    x: &Spread,
) -> [__m256i; M] {
    let together = const { together::<F>() };
    let mut totals = [_mm256_setzero_si256(); M];
    let mut pairs = [_mm256_setzero_si256(); M];
    for (i, total) in totals.iter_mut().enumerate() {
        if F::SIGNED {
            *total = piece.correction;
        } else if const { offset::<F>() } > 0 {
            *total = x.correction[i];
        }
    }
    words!(WORD {
        let quants = piece.quants[WORD];
        for i in 0..M {
            let mut x = x.words[WORD][i];
            if SIGNS > 0 {
                x = _mm256_xor_si256(x, piece.signs[WORD]);
            }
            let products = _mm256_maddubs_epi16(quants, x);
            let first = WORD.is_multiple_of(together);
            pairs[i] = if first { products } else { _mm256_add_epi16(pairs[i], products) };
            if (WORD + 1).is_multiple_of(together) {
                let factor = match (F::FACTORS, F::HALVES) {
                    (false, _) => _mm256_set1_epi16(1),
                    (true, false) => piece.factors[0],
                    (true, true) => piece.factors[WORD / 4],
                };
                totals[i] = _mm256_add_epi32(totals[i], _mm256_madd_epi16(pairs[i], factor));
                in_order(&mut totals[i]);
            } else {
                in_order(&mut pairs[i]);
            }
        }
    });
    totals
}

/// Has the compiler compute this here. Left to itself it takes one row of activations after the other,
/// with all words of the weights, which no registers are left for.
#[inline]
#[target_feature(enable = "avx2")]
fn in_order(x: &mut __m256i) {
    // SAFETY: there is no instruction.
    unsafe { asm!("/* {} */", inout(ymm_reg) * x, options(nomem, nostack, preserves_flags)) };
}
