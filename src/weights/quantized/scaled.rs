//! 8-bit floats and integers with scales: of the whole tensor, of each row, or of blocks.

use crate::error::Result;
use crate::weights::elements::{self, Elements};
use crate::weights::quantized::parts::{Parts, matrix, misfit, raw};
use crate::weights::store::StoredTensor;

/// `weight: (rows, columns)` and `weight_scale_inv` (DeepSeek's name, although it multiplies, too)
/// or `weight_scale`, of one number, of `(rows)` or `(rows, 1)`, or of a number for each block, of one of
/// the sizes of `blocks`; and for integers `weight_zero_point`, of as many.
pub(super) fn assemble<'a>(
    parts: &Parts<'a, '_>,
    blocks: &[[usize; 2]],
) -> Result<Option<StoredTensor<'a>>> {
    let names = ["weight_scale_inv", "weight_scale"];
    let Some(weight) = parts.find("weight") else { return Ok(None) };
    let integers = raw(&weight, "I8", 1).is_some();
    if !integers && weight.elements != Elements::F8E4M3 {
        return Ok(None);
    }
    let Some(name) = names.into_iter().find(|name| parts.find(name).is_some()) else {
        return Ok(None);
    };
    let &[rows, columns] = weight.shape.as_slice() else { return Ok(None) };
    let (scales, shape) = parts.floats(name)?;
    // Rows and columns that share a scale.
    let found = match shape.as_slice() {
        [] | [1] | [1, 1] => Some([rows, columns]),
        [scales] | [scales, 1] if *scales == rows => Some([1, columns]),
        &[tall, wide] => blocks.iter().copied().find(|&[block_rows, block_columns]| {
            rows.div_ceil(block_rows.max(1)) == tall
                && columns.div_ceil(block_columns.max(1)) == wide
        }),
        _ => None,
    };
    let Some([tall, wide]) = found else {
        return Err(misfit(&parts.require(name)?, &format!("does not scale {rows} x {columns}")));
    };
    let zeros = match parts.find("weight_zero_point") {
        None => vec![0.0; scales.len()],
        Some(tensor) => {
            let fits = integers && tensor.shape == shape && raw(&tensor, "I8", 1).is_some();
            if !fits {
                return Err(misfit(&tensor, "holds no zero points in 8 bits, one for each scale"));
            }
            let (zeros, _) = parts.integers("weight_zero_point")?;
            zeros.iter().map(|zero| *zero as f32).collect()
        }
    };
    let per_row = columns.div_ceil(wide.max(1));
    let [bytes] = weight.pieces.as_slice() else { return Err(weight.unreadable()) };
    Ok(Some(matrix(&weight, [rows, columns], |row, out| {
        let bytes = &bytes[row * columns..][..columns];
        if integers {
            for (value, &byte) in out.iter_mut().zip(bytes) {
                *value = f32::from(byte.cast_signed());
            }
        } else {
            elements::f8e4m3(bytes, out);
        }
        let first = row / tall.max(1) * per_row;
        let blocks = scales[first..].iter().zip(&zeros[first..]);
        for (values, (scale, zero)) in out.chunks_mut(wide.max(1)).zip(blocks) {
            values.iter_mut().for_each(|value| *value = (*value - zero) * scale);
        }
    })))
}
