//! The state of one picture.

use candle_core::{DType, Tensor};

use crate::diffusion::schedulers::config::SchedulerKind;
use crate::diffusion::schedulers::method::{
    Method, Noise, Plan, Scaling, Step, alpha_and_sigma, sum,
};
use crate::diffusion::schedulers::{
    Scheduler, Steps, dpm, flow, given, of_alphas, of_sigmas, pndm, unipc,
};
use crate::error::{Error, Result};

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
    end: usize,
    method: Box<dyn Method>,
}

impl Run {
    pub(super) fn new(scheduler: &Scheduler, steps: &Steps) -> Result<Self> {
        let (kind, fields) = (scheduler.kind, &scheduler.fields);
        let most = fields.num_train_timesteps;
        if steps.count == 0 || steps.count > most {
            let reason = format!("{} steps; the model was trained with {most}", steps.count);
            return Err(Error::option("num_inference_steps", reason));
        }
        given::check(kind, fields, steps)?;
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
        let end = timesteps.len();
        Ok(Self { timesteps, sigmas, alphas, init_noise_sigma, scaling, order, at: 0, end, method })
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

    /// Ends before a later call, and leaves the noise that is there: another model goes on.
    #[must_use]
    pub fn end_at(self, call: usize) -> Self {
        Self { end: call.min(self.timesteps.len()), ..self }
    }

    /// The number of the call that it ends before.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
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
        if self.at >= self.end {
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
