//! Products of packed weights with AVX2.
//!
//! Loops over the eight words of a piece are written out ([`words`]): only then do all their
//! vectors stay in registers.

mod few;
mod many;
mod products;
mod unpack;
mod vnni;

use std::arch::x86_64::*;
use std::ops::Range;

use crate::kernels::activations::{Activations, FEW, Group};
use crate::kernels::packed::format::{Format, with_format};
use crate::kernels::packed::layout::{BlockFormat, Meaning, ROWS};
use crate::kernels::pool;
use crate::kernels::tier::Tier;
use products::{Fours, Pairs, Products};

/// The block for each word of a piece, with its number as a constant.
macro_rules! words {
    ($word:ident $body:block) => {
        words!($word $body 0 1 2 3 4 5 6 7)
    };
    ($word:ident $body:block $($number:literal)*) => {
        $({
            const $word: usize = $number;
            $body
        })*
    };
}
use words;

/// What all quants of a format are too large by.
const fn offset<F: Format>() -> i32 {
    match F::LAYOUT.meaning {
        Meaning::Offset(offset) => offset as i32,
        _ => 0,
    }
}

/// Vectors of products that fit 16 bits together.
const fn together<F: Format>() -> usize {
    match F::LAYOUT.low_bits + F::LAYOUT.high_bits {
        _ if F::SIGNED => 1,
        2..=4 if F::HALVES => 4,
        2..=4 => 8,
        5 => 4,
        _ => 2,
    }
}

/// Where products of many rows go.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// Of the first row of activations with the first of weights.
    pub(super) out: *mut f32,
    /// From one row of activations to the next.
    pub(super) stride: usize,
    /// Of weights.
    pub(super) rows: usize,
    /// One number for each row of weights.
    pub(super) bias: Option<&'a [f32]>,
}

impl Target<'_> {
    /// Of up to `count` rows of weights from one on.
    fn part(self, first: usize, count: usize) -> Self {
        Self {
            out: self.out.wrapping_add(first),
            rows: (self.rows - first).min(count),
            bias: self.bias.map(|bias| &bias[first..]),
            ..self
        }
    }
}

/// Groups that are multiplied together, where threads share them.
pub(super) const fn groups_together(tier: Tier, rows: usize) -> usize {
    match tier {
        // Rows that lie side by side in two vectors.
        Tier::Avx512 => 4,
        Tier::AvxVnni => 2,
        // Activations are spread for all of them.
        _ if rows > FEW => 8,
        _ => 1,
    }
}

/// Rows of activations that a thread takes at a time, to multiply them with all weights; `None` where
/// threads share the weights instead.
pub(super) fn rows_together(tier: Tier, rows: usize) -> Option<usize> {
    /// So many take long enough for what unpacking weights takes not to count.
    const LEAST: usize = 64;
    let threads = pool::threads();
    let shared = (rows / (4 * threads)).next_multiple_of(many::HEIGHT).max(LEAST);
    let together = if threads == 1 { rows } else { shared };
    (tier == Tier::Avx2 && rows >= LEAST * threads).then_some(together)
}

/// Multiplies groups of eight rows with some rows of activations.
///
/// # Safety
///
/// The processor must have the tier's instructions, groups be whole and as many as the target's rows
/// take, and products of these rows be the caller's alone.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn multiply_many(
    tier: Tier,
    format: BlockFormat,
    groups: &[u8],
    x: &Activations,
    rows: Range<usize>,
    target: Target<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match tier {
            Tier::Avx2 => many::multiply(format, groups, x, rows, target),
            _ => vnni::multiply(tier, format, groups, x, rows, target),
        }
    }
}

/// Multiplies groups of eight rows with few rows of activations, all there are; `write` gets the number
/// of the row of activations, of the group, and the sums.
///
/// # Safety
///
/// The processor must have the tier's instructions.
///
/// # Panics
///
/// Where there are more than [`FEW`] rows.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn multiply_few(
    tier: Tier,
    format: BlockFormat,
    groups: &[u8],
    x: &Activations,
    write: &mut impl FnMut(usize, usize, &[f32; ROWS]),
) {
    // SAFETY: the caller's promise.
    unsafe {
        with_format!(format, F => match tier {
            Tier::Avx512 => few_as::<F, Fours<true>>(groups, x, write),
            Tier::AvxVnni => few_as::<F, Fours<false>>(groups, x, write),
            _ => few_as::<F, Pairs>(groups, x, write),
        });
    }
}

/// # Safety
///
/// The processor must have the instructions of `P`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn few_as<F: Format, P: Products>(
    groups: &[u8],
    x: &Activations,
    write: &mut impl FnMut(usize, usize, &[f32; ROWS]),
) {
    let bytes = x.columns / (F::LAYOUT.pieces * 32) * F::LAYOUT.block();
    assert!(x.columns.is_multiple_of(F::LAYOUT.pieces * 32) && groups.len().is_multiple_of(bytes));
    // SAFETY: the caller's promise.
    unsafe {
        match x.rows {
            0 => {}
            1 => few::multiply::<F, P, 1>(groups, bytes, x, write),
            2 => few::multiply::<F, P, 2>(groups, bytes, x, write),
            3 => few::multiply::<F, P, 3>(groups, bytes, x, write),
            _ => few::multiply::<F, P, FEW>(groups, bytes, x, write),
        }
    }
}

/// Piece number `at` of a row of activations: 32 values, and what they mean.
#[inline]
fn activations(x: &Activations, row: usize, at: usize) -> (*const i8, &Group) {
    debug_assert!(row < x.rows && at * 32 + 32 <= x.columns);
    let groups = x.columns / 32;
    // SAFETY: the callers' rows and columns are there (asserted by `multiply_as` and theirs).
    let group = unsafe { x.groups.get_unchecked(row * groups + at) };
    (x.values.as_ptr().wrapping_add(row * x.columns + at * 32), group)
}

/// Four activations, repeated.
#[inline]
#[target_feature(enable = "avx2")]
fn word(x: *const i8, number: usize) -> __m256i {
    // SAFETY: callers give a piece of a row of activations, which is eight words.
    _mm256_set1_epi32(unsafe { x.add(4 * number).cast::<i32>().read_unaligned() })
}

#[inline]
#[target_feature(enable = "avx2")]
fn array(x: __m256) -> [f32; ROWS] {
    let mut out = [0.0; ROWS];
    // SAFETY: eight floats are one vector.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), x) };
    out
}
