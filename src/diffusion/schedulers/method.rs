//! What all schedulers have in common.

use std::fmt;

use candle_core::Tensor;

use crate::diffusion::schedulers::config::{Fields, PredictionType};
use crate::error::{Error, Result};

/// Where a step gets new noise of the shape of the latents.
pub type Noise<'a> = &'a mut dyn FnMut() -> Result<Tensor>;

/// How latents are scaled and noised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scaling {
    /// The picture and the noise together have a variance of 1.
    OfAlphas,
    /// The noise is added to the picture, and the model reads both divided by their deviation.
    OfSigmas,
    /// As [`OfAlphas`](Self::OfAlphas), with the noise of a step instead of its number: DPM-Solver.
    OfSteps,
    /// The picture goes over into the noise.
    Flow,
}

/// What a scheduler plans.
pub(super) struct Plan {
    pub(super) timesteps: Vec<f32>,
    pub(super) sigmas: Vec<f32>,
    pub(super) init_noise_sigma: f32,
    pub(super) scaling: Scaling,
    /// Calls of the model for each step.
    pub(super) order: usize,
    pub(super) method: Box<dyn Method>,
}

/// How a scheduler gets from one step to the next.
pub(super) trait Method: fmt::Debug + Send + Sync {
    fn step(&mut self, step: Step<'_>, noise: Noise<'_>) -> Result<Tensor>;
}

/// What a step is made of; tensors are f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    /// Its number.
    pub(super) at: usize,
    pub(super) timesteps: &'a [f32],
    pub(super) sigmas: &'a [f32],
    pub(super) alphas: &'a [f32],
    /// What the model has found.
    pub(super) output: &'a Tensor,
    pub(super) sample: &'a Tensor,
}

impl Step<'_> {
    /// The noise at this step, or at one before or after.
    pub(super) fn sigma(&self, offset: isize) -> f64 {
        let at = self.at.saturating_add_signed(offset);
        f64::from(self.sigmas.get(at).copied().unwrap_or(0.0))
    }
}

/// The sum of tensors, each multiplied by a number.
pub(super) fn sum(terms: &[(f64, &Tensor)]) -> Result<Tensor> {
    let mut all: Option<Tensor> = None;
    for &(factor, tensor) in terms {
        let scaled = if factor == 1.0 { tensor.clone() } else { (tensor * factor)? };
        all = Some(match all {
            Some(all) => (all + scaled)?,
            None => scaled,
        });
    }
    all.ok_or_else(|| Error::input("a sum of nothing"))
}

/// The parts of picture and noise that together have a variance of 1.
pub(super) fn alpha_and_sigma(sigma: f64) -> [f64; 2] {
    let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
    [alpha, sigma * alpha]
}

/// How a predicted picture is kept within bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Clip {
    None,
    /// To so much on either side of 0.
    Range(f64),
    /// To a quantile of the picture, at most so much. <https://arxiv.org/abs/2205.11487>
    Quantile {
        ratio: f64,
        most: f64,
    },
}

impl Clip {
    pub(super) fn of(fields: &Fields) -> Self {
        match (fields.thresholding, fields.clip_sample) {
            (true, _) => Self::Quantile {
                ratio: fields.dynamic_thresholding_ratio,
                most: fields.sample_max_value,
            },
            (false, true) => Self::Range(fields.clip_sample_range),
            (false, false) => Self::None,
        }
    }

    /// Thresholds alone: schedulers that have no `clip_sample`.
    pub(super) fn threshold_of(fields: &Fields) -> Self {
        match Self::of(fields) {
            Self::Range(_) => Self::None,
            other => other,
        }
    }

    pub(super) fn apply(self, picture: Tensor) -> Result<Tensor> {
        match self {
            Self::None => Ok(picture),
            Self::Range(most) => Ok(picture.clamp(-most, most)?),
            Self::Quantile { .. } if picture.dim(0)? > 1 => {
                // Each picture of a batch has its own.
                let rows = picture.chunk(picture.dim(0)?, 0)?;
                let rows =
                    rows.into_iter().map(|row| self.apply(row)).collect::<Result<Vec<_>>>()?;
                Ok(Tensor::cat(&rows, 0)?)
            }
            Self::Quantile { ratio, most } => {
                let mut sizes = picture.abs()?.flatten_all()?.to_vec1::<f32>()?;
                sizes.sort_by(f32::total_cmp);
                let place = ratio * sizes.len().saturating_sub(1) as f64;
                let at = |at: usize| f64::from(sizes.get(at).copied().unwrap_or(0.0));
                let (low, share) = (place.floor() as usize, place.fract());
                let bound = at(low) + (at(low + 1) - at(low)) * share;
                let bound = if share == 0.0 { at(low) } else { bound };
                let bound = bound.clamp(1.0, most.max(1.0));
                Ok((picture.clamp(-bound, bound)? / bound)?)
            }
        }
    }
}

/// The picture that a model has found in latents of a picture and so much noise added to it.
pub(super) fn picture_of(step: &Step<'_>, kind: PredictionType, sigma: f64) -> Result<Tensor> {
    match kind {
        PredictionType::Epsilon | PredictionType::FlowPrediction => {
            sum(&[(1.0, step.sample), (-sigma, step.output)])
        }
        PredictionType::Sample => Ok(step.output.clone()),
        PredictionType::VPrediction => {
            let square = sigma * sigma + 1.0;
            sum(&[(-sigma / square.sqrt(), step.output), (1.0 / square, step.sample)])
        }
    }
}
