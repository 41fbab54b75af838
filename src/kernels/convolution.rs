//! Convolutions over frames of channels, `(frames, channels)`: what of them is no product of matrices.
//!
//! A result of a convolution is a product of the weights with a row of `kernel * channels` numbers, and the
//! rows of neighbouring results overlap in memory where frames lie one after the other. So most convolutions
//! are products with overlapping rows ([`dense::multiply_overlapping`](crate::kernels::dense::multiply_overlapping)),
//! and nothing is copied. Dilated ones are several such over every so many frames ([`phase`]). Those with
//! packed weights, and dilated ones with a stride, take rows that are written out ([`unfold`]), some at a time.

use std::ops::Range;

use crate::kernels::shared::each_row;
use crate::kernels::tier::{Tier, tiered};

/// Which frames a result is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// How many.
    pub(crate) kernel: usize,
    /// From one result's first frame to the next result's.
    pub(crate) stride: usize,
    /// From one frame of a result to the next.
    pub(crate) dilation: usize,
}

impl Window {
    /// The frames from a result's first to its last, both included.
    pub(crate) fn reach(self) -> usize {
        (self.kernel - 1).saturating_mul(self.dilation).saturating_add(1)
    }

    /// How many results so many frames give.
    pub(crate) fn results(self, frames: usize) -> usize {
        frames.checked_sub(self.reach()).map_or(0, |others| others / self.stride + 1)
    }
}

/// Some channels of frames, with zero frames before and after them: `(before + frames + after, part)`.
pub(crate) fn padded(
    x: &[f32],
    channels: usize,
    part: Range<usize>,
    [before, after]: [usize; 2],
) -> Vec<f32> {
    let width = part.len();
    let frames = x.len() / channels;
    let length = (before + frames + after) * width;
    if width == channels {
        let mut out = Vec::with_capacity(length);
        out.resize(before * width, 0.0);
        out.extend_from_slice(&x[..frames * channels]);
        out.resize(length, 0.0);
        return out;
    }
    let mut out = vec![0.0; length];
    if width > 0 {
        each_row(&mut out[before * width..][..frames * width], width, width, |frame, out| {
            out.copy_from_slice(&x[frame * channels..][part.clone()]);
        });
    }
    out
}

/// The frames of some results, one result after the other: `(results, kernel, channels)`.
pub(crate) fn unfold(
    x: &[f32],
    channels: usize,
    window: Window,
    results: Range<usize>,
) -> Vec<f32> {
    let Window { kernel, stride, dilation } = window;
    let width = kernel * channels;
    let mut out = vec![0.0; results.len() * width];
    each_row(&mut out, width, width, |row, out| {
        let first = (results.start + row) * stride;
        for (tap, out) in out.chunks_exact_mut(channels).enumerate() {
            out.copy_from_slice(&x[(first + tap * dilation) * channels..][..channels]);
        }
    });
    out
}

/// Every `step`th frame from the one of number `first` on: `(frames, channels)` to
/// `(frames of the phase, channels)`.
pub(crate) fn phase(x: &[f32], channels: usize, first: usize, step: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity((x.len() / channels).div_ceil(step) * channels);
    x.chunks_exact(channels)
        .skip(first)
        .step_by(step)
        .for_each(|frame| out.extend_from_slice(frame));
    out
}

/// Each channel convolved with numbers of its own: `x: (frames, channels)` and `weight: (kernel, channels)`
/// to `(results, channels)`.
pub(crate) fn depthwise(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    channels: usize,
    window: Window,
) -> Vec<f32> {
    depthwise_on(Tier::best(), x, weight, bias, channels, window)
}

fn depthwise_on(
    tier: Tier,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    channels: usize,
    window: Window,
) -> Vec<f32> {
    assert!(channels > 0 && x.len().is_multiple_of(channels));
    assert!(weight.len() == window.kernel * channels);
    assert!(bias.is_none_or(|bias| bias.len() == channels));
    let mut out = vec![0.0; window.results(x.len() / channels) * channels];
    each_row(&mut out, channels, weight.len(), |row, out| {
        let x = &x[row * window.stride * channels..];
        depthwise_row(tier, x, weight, bias, window.dilation, out);
    });
    out
}

/// Channels whose sums stay in registers.
const LANES: usize = 64;

tiered! {
    /// One result, of the frames from the first of `x` on.
    fn depthwise_row(
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        dilation: usize,
        out: &mut [f32],
    ) {
        let channels = out.len();
        let (whole, rest) = out.as_chunks_mut::<LANES>();
        for (number, out) in whole.iter_mut().enumerate() {
            let at = number * LANES;
            let mut sums = [0.0_f32; LANES];
            for (tap, weight) in weight.chunks_exact(channels).enumerate() {
                let x = &x[tap * dilation * channels + at..][..LANES];
                for ((sum, x), weight) in sums.iter_mut().zip(x).zip(&weight[at..][..LANES]) {
                    *sum += x * weight;
                }
            }
            *out = sums;
        }
        let at = channels - rest.len();
        for (tap, weight) in weight.chunks_exact(channels).enumerate() {
            let x = &x[tap * dilation * channels + at..][..rest.len()];
            for ((sum, x), weight) in rest.iter_mut().zip(x).zip(&weight[at..]) {
                *sum += x * weight;
            }
        }
        if let Some(bias) = bias {
            out.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|at| ((at * 7919 + seed * 101) % 1009) as f32 / 1009.0 - 0.5).collect()
    }

    #[test]
    fn channels_are_convolved_each_by_itself_on_every_tier() {
        for (channels, frames, kernel, stride, dilation) in
            [(1, 5, 5, 1, 1), (3, 11, 4, 2, 1), (64, 9, 3, 1, 2), (130, 40, 31, 1, 1)]
        {
            let window = Window { kernel, stride, dilation };
            let (x, weight) = (numbers(frames * channels, 1), numbers(kernel * channels, 2));
            let bias = numbers(channels, 3);
            for tier in Tier::available() {
                for bias in [None, Some(&*bias)] {
                    let out = depthwise_on(tier, &x, &weight, bias, channels, window);
                    assert_eq!(out.len(), ((frames - window.reach()) / stride + 1) * channels);
                    for (at, found) in out.iter().enumerate() {
                        let (result, channel) = (at / channels, at % channels);
                        let bias = bias.map_or(0.0, |bias| f64::from(bias[channel]));
                        let expected = (0..kernel).fold(bias, |sum, tap| {
                            let frame = result * stride + tap * dilation;
                            let weight = f64::from(weight[tap * channels + channel]);
                            sum + f64::from(x[frame * channels + channel]) * weight
                        });
                        assert!((f64::from(*found) - expected).abs() < 3e-6, "{tier:?}: {found}");
                    }
                }
            }
        }
    }

    #[test]
    fn frames_are_padded_and_written_out() {
        let x: Vec<f32> = (1..=8).map(|at| at as f32).collect();
        assert_eq!(padded(&x, 4, 1..3, [1, 0]), [0.0, 0.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!(padded(&x, 2, 0..2, [0, 1])[6..], [7.0, 8.0, 0.0, 0.0]);
        let window = Window { kernel: 2, stride: 1, dilation: 2 };
        assert_eq!(window.results(4), 2);
        assert_eq!(unfold(&x, 2, window, 1..2), [3.0, 4.0, 7.0, 8.0]);
        assert_eq!((window.results(2), window.results(3)), (0, 1));
        assert_eq!(phase(&x, 2, 1, 2), [3.0, 4.0, 7.0, 8.0]);
        assert_eq!(phase(&x, 2, 2, 3), [5.0, 6.0]);
        assert!(phase(&x, 2, 4, 5).is_empty());
    }
}
