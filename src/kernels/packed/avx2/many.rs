//! Many rows of activations with AVX2: weights are unpacked once for all rows, and some rows of
//! activations are spread over vectors once for many weights, so that they are the operand that comes
//! from memory.
//!
//! Sums of pairs of up to six bits are added while they fit 16 bits, as with few rows
//! ([`products`](super::products)).

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;

use crate::kernels::activations::Activations;
use crate::kernels::packed::avx2::pieces::{
    Target, activations, offset, raised, together, word, words,
};
use crate::kernels::packed::avx2::unpack::{self, twice, unpack};
use crate::kernels::packed::format::{BlockFormat, Format, Meaning, ROWS, with_format};

/// Rows of activations at a time: their sums, and what they are made of, fill the registers.
const HEIGHT: usize = 4;

/// The same where sums of pairs are widened at once.
const TALL: usize = 6;

/// Rows are shared out in multiples of both.
pub(super) const ROUND: usize = 12;

/// Pieces at a time: so many of four rows of activations stay in the first cache.
const PIECES: usize = 12;

/// Groups that are unpacked at a time: so many pieces of each stay in the second cache.
const GROUPS: usize = 48;

/// 32 columns of eight rows of weights: `scale * (quants · factors - offset) + minimum`. What a format
/// does not have is never read.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Piece {
    quants: [__m256i; 8],
    scale: __m256,
    /// Of each half, in 16 bits, twice per row.
    factors: [__m256i; 2],
    /// Of each half; only the first where both are one.
    minimum: [__m256; 2],
}

/// 32 columns of `H` rows of activations.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Spread<const H: usize> {
    /// Each word in all lanes.
    words: [[__m256i; H]; 8],
    scale: [f32; H],
    /// What offsets of quants make too much, negated.
    correction: [i32; H],
    /// What minima are multiplied with; only the first where both halves have one.
    sums: [[f32; H]; 2],
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
        with_format!(format, F => match const { together::<F>() } {
            1 => multiply_as::<F, TALL>(groups, x, rows, target),
            _ => multiply_as::<F, HEIGHT>(groups, x, rows, target),
        });
    }
}

/// # Safety
///
/// As of [`multiply`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_as<F: Format, const H: usize>(
    groups: &[u8],
    x: &Activations,
    rows: Range<usize>,
    target: Target<'_>,
) {
    let (size, pieces) = (F::LAYOUT.block(), F::LAYOUT.pieces);
    let blocks = x.columns / (pieces * 32);
    assert!(x.columns.is_multiple_of(pieces * 32) && rows.end <= x.rows);
    assert_eq!(groups.len(), target.rows.div_ceil(ROWS) * blocks * size);
    let nothing = Spread {
        words: [[_mm256_setzero_si256(); H]; 8],
        scale: [0.0; H],
        correction: [0; H],
        sums: [[0.0; H]; 2],
    };
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
                        unpacked.push(Piece::new::<F>(&unpack::<F>(block, piece)));
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
            let mut row = rows.start;
            while row < rows.end {
                // SAFETY: the caller's promise, and so many rows are left.
                row += unsafe {
                    match rows.end - row {
                        1 => work.multiply::<F, H, 1>(row, spread),
                        2 => work.multiply::<F, H, 2>(row, spread),
                        3 => work.multiply::<F, H, 3>(row, spread),
                        left if left < H => work.multiply::<F, H, HEIGHT>(row, spread),
                        _ => work.multiply::<F, H, H>(row, spread),
                    }
                };
            }
        }
    }
}

impl Piece {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new<F: Format>(from: &unpack::Piece) -> Self {
        let quants = from.quants.map(|quants| raised::<F>(quants));
        let factors = from.factors.map(|factors| twice(factors));
        Self { quants, scale: from.scale, factors, minimum: from.minimum }
    }
}

impl<const H: usize> Spread<H> {
    /// Sets row number `i` to piece number `at` of a row of activations.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn put<F: Format>(&mut self, i: usize, x: &Activations, row: usize, at: usize) {
        let (values, group) = activations(x, row, at);
        words!(WORD {
            self.words[WORD][i] = word(values, WORD);
        });
        self.scale[i] = group.scale;
        if const { offset::<F>() } > 0 {
            self.correction[i] = -const { offset::<F>() } * group.total;
        }
        let sums = if F::HALVES { group.halves } else { [group.sum; 2] };
        for (to, sum) in self.sums.iter_mut().zip(sums).take(const { minima::<F>() }) {
            to[i] = sum;
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
struct Work<'a> {
    pieces: &'a [Piece],
    /// The first piece's number in its rows.
    start: usize,
    x: &'a Activations,
    target: Target<'a>,
}

impl Work<'_> {
    /// Multiplies `M` rows of activations from `row`, and returns `M`.
    ///
    /// # Safety
    ///
    /// As of [`super::multiply_many`]; there must be so many rows.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn multiply<F: Format, const H: usize, const M: usize>(
        &self,
        row: usize,
        spread: &mut [Spread<H>],
    ) -> usize {
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
            add::<F, H, M>(pieces, spread, &mut sums);
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
        M
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
fn add<F: Format, const H: usize, const M: usize>(
    pieces: &[Piece],
    x: &[Spread<H>],
    sums: &mut [__m256; M],
) {
    for (piece, x) in pieces.iter().zip(x) {
        let totals = dots::<F, H, M>(piece, x);
        for (i, (total, sums)) in totals.into_iter().zip(sums.iter_mut()).enumerate() {
            let scale = _mm256_mul_ps(piece.scale, _mm256_set1_ps(x.scale[i]));
            *sums = _mm256_fmadd_ps(_mm256_cvtepi32_ps(total), scale, *sums);
            for (minimum, of) in piece.minimum.iter().zip(&x.sums).take(const { minima::<F>() }) {
                *sums = _mm256_fmadd_ps(*minimum, _mm256_set1_ps(of[i]), *sums);
            }
        }
    }
}

/// `quants · factors - offset` of eight rows with `M` rows of activations.
#[inline]
#[target_feature(enable = "avx2")]
fn dots<F: Format, const H: usize, const M: usize>(piece: &Piece, x: &Spread<H>) -> [__m256i; M] {
    let together = const { together::<F>() };
    let mut totals = [_mm256_setzero_si256(); M];
    let mut pairs = [_mm256_setzero_si256(); M];
    for (i, total) in totals.iter_mut().enumerate() {
        if const { offset::<F>() } > 0 {
            *total = _mm256_set1_epi32(x.correction[i]);
        }
    }
    words!(WORD {
        for i in 0..M {
            let products = _mm256_maddubs_epi16(piece.quants[WORD], x.words[WORD][i]);
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
