//! Products of packed weights with AVX2.
//!
//! Loops over the eight words of a piece are written out ([`words`]): only then do all their
//! vectors stay in registers.

mod few;
mod many;
mod unpack;

use std::arch::x86_64::*;

use crate::kernels::activations::{Activations, FEW, Group};
use crate::kernels::packed::layout::{BlockFormat, Layout, Meaning, ROWS};

pub(super) use many::Piece;

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

/// A format, known while compiling.
trait Format {
    const LAYOUT: Layout;
    /// Whether the halves of a piece have their own scales.
    const HALVES: bool = matches!(Self::LAYOUT.meaning, Meaning::Factors(_) | Meaning::Nibbles);
    const FACTORS: bool = !matches!(Self::LAYOUT.meaning, Meaning::Offset(_) | Meaning::Minimum);
    const SIGNED: bool = Self::LAYOUT.low_bits == 8;
    /// What all quants are too large by.
    const OFFSET: i32 = match Self::LAYOUT.meaning {
        Meaning::Offset(offset) => offset as i32,
        _ => 0,
    };
    /// Vectors of products that fit 16 bits together.
    const TOGETHER: usize = match Self::LAYOUT.low_bits + Self::LAYOUT.high_bits {
        2..=4 if Self::HALVES => 4,
        2..=4 => 8,
        5 => 4,
        6 => 2,
        _ => 1,
    };
}

macro_rules! formats {
    ($($name:ident),*) => {
        mod formats {
            $(pub(super) struct $name;)*
        }
        $(impl Format for formats::$name {
            const LAYOUT: Layout = BlockFormat::$name.layout();
        })*

        /// Multiplies eight rows with all activations; `write` gets the sums of one row of
        /// activations. `pieces` is scratch.
        #[target_feature(enable = "avx2,fma,f16c")]
        pub(super) fn multiply(
            format: BlockFormat,
            group: &[u8],
            x: &Activations,
            pieces: &mut Vec<Piece>,
            write: &mut impl FnMut(usize, &[f32; ROWS]),
        ) {
            match format {
                $(BlockFormat::$name => multiply_as::<formats::$name>(group, x, pieces, write),)*
            }
        }
    };
}

formats!(Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0);

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_as<F: Format>(
    group: &[u8],
    x: &Activations,
    pieces: &mut Vec<Piece>,
    write: &mut impl FnMut(usize, &[f32; ROWS]),
) {
    assert_eq!(group.len() / F::LAYOUT.block() * F::LAYOUT.pieces * 32, x.columns);
    match x.rows {
        0 => {}
        1 => few::multiply::<F, 1>(group, x, write),
        2 => few::multiply::<F, 2>(group, x, write),
        3 => few::multiply::<F, 3>(group, x, write),
        FEW => few::multiply::<F, 4>(group, x, write),
        _ => many::multiply::<F>(group, x, pieces, write),
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
    // SAFETY: callers give a piece of a row of activations, signed or raised, which is eight words.
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
