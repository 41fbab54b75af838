//! What painting a text needs, and its steps.

use candle_core::{DType, Device, Tensor};

use crate::diffusion::options::{PaintOptions, StepReport};
use crate::diffusion::schedulers::{Run, Scheduler, SchedulerKind, Steps};
use crate::error::{Error, Result};
use crate::media::Image;
use crate::models::diffusion::Vae;
use crate::random::Generator;

/// The most pixels of a side.
pub(super) const MOST_PIXELS: usize = 1 << 14;

/// What painting a text needs.
pub(super) struct Work<'a> {
    pub(super) prompt: &'a str,
    pub(super) options: &'a PaintOptions,
    pub(super) scheduler: &'a Scheduler,
    pub(super) vae: &'a Vae,
    pub(super) device: &'a Device,
}

/// A picture as a model reads it, `(3, height, width)` of -1 to 1.
pub(super) fn pixels(image: &Image, device: &Device) -> Result<Tensor> {
    let numbers: Vec<f32> =
        image.rgb.iter().map(|&byte| 2.0 * (f32::from(byte) / 255.0) - 1.0).collect();
    let picture = Tensor::from_vec(numbers, (image.height, image.width, 3), device)?;
    Ok(picture.permute((2, 0, 1))?.contiguous()?)
}

/// Away from what the model finds without the text. <https://arxiv.org/abs/2207.12598>
pub(super) fn guided(wanted: &Tensor, other: &Tensor, guidance: f64) -> Result<Tensor> {
    Ok((other + ((wanted - other)? * guidance)?)?)
}

impl Work<'_> {
    /// How many pictures.
    pub(super) fn count(&self) -> Result<usize> {
        match self.options.num_images_per_prompt.unwrap_or(1) {
            count @ 1..=1024 => Ok(count),
            count => Err(Error::option("num_images_per_prompt", format!("{count} pictures"))),
        }
    }

    /// The random numbers of the picture.
    pub(super) fn generator(&self) -> Generator {
        Generator::seed(self.options.seed.unwrap_or(0))
    }

    /// The steps that the options ask for.
    pub(super) fn steps_of(&self, default: usize) -> Steps {
        let PaintOptions { num_inference_steps, timesteps, sigmas, eta, .. } = self.options;
        let mut steps = Steps::new(num_inference_steps.unwrap_or(default));
        if let Some(timesteps) = timesteps {
            steps = steps.timesteps(timesteps.clone());
        }
        if let Some(sigmas) = sigmas {
            // The last is that after the last step, but not where noise goes over into the picture.
            let is_flow = self.scheduler.kind() == SchedulerKind::FlowMatchEuler;
            steps.count = if is_flow { sigmas.len() } else { sigmas.len().saturating_sub(1) };
            steps = steps.sigmas(sigmas.clone());
        }
        // Of TCD, too, whose own default is 0.3: diffusers' pipelines tell it theirs.
        steps.eta = Some(eta.unwrap_or(0.0));
        steps
    }

    /// One step after the other from the latents on; `find` is what the model finds in scaled latents, and
    /// `after` what is done to those of the next step.
    pub(super) fn steps(
        &self,
        mut run: Run,
        mut latents: Tensor,
        generator: &mut Generator,
        find: impl Fn(&Tensor, f32) -> Result<Tensor>,
        after: impl Fn(&Run, Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let first = run.position();
        let steps = run.end();
        for step in first..steps {
            let timestep = run.timesteps()[step];
            let found = find(&run.scale_input(&latents)?, timestep)?;
            let shape = latents.shape().clone();
            let mut noise = || generator.randn_tensor(shape.clone(), DType::F32, self.device);
            let next = run.step(&found, &latents, &mut noise)?;
            latents = after(&run, next)?;
            if let Some(call) = &self.options.callback_on_step_end {
                let report = StepReport {
                    step: step - first,
                    steps: steps - first,
                    timestep,
                    latents: &latents,
                };
                if call.call(&report).is_break() {
                    return Err(Error::Interrupted);
                }
            }
        }
        Ok(latents)
    }
}
