//! Pieces of activations, and what else all products with AVX2 take.

use std::arch::x86_64::*;

use crate::kernels::activations::{Activations, Group};
use crate::kernels::packed::format::{Format, Meaning, ROWS};

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
pub(super) use words;

/// What all quants of a format are too large by, where they are [`raised`].
pub(super) const fn offset<F: Format>() -> i32 {
    match F::LAYOUT.meaning {
        _ if F::SIGNED => 128,
        Meaning::Offset(offset) => offset as i32,
        _ => 0,
    }
}

/// Quants without a sign: where they have one, 128 is added.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn raised<F: Format>(quants: __m256i) -> __m256i {
    match F::SIGNED {
        true => _mm256_xor_si256(quants, _mm256_set1_epi8(-128)),
        false => quants,
    }
}

/// Vectors of products that fit 16 bits together.
pub(super) const fn together<F: Format>() -> usize {
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
pub(in crate::kernels::packed) struct Target<'a> {
    /// Of the first row of activations with the first of weights.
    pub(in crate::kernels::packed) out: *mut f32,
    /// From one row of activations to the next.
    pub(in crate::kernels::packed) stride: usize,
    /// Of weights.
    pub(in crate::kernels::packed) rows: usize,
    /// One number for each row of weights.
    pub(in crate::kernels::packed) bias: Option<&'a [f32]>,
}

impl Target<'_> {
    /// Of up to `count` rows of weights from one on.
    pub(super) fn part(self, first: usize, count: usize) -> Self {
        Self {
            out: self.out.wrapping_add(first),
            rows: (self.rows - first).min(count),
            bias: self.bias.map(|bias| &bias[first..]),
            ..self
        }
    }
}

/// Piece number `at` of a row of activations: 32 values, and what they mean.
#[inline]
pub(super) fn activations(x: &Activations, row: usize, at: usize) -> (*const i8, &Group) {
    debug_assert!(row < x.rows && at * 32 + 32 <= x.columns);
    let groups = x.columns / 32;
    // SAFETY: the callers' rows and columns are there (asserted by `multiply_as` and theirs).
    let group = unsafe { x.groups.get_unchecked(row * groups + at) };
    (x.values.as_ptr().wrapping_add(row * x.columns + at * 32), group)
}

/// Four activations, repeated.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn word(x: *const i8, number: usize) -> __m256i {
    // SAFETY: callers give a piece of a row of activations, which is eight words.
    _mm256_set1_epi32(unsafe { x.add(4 * number).cast::<i32>().read_unaligned() })
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn array(x: __m256) -> [f32; ROWS] {
    let mut out = [0.0; ROWS];
    // SAFETY: eight floats are one vector.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), x) };
    out
}
