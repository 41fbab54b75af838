//! Weights of convolutions as products take them.
#![expect(unsafe_code, reason = "threads that write to one slice")]

use std::ops::Range;

use half::{bf16, f16};

use crate::kernels::dense::{Dense, widen};
use crate::kernels::pool;
use crate::kernels::shared::Shared;
use crate::kernels::tier::{Tier, tiered};
use crate::kernels::tile;

/// The weights of a convolution: panels of as many outputs as are computed at once, each
/// `(kernel, kernel, inputs, outputs)`. The last is as wide as it must be, filled up with zeros to a multiple of 8.
#[derive(Debug)]
pub(crate) struct Panels {
    values: Values,
    pub(crate) kernel: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Outputs of each panel but the last.
    width: usize,
}

#[derive(Debug)]
enum Values {
    BF16(Vec<bf16>),
    F16(Vec<f16>),
    F32(Vec<f32>),
    /// Blocks of [`BLOCK`] rows of a panel's output, with the scale of each: Q8_0.
    Q8 {
        values: Vec<i8>,
        scales: Vec<f32>,
    },
}

/// Weights of an output that have a scale in common.
const BLOCK: usize = 32;

/// Some outputs of a convolution.
pub(super) struct Panel<'a> {
    panels: &'a Panels,
    /// Its outputs.
    outputs: Range<usize>,
    /// As many, and the zeros beyond the last.
    pub(super) width: usize,
}

impl Panels {
    /// Of `weight: (outputs, kernel, kernel, inputs)`.
    pub(crate) fn new(weight: Dense<'_>, outputs: usize, inputs: usize, kernel: usize) -> Self {
        Self::on(Tier::best(), weight, outputs, inputs, kernel)
    }

    pub(super) fn on(
        tier: Tier,
        weight: Dense<'_>,
        outputs: usize,
        inputs: usize,
        kernel: usize,
    ) -> Self {
        let [_, width] = tile::tile(tier);
        let columns = kernel * kernel * inputs;
        let values = match weight {
            Dense::BF16(weight) | Dense::RoundedBF16(weight) => {
                Values::BF16(laid_out(weight, bf16::ZERO, outputs, columns, width))
            }
            Dense::F16(weight) => Values::F16(laid_out(weight, f16::ZERO, outputs, columns, width)),
            Dense::F32(weight) => Values::F32(laid_out(weight, 0.0, outputs, columns, width)),
        };
        Self { values, kernel, inputs, outputs, width }
    }

    /// As [`new`](Self::new), rounded to blocks of 8 bits.
    pub(crate) fn quantized(weight: &[f32], outputs: usize, inputs: usize, kernel: usize) -> Self {
        let [_, width] = tile::tile(Tier::best());
        let columns = kernel * kernel * inputs;
        let (mut values, mut scales) = (Vec::with_capacity(weight.len()), Vec::new());
        for row in weight.chunks_exact(columns) {
            for block in row.chunks(BLOCK) {
                let largest = block.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                let scale = largest / 127.0;
                let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                values.extend(block.iter().map(|x| (x * inverse).round() as i8));
                scales.push(f16::from_f32(scale).to_f32());
            }
        }
        let blocks = columns.div_ceil(BLOCK);
        let values = Values::Q8 {
            values: laid_out(&values, 0, outputs, columns, width),
            scales: laid_out(&scales, 0.0, outputs, blocks, width),
        };
        Self { values, kernel, inputs, outputs, width }
    }

    /// The bytes that [`quantized`](Self::quantized) takes.
    pub(crate) fn quantized_bytes(outputs: usize, inputs: usize, kernel: usize) -> usize {
        let columns = kernel * kernel * inputs;
        outputs.next_multiple_of(8) * (columns + 4 * columns.div_ceil(BLOCK))
    }

    pub(super) fn count(&self) -> usize {
        self.outputs.div_ceil(self.width)
    }

    pub(super) fn get(&self, number: usize) -> Panel<'_> {
        let first = number * self.width;
        let outputs = first..self.outputs.min(first + self.width);
        let width = outputs.len().next_multiple_of(8);
        Panel { panels: self, outputs, width }
    }
}

impl Panel<'_> {
    /// Some of its rows, of which `(kernel, kernel, inputs)` has one each: `(rows, width)`. What is not in f32 is
    /// widened into `room`.
    pub(super) fn rows<'a>(
        &'a self,
        tier: Tier,
        rows: Range<usize>,
        room: &'a mut Vec<f32>,
    ) -> &'a [f32] {
        let columns = self.panels.kernel * self.panels.kernel * self.panels.inputs;
        let start = self.outputs.start * columns;
        let place = start + rows.start * self.width..start + rows.end * self.width;
        if !matches!(self.panels.values, Values::F32(_)) {
            room.resize(place.len(), 0.0);
        }
        match &self.panels.values {
            Values::BF16(values) => widen(tier, &values[place], room),
            Values::F16(values) => widen(tier, &values[place], room),
            Values::F32(values) => return &values[place],
            Values::Q8 { values, scales } => {
                let blocks = columns.div_ceil(BLOCK);
                let scales = &scales[self.outputs.start * blocks..][..self.width * blocks];
                widen_blocks(tier, &values[place], scales, rows.start, self.width, room);
            }
        }
        room
    }

    /// Writes what has been computed of one result, plus the bias.
    ///
    /// # Safety
    ///
    /// Nobody else may write to these outputs of this result meanwhile.
    pub(super) unsafe fn write(
        &self,
        sums: &mut [f32],
        bias: Option<&[f32]>,
        out: &Shared<'_, f32>,
        result: usize,
    ) {
        let sums = &mut sums[..self.outputs.len()];
        if let Some(bias) = bias {
            let bias = &bias[self.outputs.clone()];
            sums.iter_mut().zip(bias).for_each(|(sum, bias)| *sum += bias);
        }
        // SAFETY: the caller's promise.
        unsafe { out.write(result * self.panels.outputs + self.outputs.start, sums) };
    }
}

tiered! {
    /// Rows of blocks from the row `first` of a panel on, each `width` numbers.
    fn widen_blocks(values: &[i8], scales: &[f32], first: usize, width: usize, out: &mut [f32]) {
        let rows = values.chunks_exact(width).zip(out.chunks_exact_mut(width));
        for (row, (values, out)) in rows.enumerate() {
            let scales = &scales[(first + row) / BLOCK * width..][..width];
            for at in 0..width {
                out[at] = f32::from(values[at]) * scales[at];
            }
        }
    }
}

fn laid_out<T: Copy + Send + Sync>(
    weight: &[T],
    zero: T,
    outputs: usize,
    columns: usize,
    width: usize,
) -> Vec<T> {
    assert!(columns > 0 && weight.len() == outputs * columns);
    let mut values = vec![zero; outputs.next_multiple_of(8) * columns];
    let panels = Shared::new(&mut values);
    pool::for_each(outputs.div_ceil(width), 1, |numbers| {
        for first in numbers.map(|number| number * width) {
            let rows = weight[first * columns..].chunks_exact(columns).take(width);
            let width = rows.len().next_multiple_of(8);
            // SAFETY: panels do not overlap, and each is given out once.
            let panel = unsafe { panels.part(first * columns, width * columns) };
            let rows: Vec<_> = rows.collect();
            for (at, panel) in panel.chunks_exact_mut(width).enumerate() {
                panel.iter_mut().zip(&rows).for_each(|(to, row)| *to = row[at]);
            }
        }
    });
    values
}
