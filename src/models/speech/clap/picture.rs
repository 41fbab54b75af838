//! The spectrogram as a picture: normed, stretched in time, and its parts one above the other.

use candle_core::DType;

use crate::error::{Error, Result};
use crate::models::speech::clap::config::AudioConfig;
use crate::weights::Weights;

/// The norm over the values of a frame, as one factor and one summand for each.
#[derive(Debug, Clone)]
pub(super) struct Pictures {
    factors: Vec<f32>,
    summands: Vec<f32>,
    side: usize,
    ratio: usize,
}

impl Pictures {
    /// Reads `batch_norm`.
    pub(super) fn load(weights: &Weights, config: &AudioConfig) -> Result<Self> {
        let (factors, summands) = batch_norm(weights, "batch_norm", config.mels)?;
        Ok(Self { factors, summands, side: config.side, ratio: config.ratio })
    }

    /// `(frames, mels)` to `(side, side)`.
    pub(super) fn of(&self, values: &[f32]) -> Result<Vec<f32>> {
        let (mels, width) = (self.factors.len(), self.side * self.ratio);
        let frames = values.len() / mels;
        if frames == 0 || frames > width {
            return Err(Error::input(format!(
                "{frames} frames of features for a model that reads from 1 to {width}: make the features with \
                 the model's own feature extractor"
            )));
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (frame, value) = (at / mels, values[at]);
            return Err(Error::input(format!("frame {frame} of the features holds {value}")));
        }
        let norms = self.factors.iter().zip(&self.summands).cycle();
        let normed: Vec<f32> = values
            .iter()
            .zip(norms)
            .map(|(value, (factor, summand))| value * factor + summand)
            .collect();
        let times = stretch(frames, width);
        let mut picture = Vec::with_capacity(self.side * self.side);
        for row in 0..self.side {
            let (part, mel) = (row / mels, row % mels);
            picture.extend(times[part * self.side..][..self.side].iter().map(
                |(places, shares)| {
                    let parts = places.iter().zip(shares);
                    parts.map(|(place, share)| normed[place * mels + mel] * share).sum::<f32>()
                },
            ));
        }
        Ok(picture)
    }
}

/// A batch norm in use as a factor and a summand for each channel.
pub(super) fn batch_norm(
    weights: &Weights,
    name: &str,
    channels: usize,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let read = |part: &str| -> Result<Vec<f32>> {
        let tensor = weights.tensor(&format!("{name}.{part}"), &[channels])?;
        Ok(tensor.to_dtype(DType::F32)?.to_vec1()?)
    };
    let (weight, bias) = (read("weight")?, read("bias")?);
    let (mean, variance) = (read("running_mean")?, read("running_var")?);
    let factor = |at: usize| f64::from(weight[at]) / (f64::from(variance[at]) + EPSILON).sqrt();
    let factors = (0..channels).map(|at| factor(at) as f32).collect();
    let summand = |at: usize| (f64::from(bias[at]) - f64::from(mean[at]) * factor(at)) as f32;
    Ok((factors, (0..channels).map(summand).collect()))
}

/// For each place of `to` the four of `from` that it is computed from and their shares, where the ends stay
/// where they are: `bicubic` of PyTorch with `align_corners`. One alone where nothing is stretched.
fn stretch(from: usize, to: usize) -> Vec<([usize; 4], [f32; 4])> {
    if from == to {
        return (0..to).map(|at| ([at, 0, 0, 0], [1.0, 0.0, 0.0, 0.0])).collect();
    }
    let step = if to > 1 { (from - 1) as f32 / (to - 1) as f32 } else { 0.0 };
    let near = |x: f32| ((SHARPNESS + 2.0) * x - (SHARPNESS + 3.0)) * x * x + 1.0;
    let far =
        |x: f32| ((SHARPNESS * x - 5.0 * SHARPNESS) * x + 8.0 * SHARPNESS) * x - 4.0 * SHARPNESS;
    (0..to)
        .map(|at| {
            let place = at as f32 * step;
            let first = place.floor();
            let beyond = place - first;
            let place = |offset: usize| (first as usize + offset).saturating_sub(1).min(from - 1);
            let shares = [far(beyond + 1.0), near(beyond), near(1.0 - beyond), far(2.0 - beyond)];
            ([place(0), place(1), place(2), place(3)], shares)
        })
        .collect()
}

/// Added to the variance.
const EPSILON: f64 = 1e-5;
/// Of the cubic curve, as PyTorch has it.
const SHARPNESS: f32 = -0.75;
