//! The plain twin of the vector kernels.

use crate::kernels::activations::Activations;
use crate::kernels::packed::format::{BlockFormat, ROWS};
use crate::kernels::packed::layout;
use crate::kernels::packed::values::Values;

/// Multiplies groups of eight rows with all activations; `write` gets the number of the row of
/// activations, of the group, and the sums.
pub(super) fn multiply(
    format: BlockFormat,
    groups: &[u8],
    x: &Activations,
    write: &mut impl FnMut(usize, usize, &[f32; ROWS]),
) {
    let layout = format.layout();
    let blocks = x.columns / format.columns();
    for (number, group) in groups.chunks_exact(blocks * layout.block()).enumerate() {
        let mut sums = vec![[0.0_f32; ROWS]; x.rows];
        for (block, at) in group.chunks_exact(layout.block()).zip((0..).step_by(layout.pieces)) {
            for piece in 0..layout.pieces {
                add(format, block, piece, x, at + piece, &mut sums);
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            write(row, number, sums);
        }
    }
}

/// Adds the products of a piece, which is number `at` of its rows.
fn add(
    format: BlockFormat,
    block: &[u8],
    piece: usize,
    x: &Activations,
    at: usize,
    sums: &mut [[f32; ROWS]],
) {
    let layout = format.layout();
    for row in 0..ROWS {
        let values = Values::new(layout, &layout::read(layout, block, piece, row));
        for (i, sums) in sums.iter_mut().enumerate() {
            let group = x.row_groups(i)[at];
            for half in 0..2 {
                let columns = half * 16..half * 16 + 16;
                let dot: i32 =
                    columns.map(|column| values.quant(column) * x.value(i, at * 32 + column)).sum();
                sums[row] += dot as f32 * (values.scale[half] * group.scale)
                    + values.minimum[half] * group.halves[half];
            }
        }
    }
}
