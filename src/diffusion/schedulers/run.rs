//! The state of one picture.

use std::fmt;

use candle_core::{DType, Tensor};

use crate::diffusion::schedulers::config::{
    Fields, PredictionType, SchedulerKind, TimestepSpacing,
};
use crate::diffusion::schedulers::tables::{Fall, Grid, final_sigma, interpolate, step_of};
use crate::diffusion::schedulers::{
    Scheduler, Steps, dpm, flow, of_alphas, of_sigmas, pndm, tables, unipc,
};
use crate::error::{Error, Result};

/// Where a step gets new noise of the shape of the latents.
pub type Noise<'a> = &'a mut dyn FnMut() -> Result<Tensor>;

/// One picture on its way: which steps there are, and what earlier ones have left.
#[derive(Debug)]
pub struct Run {
    timesteps: Vec<f32>,
    /// One more than there are steps, where the scheduler counts by noise.
    sigmas: Vec<f32>,
    alphas: std::sync::Arc<[f32]>,
    init_noise_sigma: f32,
    scaling: Scaling,
    order: usize,
    at: usize,
    method: Box<dyn Method>,
}

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

impl Run {
    pub(super) fn new(scheduler: &Scheduler, steps: &Steps) -> Result<Self> {
        let (kind, fields) = (scheduler.kind, &scheduler.fields);
        let most = fields.num_train_timesteps;
        if steps.count == 0 || steps.count > most {
            let reason = format!("{} steps; the model was trained with {most}", steps.count);
            return Err(Error::option("num_inference_steps", reason));
        }
        let alphas = &scheduler.alphas;
        let plan = match kind {
            SchedulerKind::FlowMatchEuler => flow::plan(fields, steps)?,
            SchedulerKind::Ddim | SchedulerKind::Ddpm | SchedulerKind::Lcm | SchedulerKind::Tcd => {
                of_alphas::plan(kind, fields, alphas, steps)?
            }
            SchedulerKind::Pndm => pndm::plan(fields, alphas, steps)?,
            SchedulerKind::Euler
            | SchedulerKind::EulerAncestral
            | SchedulerKind::Heun
            | SchedulerKind::Lms => of_sigmas::plan(kind, fields, alphas, steps),
            SchedulerKind::DpmMultistep | SchedulerKind::DpmSinglestep => {
                dpm::plan(kind, fields, alphas, steps)?
            }
            SchedulerKind::UniPc => unipc::plan(fields, alphas, steps)?,
        };
        let Plan { timesteps, sigmas, init_noise_sigma, scaling, order, method } = plan;
        let alphas = std::sync::Arc::clone(alphas);
        Ok(Self { timesteps, sigmas, alphas, init_noise_sigma, scaling, order, at: 0, method })
    }

    /// The step of the training for each call of the model, the noisiest first.
    #[must_use]
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// The noise at each of them and after the last, where the scheduler counts by it.
    #[must_use]
    pub fn sigmas(&self) -> &[f32] {
        &self.sigmas
    }

    /// What noise is multiplied by to be the first latents.
    #[must_use]
    pub fn init_noise_sigma(&self) -> f32 {
        self.init_noise_sigma
    }

    /// How many calls of the model a step has: 2 of Heun, else 1.
    #[must_use]
    pub fn order(&self) -> usize {
        self.order
    }

    /// The number of the next call.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Begins with a later call: from image to image.
    #[must_use]
    pub fn begin_at(self, call: usize) -> Self {
        Self { at: call.min(self.timesteps.len()), ..self }
    }

    /// What the model reads of the latents at the next step.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn scale_input(&self, sample: &Tensor) -> Result<Tensor> {
        match (self.scaling, self.sigmas.get(self.at)) {
            (Scaling::OfSigmas, Some(sigma)) => {
                Ok((sample / f64::from((sigma * sigma + 1.0).sqrt()))?)
            }
            _ => Ok(sample.clone()),
        }
    }

    /// A picture's latents with so much noise as there is at the next step.
    ///
    /// # Errors
    ///
    /// When the shapes differ.
    pub fn add_noise(&self, picture: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let sigma = f64::from(self.sigmas.get(self.at).copied().unwrap_or(0.0));
        match self.scaling {
            Scaling::OfSigmas => sum(&[(1.0, picture), (sigma, noise)]),
            Scaling::Flow => sum(&[(1.0 - sigma, picture), (sigma, noise)]),
            Scaling::OfSteps => {
                let [alpha, sigma] = alpha_and_sigma(sigma);
                sum(&[(alpha, picture), (sigma, noise)])
            }
            Scaling::OfAlphas => {
                let step = self.timesteps.get(self.at).copied().unwrap_or(0.0) as usize;
                let alpha = f64::from(self.alphas.get(step).copied().unwrap_or(1.0));
                sum(&[(alpha.sqrt(), picture), ((1.0 - alpha).sqrt(), noise)])
            }
        }
    }

    /// From the latents of this step to those of the next, `output` being what the model has found in them. Some
    /// schedulers draw `noise`.
    ///
    /// # Errors
    ///
    /// When all steps are done, or the shapes differ.
    pub fn step(&mut self, output: &Tensor, sample: &Tensor, noise: Noise<'_>) -> Result<Tensor> {
        if self.at >= self.timesteps.len() {
            return Err(Error::input("the run has no step left"));
        }
        if output.dims() != sample.dims() {
            let (found, wanted) = (output.dims(), sample.dims());
            return Err(Error::input(format!("an output of {found:?} for latents of {wanted:?}")));
        }
        let (output, sample) = (output.to_dtype(DType::F32)?, sample.to_dtype(DType::F32)?);
        let step = Step {
            at: self.at,
            timesteps: &self.timesteps,
            sigmas: &self.sigmas,
            alphas: &self.alphas,
            output: &output,
            sample: &sample,
        };
        let next = self.method.step(step, noise)?;
        self.at += 1;
        Ok(next)
    }
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

/// Steps and noise of the schedulers that count by noise.
pub(super) struct Falling {
    pub(super) timesteps: Vec<f64>,
    /// With that after the last step.
    pub(super) sigmas: Vec<f32>,
}

impl Falling {
    pub(super) fn new(fields: &Fields, alphas: &[f32], count: usize, grid: Grid) -> Self {
        let table = tables::sigmas(alphas);
        let last = fields.lambda_min_clipped.map_or(table.len(), |least| {
            // The logarithm of the ratio of picture and noise is that of the noise, negative.
            table.len() - table.iter().filter(|sigma| -sigma.ln() < least).count()
        });
        let steps = tables::timesteps(fields, count, grid, last.max(1));
        let spaced = interpolate(&table, &steps);
        let (mut timesteps, mut sigmas) = (steps, spaced);
        if grid != Grid::OneMore && fields.interpolation_type == "log_linear" {
            let ends = [&table[table.len() - 1], &table[0]].map(|sigma| sigma.ln());
            sigmas =
                tables::linspace(ends[0], ends[1], count + 1).into_iter().map(f64::exp).collect();
        }
        if let Some(fall) = Fall::of(fields) {
            let ends = match grid {
                Grid::OneMore => [table[table.len() - 1], table[0]],
                _ => [sigmas[0], sigmas[sigmas.len() - 1]],
            };
            sigmas = fall.sigmas(fields, ends, count);
            timesteps = sigmas.iter().map(|&sigma| step_of(&table, sigma)).collect();
            if grid == Grid::OneMore {
                let is_rounded = match fall {
                    Fall::Karras | Fall::Lu => {
                        fields.beta_schedule != super::config::BetaSchedule::SquaredCosine
                    }
                    Fall::Exponential | Fall::Beta => false,
                };
                timesteps.iter_mut().for_each(|step| {
                    *step = if is_rounded { step.round_ties_even() } else { step.trunc() };
                });
            }
        }
        let end = final_sigma(fields, &table);
        let sigmas = sigmas.into_iter().chain([end]).map(|sigma| sigma as f32).collect();
        Self { timesteps, sigmas }
    }

    pub(super) fn steps(&self) -> Vec<f32> {
        self.timesteps.iter().map(|&step| step as f32).collect()
    }

    /// What noise is multiplied by to be the first latents.
    pub(super) fn init(&self, fields: &Fields) -> f32 {
        let most = self.sigmas.iter().copied().fold(0.0, f32::max);
        match fields.timestep_spacing {
            TimestepSpacing::Leading => (most * most + 1.0).sqrt(),
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => most,
        }
    }
}
