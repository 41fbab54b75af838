//! FLUX.1 schnell and dev.
//!
//! Reference: `pipeline_flux.py` of diffusers.

use candle_core::{DType, Device, Tensor};

use crate::diffusion::options::PaintOptions;
use crate::diffusion::prompt::{ClipPrompt, T5Prompt};
use crate::diffusion::schedulers::{SchedulerKind, Steps};
use crate::diffusion::work::{MOST_PIXELS, Work};
use crate::error::{Error, Result};
use crate::models::Model;
use crate::models::diffusion::{FluxInput, FluxTransformer, open_flux};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::warning::warn;

/// The parts of a FLUX but for scheduler and autoencoder.
#[derive(Debug)]
pub(super) struct Flux {
    transformer: FluxTransformer,
    clip: ClipPrompt,
    t5: T5Prompt,
}

/// How many tokens of a text T5 reads.
fn words(options: &PaintOptions) -> Result<usize> {
    match options.max_sequence_length.unwrap_or(512) {
        words @ 1..=512 => Ok(words),
        words => {
            let reason = format!("{words} tokens; T5 reads 1 to 512");
            Err(Error::option("max_sequence_length", reason))
        }
    }
}

impl Flux {
    pub(super) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        Ok(Self {
            clip: ClipPrompt::load(files, ["tokenizer", "text_encoder"], options)?,
            t5: T5Prompt::load(files, ["tokenizer_2", "text_encoder_2"], options)?,
            transformer: open_flux(&files.folder("transformer")?, options)?,
        })
    }

    pub(super) fn device(&self) -> &Device {
        self.transformer.device()
    }

    /// How many tokens of a text T5 does not read.
    pub(super) fn cut_tokens(&self, prompt: &str, options: &PaintOptions) -> Result<usize> {
        let text = options.prompt_2.as_deref().unwrap_or(prompt);
        self.t5.cut(text, words(options)?)
    }

    /// The latents of some pictures, `(pictures, channels, height, width)`, and how many tokens were cut.
    pub(super) fn paint(&self, work: &Work<'_>) -> Result<(Tensor, usize)> {
        let options = work.options;
        let others = [
            ("image", options.image.is_some()),
            ("mask_image", options.mask_image.is_some()),
            ("strength", options.strength.is_some()),
            ("clip_skip", options.clip_skip.is_some()),
            ("negative_prompt", options.negative_prompt.is_some()),
        ];
        if let Some((name, _)) = others.into_iter().find(|(_, is_given)| *is_given) {
            return Err(Error::option(name, "FLUX is painted from a text alone"));
        }
        let kind = work.scheduler.kind();
        if kind != SchedulerKind::FlowMatchEuler {
            let reason =
                format!("{kind} is not for FLUX, which takes FlowMatchEulerDiscreteScheduler");
            return Err(Error::option("scheduler", reason));
        }
        let [height, width] = size(work)?;
        let words = words(options)?;
        let (states, _) = self.clip.encode(work.prompt, 0)?;
        let prompt = options.prompt_2.as_deref().unwrap_or(work.prompt);
        let (text, cut) = self.t5.encode(prompt, words)?;
        let count = options.num_inference_steps.unwrap_or(28);
        let most = work.scheduler.num_train_timesteps();
        if count == 0 || count > most {
            let reason = format!("{count} steps; the model was trained with {most}");
            return Err(Error::option("num_inference_steps", reason));
        }
        // Evenly from 1 on, but not to 0.
        let last = 1.0 / count.max(1) as f64;
        let sigma = |at: usize| match count {
            0 | 1 => 1.0,
            _ => 1.0 + (last - 1.0) * at as f64 / (count - 1) as f64,
        };
        let mut steps = Steps::new(count).sigmas((0..count).map(sigma).collect());
        steps.mu = work.scheduler.mu(height * width);
        let run = work.scheduler.run(&steps)?;
        let mut generator = work.generator();
        let channels = self.transformer.config().in_channels / 4;
        let shape = (work.count()?, channels, 2 * height, 2 * width);
        let latents = generator.randn_tensor(shape, DType::F32, work.device)?;
        let guidance = options.guidance_scale.unwrap_or(3.5) as f32;
        let find = |samples: &Tensor, timestep: f32| -> Result<Tensor> {
            let samples = pack(samples)?;
            let one = |number: usize| {
                self.transformer.forward(FluxInput {
                    tokens: &samples.get(number)?,
                    size: [height, width],
                    sigma: timestep / 1000.0,
                    guidance,
                    text: &text,
                    pooled: &states.pooled,
                })
            };
            let found = (0..samples.dim(0)?).map(one).collect::<Result<Vec<_>>>()?;
            unpack(&Tensor::stack(&found, 0)?, [height, width])
        };
        let latents = work.steps(run, latents, &mut generator, find, |_, latents| Ok(latents))?;
        Ok((latents, cut))
    }
}

/// Patches of a column and of a row.
fn size(work: &Work<'_>) -> Result<[usize; 2]> {
    let patch = 2 * work.vae.scale();
    let default = 128 * work.vae.scale();
    let side = |name: &str, side: Option<usize>| match side.unwrap_or(default) {
        side if side < patch || side > MOST_PIXELS => {
            let reason = format!("{side} pixels; it should be {patch} to {MOST_PIXELS}");
            Err(Error::option(name, reason))
        }
        side => {
            if !side.is_multiple_of(patch) {
                let less = side / patch * patch;
                warn(&format!("`{name}` {side} is no multiple of {patch}; the picture has {less}"));
            }
            Ok(side / patch)
        }
    };
    Ok([side("height", work.options.height)?, side("width", work.options.width)?])
}

/// `(pictures, channels, height, width)` to patches of 2 by 2, `(pictures, patches, 4 * channels)`.
fn pack(latents: &Tensor) -> Result<Tensor> {
    let (count, channels, height, width) = latents.dims4()?;
    let shape = vec![count, channels, height / 2, 2, width / 2, 2];
    let patches = latents.reshape(shape)?.permute(vec![0, 2, 4, 1, 3, 5])?.contiguous()?;
    Ok(patches.reshape((count, height / 2 * (width / 2), 4 * channels))?)
}

/// What [`pack`] undoes.
fn unpack(latents: &Tensor, [height, width]: [usize; 2]) -> Result<Tensor> {
    let (count, _, features) = latents.dims3()?;
    let shape = vec![count, height, width, features / 4, 2, 2];
    let latents = latents.reshape(shape)?.permute(vec![0, 3, 1, 4, 2, 5])?.contiguous()?;
    Ok(latents.reshape((count, features / 4, 2 * height, 2 * width))?)
}
