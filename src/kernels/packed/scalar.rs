//! The plain twin of the vector kernels.

use crate::kernels::activations::Activations;
use crate::kernels::packed::Values;
use crate::kernels::packed::layout::{self, BlockFormat, ROWS};

/// Multiplies eight rows with all activations; `write` gets the sums of one row of activations.
pub(super) fn multiply(
    format: BlockFormat,
    group: &[u8],
    x: &Activations,
    write: &mut impl FnMut(usize, &[f32; ROWS]),
) {
    let layout = format.layout();
    let mut sums = vec![[0.0_f32; ROWS]; x.rows];
    for (number, block) in group.chunks_exact(layout.block()).enumerate() {
        for piece in 0..layout.pieces {
            let at = number * layout.pieces + piece;
            for row in 0..ROWS {
                let values = Values::new(layout, &layout::read(layout, block, piece, row));
                for (i, sums) in sums.iter_mut().enumerate() {
                    let group = x.row_groups(i)[at];
                    for half in 0..2 {
                        let columns = half * 16..half * 16 + 16;
                        let dot: i32 = columns
                            .map(|column| values.quant(column) * x.value(i, at * 32 + column))
                            .sum();
                        sums[row] += dot as f32 * (values.scale[half] * group.scale)
                            + values.minimum[half] * group.halves[half];
                    }
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        write(row, sums);
    }
}
