//! Few rows of activations: weights are unpacked where they are multiplied.

use std::arch::x86_64::*;

use crate::kernels::activations::Activations;
use crate::kernels::packed::avx2::pieces::{activations, array};
use crate::kernels::packed::avx2::products::Products;
use crate::kernels::packed::avx2::unpack::{Piece, unpack};
use crate::kernels::packed::format::{Format, Meaning, ROWS};

/// Multiplies `M` rows of activations, all there are, with groups of `bytes`; `write` gets the number
/// of the row of activations, of the group, and the sums.
///
/// Four groups at a time, each from another quarter of them: four streams keep the memory busier
/// than one.
///
/// # Safety
///
/// The processor must have the instructions of `P`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn multiply<F: Format, P: Products, const M: usize>(
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
        let mut write =
            |row: usize, part: usize, sums: &[f32; ROWS]| write(row, numbers[part], sums);
        // SAFETY: the caller's promise.
        unsafe { streams::<F, P, M, 4>(numbers.map(group), x, &mut write) };
    }
    for last in 4 * quarter..count {
        let mut write = |row: usize, _, sums: &[f32; ROWS]| write(row, last, sums);
        // SAFETY: as above.
        unsafe { streams::<F, P, M, 1>([group(last)], x, &mut write) };
    }
}

/// The most rows that [`multiply_several`] takes.
pub(in crate::kernels::packed) const SEVERAL: usize = 16;

/// Multiplies up to [`SEVERAL`] rows of activations, all there are, as [`multiply`]: each piece of
/// weights is unpacked once, and its quants stay in registers for all rows.
///
/// # Safety
///
/// The processor must have the instructions of `P`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn multiply_several<F: Format, P: Products>(
    groups: &[u8],
    bytes: usize,
    x: &Activations,
    write: &mut impl FnMut(usize, usize, &[f32; ROWS]),
) {
    for (group, blocks) in groups.chunks_exact(bytes).enumerate() {
        let mut sums = [_mm256_setzero_ps(); SEVERAL];
        let sums = &mut sums[..x.rows];
        for (number, block) in blocks.chunks_exact(F::LAYOUT.block()).enumerate() {
            for piece in 0..F::LAYOUT.pieces {
                ahead::<F>(&block[piece * F::LAYOUT.piece()..][..F::LAYOUT.piece()]);
                let at = number * F::LAYOUT.pieces + piece;
                // SAFETY: the caller's promise.
                unsafe { add::<F, P>(&unpack::<F>(block, piece), x, at, sums) };
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            write(row, group, &array(*sums));
        }
    }
}

/// `N` groups with `M` rows of activations.
///
/// # Safety
///
/// As of [`multiply`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn streams<F: Format, P: Products, const M: usize, const N: usize>(
    groups: [&[u8]; N],
    x: &Activations,
    write: &mut impl FnMut(usize, usize, &[f32; ROWS]),
) {
    let mut sums = [[_mm256_setzero_ps(); M]; N];
    let size = F::LAYOUT.block();
    for number in 0..x.columns / (F::LAYOUT.pieces * 32) {
        for (group, sums) in groups.iter().zip(&mut sums) {
            let block = &group[number * size..][..size];
            for piece in 0..F::LAYOUT.pieces {
                ahead::<F>(&block[piece * F::LAYOUT.piece()..][..F::LAYOUT.piece()]);
                let at = number * F::LAYOUT.pieces + piece;
                // SAFETY: the caller's promise.
                unsafe { add::<F, P>(&unpack::<F>(block, piece), x, at, sums) };
            }
        }
    }
    for (part, sums) in sums.into_iter().enumerate() {
        for (row, sums) in sums.into_iter().enumerate() {
            write(row, part, &array(sums));
        }
    }
}

/// Has the cache lines fetched that are due soon after some bytes. The numbers are measured.
#[inline]
#[target_feature(enable = "avx2")]
fn ahead<F: Format>(bytes: &[u8]) {
    let distance = if F::LAYOUT.pieces == 1 { 768 } else { 1536 };
    for line in (0..bytes.len()).step_by(64) {
        _mm_prefetch::<_MM_HINT_T0>(bytes.as_ptr().wrapping_add(line + distance).cast());
    }
}

/// Adds the products of piece number `at` with as many rows of activations as there are sums.
///
/// # Safety
///
/// As of [`multiply`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn add<F: Format, P: Products>(
    piece: &Piece,
    x: &Activations,
    at: usize,
    sums: &mut [__m256],
) {
    for (row, sums) in sums.iter_mut().enumerate() {
        let (x, group) = activations(x, row, at);
        // SAFETY: the caller's promise; a piece is 32 activations.
        let product = unsafe { P::product::<F>(piece, x, group) };
        *sums = _mm256_fmadd_ps(product, _mm256_set1_ps(group.scale), *sums);
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
