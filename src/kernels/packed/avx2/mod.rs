//! Products of packed weights with AVX2.
//!
//! Loops over the eight words of a piece are written out ([`words`]): only then do all their
//! vectors stay in registers.

mod few;
mod many;
mod pieces;
mod products;
mod unpack;
mod vnni;

use std::ops::Range;

use crate::kernels::activations::Activations;
use crate::kernels::packed::format::{BlockFormat, Format, ROWS, with_format};
use crate::kernels::pool;
use crate::kernels::tier::Tier;
pub(super) use few::SEVERAL;
pub(super) use pieces::Target;
use products::{Fours, Pairs, Products};

/// Groups that are multiplied together, where threads share them.
pub(super) const fn groups_together(tier: Tier, rows: usize) -> usize {
    match tier {
        // Rows that lie side by side in two vectors.
        Tier::Avx512 => 4,
        Tier::AvxVnni => 2,
        // Activations are spread for all of them.
        _ if rows > SEVERAL => 8,
        _ => 1,
    }
}

/// Rows of activations that a thread takes at a time, to multiply them with all weights; `None` where
/// threads share the weights instead.
pub(super) fn rows_together(tier: Tier, rows: usize) -> Option<usize> {
    /// So many take long enough for what unpacking weights takes not to count.
    const LEAST: usize = 64;
    let threads = pool::threads();
    let shared = (rows / (4 * threads)).next_multiple_of(many::ROUND).max(LEAST);
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
/// Where there are more than [`SEVERAL`] rows.
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
            4 => few::multiply::<F, P, 4>(groups, bytes, x, write),
            _ => few::multiply_several::<F, P>(groups, bytes, x, write),
        }
    }
}
