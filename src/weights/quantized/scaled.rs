//! 8-bit floats and integers with scales: of the whole tensor, of each row, or of blocks.

use crate::error::Result;
use crate::weights::elements::{self, Elements};
use crate::weights::quantized::matrix;
use crate::weights::quantized::parts::{Parts, misfit, raw};
use crate::weights::store::StoredTensor;

/// `weight: (rows, columns)` and `weight_scale_inv` (DeepSeek's name, although it multiplies, too)
/// or `weight_scale`, of one number, of `(rows)` or `(rows, 1)`, or of a number for each block.
pub(super) fn assemble<'a>(
    parts: &Parts<'a, '_>,
    block: [usize; 2],
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
    if parts.find("weight_zero_point").is_some() {
        return Err(misfit(&weight, "has zero points, which cannot be read with scales"));
    }
    let (scales, shape) = parts.floats(name)?;
    let [block_rows, block_columns] = block.map(|size| size.max(1));
    let blocks = [rows.div_ceil(block_rows), columns.div_ceil(block_columns)];
    // Rows and columns that share a scale.
    let [tall, wide] = match shape.as_slice() {
        [] | [1] | [1, 1] => [rows, columns],
        [scales] | [scales, 1] if *scales == rows => [1, columns],
        scales if scales == blocks => [block_rows, block_columns],
        _ => {
            return Err(misfit(
                &parts.require(name)?,
                &format!("does not scale {rows} x {columns}"),
            ));
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
        let scales = &scales[row / tall.max(1) * per_row..];
        for (values, scale) in out.chunks_mut(wide.max(1)).zip(scales) {
            values.iter_mut().for_each(|value| *value *= scale);
        }
    })))
}
