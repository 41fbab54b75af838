//! Products of packed weights with NEON. Quants are signed: their products with activations, and
//! the sums of those, fit 32 bits.

mod products;
mod unpack;

use std::arch::aarch64::*;

use crate::kernels::activations::{Activations, FEW};
use crate::kernels::packed::format::{BlockFormat, Format, Meaning, ROWS, with_format};
use crate::kernels::tier::Tier;
use products::{Dots, Matrices, Products, Widening};
use unpack::{Piece, unpack};

/// What a thread unpacks into.
#[derive(Default)]
pub(super) struct Scratch(Vec<Piece>);

/// Multiplies groups of eight rows with all activations; `write` gets the number of the row of
/// activations, of the group, and the sums.
///
/// # Safety
///
/// The processor must have the tier's instructions.
pub(super) unsafe fn multiply(
    tier: Tier,
    format: BlockFormat,
    groups: &[u8],
    x: &Activations,
    scratch: &mut Scratch,
    write: &mut impl FnMut(usize, usize, &[f32; ROWS]),
) {
    let bytes = x.columns / format.columns() * format.layout().block();
    for (number, group) in groups.chunks_exact(bytes).enumerate() {
        let mut write = |row: usize, sums: &[f32; ROWS]| write(row, number, sums);
        // SAFETY: the caller's promise.
        unsafe {
            with_format!(format, F => match tier {
                Tier::NeonI8mm if x.rows > FEW => {
                    multiply_as::<F, Matrices>(group, x, scratch, &mut write)
                }
                Tier::NeonI8mm | Tier::NeonDot => {
                    multiply_as::<F, Dots>(group, x, scratch, &mut write)
                }
                _ => multiply_as::<F, Widening>(group, x, scratch, &mut write),
            });
        }
    }
}

/// # Safety
///
/// The processor must have the instructions of `P`.
unsafe fn multiply_as<F: Format, P: Products>(
    group: &[u8],
    x: &Activations,
    Scratch(pieces): &mut Scratch,
    write: &mut impl FnMut(usize, &[f32; ROWS]),
) {
    assert_eq!(group.len() / F::LAYOUT.block() * F::LAYOUT.pieces * 32, x.columns);
    let unpacked = group
        .chunks_exact(F::LAYOUT.block())
        .flat_map(|block| (0..F::LAYOUT.pieces).map(|piece| unpack::<F>(block, piece)));
    // SAFETY: the caller's promise.
    unsafe {
        match x.rows {
            0 => {}
            1 => rows::<F, P, 1>(unpacked, x, 0, write),
            2 => rows::<F, P, 2>(unpacked, x, 0, write),
            3 => rows::<F, P, 3>(unpacked, x, 0, write),
            FEW => rows::<F, P, 4>(unpacked, x, 0, write),
            _ => {
                pieces.clear();
                pieces.extend(unpacked.map(|mut piece| {
                    P::arrange(&mut piece.quants);
                    piece
                }));
                for row in (0..x.rows).step_by(4) {
                    let pieces = pieces.iter().copied();
                    match x.rows - row {
                        1 => rows::<F, P, 1>(pieces, x, row, write),
                        2 => rows::<F, P, 2>(pieces, x, row, write),
                        3 => rows::<F, P, 3>(pieces, x, row, write),
                        _ => rows::<F, P, 4>(pieces, x, row, write),
                    }
                }
            }
        }
    }
}

/// Multiplies `M` rows from `first`.
///
/// # Safety
///
/// The processor must have the instructions of `P`.
unsafe fn rows<F: Format, P: Products, const M: usize>(
    pieces: impl Iterator<Item = Piece>,
    x: &Activations,
    first: usize,
    write: &mut impl FnMut(usize, &[f32; ROWS]),
) {
    // SAFETY: the caller's promise; every 64-bit Arm has NEON; eight floats are two vectors.
    unsafe {
        let mut sums = [[vdupq_n_f32(0.0); 2]; M];
        for (at, piece) in pieces.enumerate() {
            let x_rows: [&[i8; 32]; M] = std::array::from_fn(|row| x.piece(first + row, at));
            let products = |half: usize| {
                let x = x_rows.map(|x| &x.as_chunks::<16>().0[half]);
                P::products(&piece.quants.as_chunks::<8>().0[half], x)
            };
            let halves = [products(0), products(1)];
            for (row, sums) in sums.iter_mut().enumerate() {
                let group = x.row_groups(first + row)[at];
                for (i, sum) in sums.iter_mut().enumerate() {
                    let [a, b] = [halves[0][row][i], halves[1][row][i]];
                    let total = match (F::FACTORS, F::HALVES) {
                        (false, _) => vaddq_s32(a, b),
                        (true, false) => vmulq_s32(vaddq_s32(a, b), piece.factors[0][i]),
                        (true, true) => {
                            vmlaq_s32(vmulq_s32(a, piece.factors[0][i]), b, piece.factors[1][i])
                        }
                    };
                    let scale = vmulq_n_f32(piece.scale[i], group.scale);
                    *sum = vfmaq_f32(*sum, vcvtq_f32_s32(total), scale);
                    match F::LAYOUT.meaning {
                        Meaning::Minimum | Meaning::FactorAndMinimum => {
                            *sum = vfmaq_n_f32(*sum, piece.minimum[0][i], group.sum);
                        }
                        Meaning::Nibbles => {
                            for (minimum, x) in piece.minimum.iter().zip(group.halves) {
                                *sum = vfmaq_n_f32(*sum, minimum[i], x);
                            }
                        }
                        Meaning::Factors(_) | Meaning::Offset(_) | Meaning::Table => {}
                    }
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            let mut out = [0.0; ROWS];
            vst1q_f32(out.as_mut_ptr(), sums[0]);
            vst1q_f32(out.as_mut_ptr().add(4), sums[1]);
            write(first + row, &out);
        }
    }
}
