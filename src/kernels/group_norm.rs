//! Normalization of channels over all frames of a row.
#![expect(unsafe_code, reason = "threads that write to one slice")]

use crate::kernels::exp::sigmoid;
use crate::kernels::pool;
use crate::kernels::shared::{each_row, written};
use crate::kernels::tier::{Tier, tiered};

/// `(x - mean) / sqrt(variance + eps) * weight + bias` of `x: (frames, channels)`, with the mean and the
/// variance of each of `groups` groups of channels over all frames; with `silu`, `y / (1 + e^-y)` of each result `y`.
///
/// Error against f64: below `3e-6` relatively, as of [`norm::layer`](crate::kernels::norm::layer).
pub(crate) fn group(
    x: &[f32],
    groups: usize,
    [weight, bias]: [&[f32]; 2],
    eps: f32,
    silu: bool,
) -> Vec<f32> {
    group_on(Tier::best(), x, groups, [weight, bias], eps, silu)
}

fn group_on(
    tier: Tier,
    x: &[f32],
    groups: usize,
    [weight, bias]: [&[f32]; 2],
    eps: f32,
    silu: bool,
) -> Vec<f32> {
    let mut moments = Moments::on(tier, weight.len(), groups);
    moments.add(x);
    moments.norm(x, [weight, bias], eps, silu)
}

/// The mean and the variance of groups of channels over frames that come in parts.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    tier: Tier,
    channels: usize,
    /// Of each group: how many values there were, their mean, and the sum of the squares of what is beside it.
    groups: Vec<[f64; 3]>,
}

impl Moments {
    /// Of no frames yet.
    #[cfg(feature = "audio")]
    pub(crate) fn new(channels: usize, groups: usize) -> Self {
        Self::on(Tier::best(), channels, groups)
    }

    fn on(tier: Tier, channels: usize, groups: usize) -> Self {
        assert!(channels > 0 && groups > 0 && channels.is_multiple_of(groups));
        Self { tier, channels, groups: vec![[0.0; 3]; groups] }
    }

    /// Takes more frames, `(frames, channels)`.
    pub(crate) fn add(&mut self, x: &[f32]) {
        let Self { tier, channels, .. } = *self;
        assert!(x.len().is_multiple_of(channels));
        let part = FRAMES * channels;
        // Of each part of the frames the sum of each channel, then the squares of what is beside its mean.
        let mut sums = vec![0.0; x.len().div_ceil(part) * 2 * channels];
        each_row(&mut sums, 2 * channels, 2 * part, |number, sums| {
            let x = &x[number * part..x.len().min((number + 1) * part)];
            let (sums, squares) = sums.split_at_mut(channels);
            sums_of_part(tier, x, sums, squares);
        });
        let width = channels / self.groups.len();
        for (group, [count, mean, squares]) in self.groups.iter_mut().enumerate() {
            for (number, part_sums) in sums.chunks_exact(2 * channels).enumerate() {
                let frames = (x.len() / channels - number * FRAMES).min(FRAMES) as f64;
                let of_squares = &part_sums[channels..];
                for channel in group * width..(group + 1) * width {
                    let part_mean = f64::from(part_sums[channel]) / frames;
                    let apart = part_mean - *mean;
                    let total = *count + frames;
                    *mean += apart * frames / total;
                    *squares +=
                        f64::from(of_squares[channel]) + apart * apart * *count * frames / total;
                    *count = total;
                }
            }
        }
    }

    /// Norms frames, `(frames, channels)`, which may be some of those that were taken.
    pub(crate) fn norm(
        &self,
        x: &[f32],
        [weight, bias]: [&[f32]; 2],
        eps: f32,
        silu: bool,
    ) -> Vec<f32> {
        let Self { tier, channels, .. } = *self;
        assert!(weight.len() == channels && bias.len() == channels);
        assert!(x.len().is_multiple_of(channels));
        let width = channels / self.groups.len();
        let mut means = vec![0.0; channels];
        let mut scales = vec![0.0; channels];
        for (group, [count, mean, squares]) in self.groups.iter().enumerate() {
            let scale = 1.0 / (squares / count.max(1.0) + f64::from(eps)).sqrt();
            for channel in group * width..(group + 1) * width {
                means[channel] = *mean as f32;
                scales[channel] = (scale * f64::from(weight[channel])) as f32;
            }
        }
        let frames = x.len() / channels;
        let grain = pool::grain(frames, if silu { 10 } else { 2 } * channels);
        // SAFETY: each frame is written.
        let mut outs = unsafe {
            written(&[x.len()], |outs| {
                pool::for_each(frames, grain, |frames| {
                    let place = frames.start * channels..frames.end * channels;
                    let out = outs[0].part(place.start, place.len());
                    for (x, out) in
                        x[place].chunks_exact(channels).zip(out.chunks_exact_mut(channels))
                    {
                        match silu {
                            true => normed_silu(tier, x, &means, &scales, bias, out),
                            false => normed(tier, x, &means, &scales, bias, out),
                        }
                    }
                });
            })
        };
        outs.swap_remove(0)
    }
}

/// Frames of a part: as many as stay in the caches, and few enough for exact sums in f32.
const FRAMES: usize = 64;

tiered! {
    fn sums_of_part(x: &[f32], sums: &mut [f32], squares: &mut [f32]) {
        let channels = sums.len();
        for x in x.chunks_exact(channels) {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
        }
        let share = 1.0 / (x.len() / channels) as f32;
        for x in x.chunks_exact(channels) {
            for ((square, sum), x) in squares.iter_mut().zip(&*sums).zip(x) {
                let apart = x - sum * share;
                *square += apart * apart;
            }
        }
    }
}

tiered! {
    fn normed(x: &[f32], means: &[f32], scales: &[f32], bias: &[f32], out: &mut [f32]) {
        for ((((out, x), mean), scale), bias) in
            out.iter_mut().zip(x).zip(means).zip(scales).zip(bias)
        {
            *out = (x - mean) * scale + bias;
        }
    }
}

tiered! {
    fn normed_silu(x: &[f32], means: &[f32], scales: &[f32], bias: &[f32], out: &mut [f32]) {
        for ((((out, x), mean), scale), bias) in
            out.iter_mut().zip(x).zip(means).zip(scales).zip(bias)
        {
            let y = (x - mean) * scale + bias;
            *out = y * sigmoid::<FMA>(y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_and_shape_agrees_with_f64() {
        for (frames, channels, groups) in [(1, 1, 1), (7, 6, 3), (300, 40, 40), (130, 33, 1)] {
            let x: Vec<f32> =
                (0..frames * channels).map(|i| ((i * 37 % 61) as f32 - 25.0) * 0.3).collect();
            let weight: Vec<f32> = (0..channels).map(|i| 1.0 + (i % 7) as f32 * 0.1).collect();
            let bias: Vec<f32> = (0..channels).map(|i| (i % 5) as f32).collect();
            let width = channels / groups;
            for tier in Tier::available() {
                let out = group_on(tier, &x, groups, [&weight, &bias], 1e-5, false);
                let silu = group_on(tier, &x, groups, [&weight, &bias], 1e-5, true);
                assert!(out.len() == x.len() && silu.len() == x.len());
                for (at, found) in out.iter().enumerate() {
                    let channel = at % channels;
                    let group = channel / width * width;
                    let values = || {
                        let rows = x.chunks(channels);
                        rows.flat_map(|row| &row[group..group + width]).map(|x| f64::from(*x))
                    };
                    let count = (frames * width) as f64;
                    let mean = values().sum::<f64>() / count;
                    let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
                    let expected = (f64::from(x[at]) - mean) / (variance + 1e-5).sqrt()
                        * f64::from(weight[channel])
                        + f64::from(bias[channel]);
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error < 3e-6 * expected.abs().max(1.0), "{tier:?}: {error}");
                    let expected = expected / (1.0 + (-expected).exp());
                    let error = (f64::from(silu[at]) - expected).abs();
                    assert!(error < 4e-6 * expected.abs().max(1.0), "{tier:?}: {error}");
                }
            }
        }
    }
}
