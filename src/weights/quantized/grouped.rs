//! GPTQ (<https://arxiv.org/abs/2210.17323>) and AWQ (<https://arxiv.org/abs/2306.00978>): integers
//! packed into 32-bit words, with a scale and a zero point for each group of inputs.

use crate::error::Result;
use crate::weights::quantized::parts::{Parts, matrix, misfit};
use crate::weights::store::StoredTensor;

/// `qweight: (inputs * bits / 32, outputs)`, a stream of bits down each column;
/// `qzeros: (groups, outputs * bits / 32)`, the same along each row; `scales: (groups, outputs)`;
/// `g_idx: (inputs)`, each input's group. `QuantLinear.forward` of AutoGPTQ 0.7.1, in float32.
pub(super) fn gptq<'a>(
    parts: &Parts<'a, '_>,
    bits: u32,
    zero_offset: u32,
) -> Result<Option<StoredTensor<'a>>> {
    let Some(weight) = parts.find("qweight") else { return Ok(None) };
    let (words, [rows, outputs]) = parts.words("qweight")?;
    let inputs = rows * 32 / bits as usize;
    let scales = Scales::read(parts, bits, outputs, inputs)?;
    let groups = match parts.find("g_idx") {
        None => (0..inputs).map(|input| input / scales.group_size).collect(),
        Some(_) => group_of_each(parts, "g_idx", inputs, scales.groups)?,
    };
    let columns: Vec<u32> = (0..outputs as u32).collect();
    let zeros = scales.zeros(bits, &columns, zero_offset);
    Ok(Some(matrix(&weight, [outputs, inputs], |output, row| {
        let word = |number: usize| words.get(number * outputs + output).copied().unwrap_or(0);
        for (input, (value, &group)) in row.iter_mut().zip(&groups).enumerate() {
            let at = group * outputs + output;
            *value = scales.values[at] * (element(word, input, bits) as f32 - zeros[at]);
        }
    })))
}

/// As GPTQ, but `qweight: (inputs, outputs / 8)`, and in each word of it and of `qzeros` the outputs
/// in another order. `dequantize_gemm` of AutoAWQ 0.2.9, in float32.
pub(super) fn awq<'a>(parts: &Parts<'a, '_>) -> Result<Option<StoredTensor<'a>>> {
    let Some(weight) = parts.find("qweight") else { return Ok(None) };
    let (words, [inputs, columns]) = parts.words("qweight")?;
    let outputs = columns * 8;
    let scales = Scales::read(parts, 4, outputs, inputs)?;
    let order: Vec<u32> =
        (0..outputs as u32).map(|at| at / 8 * 8 + ORDER[at as usize % 8]).collect();
    let zeros = scales.zeros(4, &order, 0);
    Ok(Some(matrix(&weight, [outputs, inputs], |output, row| {
        for (input, value) in row.iter_mut().enumerate() {
            let word = words[input * columns + output / 8];
            let at = input / scales.group_size * outputs + output;
            let quant = word >> (4 * ORDER[output % 8]) & 15;
            *value = scales.values[at] * (quant as f32 - zeros[at]);
        }
    })))
}

/// Where in a word of AWQ's each of eight outputs is: `AWQ_REVERSE_ORDER`.
const ORDER: [u32; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// Scales and packed zero points, `(groups, outputs)`.
struct Scales {
    values: Vec<f32>,
    zeros: Vec<u32>,
    groups: usize,
    group_size: usize,
    outputs: usize,
}

impl Scales {
    fn read(parts: &Parts<'_, '_>, bits: u32, outputs: usize, inputs: usize) -> Result<Self> {
        let (values, shape) = parts.floats("scales")?;
        let (zeros, zeros_shape) = parts.words("qzeros")?;
        let groups = shape.first().copied().unwrap_or(0);
        let zero_words = outputs * bits as usize / 32;
        let fit = shape == [groups, outputs]
            && zeros_shape == [groups, zero_words]
            && zero_words * 32 == outputs * bits as usize
            && groups > 0;
        if !fit {
            let what = format!(
                "and qzeros {zeros_shape:?} do not fit {inputs} inputs and {outputs} outputs of {bits} bits"
            );
            return Err(misfit(&parts.require("scales")?, &what));
        }
        Ok(Self { values, zeros, groups, group_size: inputs.div_ceil(groups).max(1), outputs })
    }

    /// The zero point of each output of each group, the element of its row that `order` says.
    fn zeros(&self, bits: u32, order: &[u32], offset: u32) -> Vec<f32> {
        let rows = self.zeros.chunks(self.outputs * bits as usize / 32);
        let row = |row: &[u32]| -> Vec<f32> {
            let word = |number: usize| row.get(number).copied().unwrap_or(0);
            let zero = |&at: &u32| (element(word, at as usize, bits) + offset) as f32;
            order.iter().map(zero).collect()
        };
        rows.flat_map(row).collect()
    }
}

/// Element number `at` of a stream of `bits` each, lowest first, which may cross words.
pub(super) fn element(word: impl Fn(usize) -> u32, at: usize, bits: u32) -> u32 {
    let first = at * bits as usize;
    let (number, shift) = (first / 32, first as u32 % 32);
    let both = u64::from(word(number)) | u64::from(word(number + 1)) << 32;
    (both >> shift) as u32 & ((1 << bits) - 1)
}

/// The group of each input, which the tensor of that name gives.
pub(super) fn group_of_each(
    parts: &Parts<'_, '_>,
    name: &str,
    inputs: usize,
    groups: usize,
) -> Result<Vec<usize>> {
    let (values, shape) = parts.integers(name)?;
    let read = |group: &i64| usize::try_from(*group).ok().filter(|group| *group < groups);
    let found = (shape == [inputs]).then(|| values.iter().map(read).collect()).flatten();
    found.ok_or_else(|| {
        let what = format!("does not give {inputs} inputs one of {groups} groups");
        parts.require(name).map_or_else(|error| error, |tensor| misfit(&tensor, &what))
    })
}
