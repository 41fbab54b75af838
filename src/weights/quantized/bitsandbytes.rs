//! bitsandbytes: LLM.int8() (<https://arxiv.org/abs/2208.07339>) and the 4-bit types of QLoRA
//! (<https://arxiv.org/abs/2305.14314>).

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::weights::quantized::parts::{Parts, matrix, misfit, raw};
use crate::weights::store::StoredTensor;

pub(super) fn assemble<'a>(parts: &Parts<'a, '_>) -> Result<Option<StoredTensor<'a>>> {
    if parts.find("SCB").is_some() {
        return eight_bits(parts).map(Some);
    }
    let states = ["nf4", "fp4"].map(|kind| format!("weight.quant_state.bitsandbytes__{kind}"));
    match states.iter().find_map(|name| parts.find(name)) {
        Some(state) => four_bits(parts, &state).map(Some),
        None => Ok(None),
    }
}

/// `weight: (rows, columns)` in i8 and `SCB: (rows)`, the largest magnitude of each row.
/// `int8_vectorwise_dequant`.
fn eight_bits<'a>(parts: &Parts<'a, '_>) -> Result<StoredTensor<'a>> {
    let weight = parts.require("weight")?;
    let (largest, shape) = parts.floats("SCB")?;
    let (&[rows, columns], Some(bytes)) = (weight.shape.as_slice(), raw(&weight, "I8", 1)) else {
        return Err(weight.unreadable());
    };
    if shape != [rows] {
        return Err(misfit(&parts.require("SCB")?, &format!("does not scale {rows} rows")));
    }
    if let Some(format) = parts.find("weight_format")
        && raw(&format, "U8", 1).is_none_or(|format| format.iter().any(|&format| format != 0))
    {
        return Err(misfit(&format, "asks for an arrangement other than row by row"));
    }
    Ok(matrix(&weight, [rows, columns], |row, out| {
        for (value, &byte) in out.iter_mut().zip(&bytes[row * columns..]) {
            *value = f32::from(byte.cast_signed()) * largest[row] * (1.0 / 127.0);
        }
    }))
}

/// The JSON that a quantized weight's state is kept in.
#[derive(Deserialize)]
struct State {
    blocksize: usize,
    shape: Vec<usize>,
    nested_blocksize: Option<usize>,
    nested_offset: Option<f32>,
}

/// `weight`: two weights in a byte, the first in the upper half; `quant_map`: what each of the 16
/// codes stands for; `absmax`: the scale of each block, in 8 bits with scales of its own where
/// quantized twice. `dequantize_4bit` with a state of float32.
fn four_bits<'a>(parts: &Parts<'a, '_>, state: &StoredTensor<'_>) -> Result<StoredTensor<'a>> {
    let weight = parts.require("weight")?;
    let text = raw(state, "U8", 1).ok_or_else(|| state.unreadable())?;
    let fields: State = serde_json::from_slice(text).map_err(|error| {
        Error::malformed(state.file.path(), format!("{:?}: {error}", state.name))
    })?;
    let (codes, _) = parts.floats("weight.quant_map")?;
    let [bytes] = weight.pieces.as_slice() else { return Err(weight.unreadable()) };
    let &[rows, columns] = fields.shape.as_slice() else {
        return Err(misfit(state, "is of no matrix"));
    };
    let count = rows.checked_mul(columns).filter(|count| count.div_ceil(2) == bytes.len());
    let (Some(count), 16) = (count, codes.len()) else {
        return Err(misfit(&weight, &format!("is not {rows} x {columns} weights of 4 bits")));
    };
    let scales = scales(parts, &fields)?;
    if fields.blocksize == 0 || scales.len() < count.div_ceil(fields.blocksize) {
        return Err(misfit(&parts.require("weight.absmax")?, "does not scale all blocks"));
    }
    Ok(matrix(&weight, [rows, columns], |row, out| {
        for (column, value) in out.iter_mut().enumerate() {
            let at = row * columns + column;
            let byte = bytes[at / 2];
            let code = if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
            *value = codes[usize::from(code)] * scales[at / fields.blocksize];
        }
    }))
}

fn scales(parts: &Parts<'_, '_>, fields: &State) -> Result<Vec<f32>> {
    if parts.find("weight.nested_absmax").is_none() {
        return Ok(parts.floats("weight.absmax")?.0);
    }
    let absmax = parts.require("weight.absmax")?;
    let quants = raw(&absmax, "U8", 1).ok_or_else(|| absmax.unreadable())?;
    let (codes, _) = parts.floats("weight.nested_quant_map")?;
    let (largest, _) = parts.floats("weight.nested_absmax")?;
    let block = fields.nested_blocksize.unwrap_or(256);
    if codes.len() != 256 || block == 0 || largest.len() < quants.len().div_ceil(block) {
        return Err(misfit(&absmax, "and what scales it do not fit"));
    }
    let offset = fields.nested_offset.unwrap_or(0.0);
    let scale =
        |(at, &quant): (usize, &u8)| codes[usize::from(quant)] * largest[at / block] + offset;
    Ok(quants.iter().enumerate().map(scale).collect())
}
