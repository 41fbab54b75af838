//! Convolutions over pictures, `(height, width, channels)`.
//!
//! Those of a pixel and its eight neighbours take a quarter of the products by Winograd's way ([`winograd`]). Others
//! are products of all pixels of a result, written out one after the other.
#![expect(unsafe_code, reason = "threads that write to one slice")]

mod panels;
mod square;
mod winograd;

use std::ops::Range;

use crate::kernels::pool;
use crate::kernels::shared::{Shared, each_row, written};
use crate::kernels::tier::Tier;
use crate::kernels::tile::{Rows, Store, product};

pub(crate) use panels::Panels;
pub(crate) use square::Square;

/// Numbers that are written out at a time: few enough to stay in the caches.
const UNFOLDED: usize = 1 << 19;
/// Results that are computed at a time at least: for each such part, all weights are read.
const TOGETHER: usize = 384;
/// Results that a thread computes at a time.
const BLOCK: usize = 96;
/// Columns of weights that a thread multiplies at a time: few enough for them to stay in its second cache.
const DEPTH: usize = 768;

/// The convolution of `x: (height, width, channels)` with `panels`, plus a bias for each output:
/// `(results, outputs)`.
///
/// Error against f64: below `3e-6` of the sum of the products' magnitudes, `2e-5` by Winograd's way.
pub(crate) fn convolve(
    x: &[f32],
    shape: [usize; 3],
    square: Square,
    panels: &Panels,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    convolve_on(Tier::best(), x, shape, square, panels, bias)
}

fn convolve_on(
    tier: Tier,
    x: &[f32],
    shape: [usize; 3],
    square: Square,
    panels: &Panels,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let [height, width, channels] = shape;
    assert!(x.len() == height * width * channels && panels.inputs == channels);
    assert!(panels.kernel == square.kernel && bias.is_none_or(|bias| bias.len() == panels.outputs));
    if winograd::pays(square, panels) {
        return winograd::convolve(tier, x, shape, square, panels, bias);
    }
    let results = square.results[0] * square.results[1];
    let columns = square.kernel * square.kernel * channels;
    let most = (UNFOLDED / columns).max(TOGETHER);
    // SAFETY: each result is computed for each panel.
    let mut outs = unsafe {
        written(&[results * panels.outputs], |outs| {
            for start in (0..results).step_by(most) {
                let part = start..results.min(start + most);
                let rows = unfold(x, shape, square, part.clone());
                multiply(tier, &rows, panels, bias, part, &outs[0]);
            }
        })
    };
    outs.swap_remove(0)
}

/// The products of some results' pixels, `rows`.
fn multiply(
    tier: Tier,
    rows: &[f32],
    panels: &Panels,
    bias: Option<&[f32]>,
    results: Range<usize>,
    out: &Shared<'_, f32>,
) {
    let columns = rows.len() / results.len();
    let blocks = results.len().div_ceil(BLOCK);
    pool::for_each(panels.count() * blocks, 1, |items| {
        let (mut sums, mut room) = (Vec::new(), Vec::new());
        for item in items {
            let panel = panels.get(item / blocks);
            let start = item % blocks * BLOCK;
            let count = BLOCK.min(results.len() - start);
            sums.resize(count * panel.width, 0.0);
            for first in (0..columns).step_by(DEPTH) {
                let depth = DEPTH.min(columns - first);
                let left = Rows { values: &rows[start * columns + first..], stride: columns };
                let values = panel.rows(tier, first..first + depth, &mut room);
                let right = Rows { values, stride: panel.width };
                let into = if first == 0 { Store::Write } else { Store::Accumulate };
                let shape = [count, depth, panel.width];
                product(tier, left, right, shape, &mut sums, panel.width, into);
            }
            for (number, sums) in (results.start + start..).zip(sums.chunks_exact_mut(panel.width))
            {
                // SAFETY: a result's outputs of a panel are this item's alone.
                unsafe { panel.write(sums, bias, out, number) };
            }
        }
    });
}

/// The pixels of some results, one result after the other: `(results, kernel, kernel, channels)` of
/// `x: (height, width, channels)`, with zeros beyond its edges.
fn unfold(
    x: &[f32],
    [height, width, channels]: [usize; 3],
    square: Square,
    results: Range<usize>,
) -> Vec<f32> {
    let Square { kernel, stride, before, results: [_, in_row] } = square;
    assert!(x.len() == height * width * channels && in_row > 0);
    let columns = kernel * kernel * channels;
    let mut out = vec![0.0; results.len() * columns];
    each_row(&mut out, columns, columns, |number, out| {
        let result = results.start + number;
        let (top, left) = (result / in_row * stride, result % in_row * stride);
        for (row, out) in out.chunks_exact_mut(kernel * channels).enumerate() {
            let Some(y) = (top + row).checked_sub(before).filter(|&y| y < height) else { continue };
            // Columns within the picture lie together.
            let first = before.saturating_sub(left);
            let end = kernel.min((width + before).saturating_sub(left));
            if first < end {
                let start = (y * width + left + first - before) * channels;
                out[first * channels..end * channels]
                    .copy_from_slice(&x[start..][..(end - first) * channels]);
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::dense::Dense;

    #[test]
    fn pixels_are_written_out_with_zeros_beyond_the_edges() {
        // Two rows of three pixels of one channel.
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let square = Square { kernel: 3, stride: 1, before: 1, results: [2, 3] };
        let found = unfold(&x, [2, 3, 1], square, 0..6);
        assert_eq!(found[..9], [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 4.0, 5.0]);
        assert_eq!(found[45..], [2.0, 3.0, 0.0, 5.0, 6.0, 0.0, 0.0, 0.0, 0.0]);
        let square = Square { kernel: 3, stride: 2, before: 0, results: [1, 1] };
        let found = unfold(&x, [2, 3, 1], square, 0..1);
        assert_eq!(found, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0, 0.0]);
    }

    /// The convolution in f64, and the sum of its products' magnitudes.
    fn in_f64(
        x: &[f32],
        [height, width, channels]: [usize; 3],
        square: Square,
        weight: &[f32],
        output: usize,
        result: usize,
    ) -> (f64, f64) {
        let (mut sum, mut size) = (0.0, 0.0);
        let kernel = square.kernel;
        for at in 0..kernel * kernel * channels {
            let (pixel, channel) = (at / channels, at % channels);
            let y = result / square.results[1] * square.stride + pixel / kernel;
            let z = result % square.results[1] * square.stride + pixel % kernel;
            let (Some(y), Some(z)) = (y.checked_sub(square.before), z.checked_sub(square.before))
            else {
                continue;
            };
            if y < height && z < width {
                let x = f64::from(x[(y * width + z) * channels + channel]);
                let product = x * f64::from(weight[output * kernel * kernel * channels + at]);
                sum += product;
                size += product.abs();
            }
        }
        (sum, size)
    }

    #[test]
    fn every_tier_and_shape_agrees_with_f64() {
        let numbers = |length: usize, seed: usize| -> Vec<f32> {
            (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 1009.0 - 0.5).collect()
        };
        for (shape, kernel, stride, [before, after], outputs) in [
            ([7, 5, 3], 3, 1, [1, 1], 8),
            ([9, 30, 20], 3, 2, [0, 1], 4),
            ([8, 8, 5], 4, 4, [0, 0], 50),
            ([33, 40, 16], 3, 1, [1, 1], 16),
            ([30, 17, 37], 3, 1, [0, 0], 55),
            ([18, 19, 64], 3, 1, [1, 1], 100),
            ([16, 16, 300], 3, 1, [1, 1], 20),
        ] {
            let [height, width, channels] = shape;
            let results = [height, width].map(|side| (side + before + after - kernel) / stride + 1);
            let square = Square { kernel, stride, before, results };
            let columns = kernel * kernel * channels;
            let (x, weight) =
                (numbers(height * width * channels, 1), numbers(outputs * columns, 2));
            let bias = numbers(outputs, 3);
            for tier in Tier::available() {
                let panels = Panels::on(tier, Dense::F32(&weight), outputs, channels, kernel);
                let found = convolve_on(tier, &x, shape, square, &panels, Some(&bias));
                assert_eq!(found.len(), results[0] * results[1] * outputs);
                for (at, found) in found.iter().enumerate() {
                    let (result, output) = (at / outputs, at % outputs);
                    let (sum, size) = in_f64(&x, shape, square, &weight, output, result);
                    let bias = f64::from(bias[output]);
                    let error = (f64::from(*found) - sum - bias).abs() / (size + bias.abs());
                    let most = if winograd::pays(square, &panels) { 2e-5 } else { 3e-6 };
                    assert!(error <= most, "{tier:?}, {shape:?}, {at}: {error}");
                }
            }
        }
    }
}
