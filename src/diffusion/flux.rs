//! FLUX.1 schnell and dev.
//!
//! Reference: `pipeline_flux.py` of diffusers.

use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::diffusion::options::PaintOptions;
use crate::diffusion::parts::{Part, PartMemory, Residence};
use crate::diffusion::picture::{
    Inpaint, Kept, check_mask, is_given, of_picture, size_of_latents, sized, small_mask,
};
use crate::diffusion::prompt::{ClipPrompt, Encoded, HiddenAt, Reading, T5Prompt};
use crate::diffusion::schedulers::{Run, SchedulerKind};
use crate::diffusion::work::{MOST_PIXELS, Work, guided};
use crate::error::{Error, Result};
use crate::models::diffusion::{FluxConfig, FluxInput, FluxTransformer, open_flux};
use crate::options::LoadOptions;
use crate::random::Generator;
use crate::source::ModelFiles;
use crate::warning::warn;

/// The parts of a FLUX but for scheduler and autoencoder.
#[derive(Debug)]
pub(super) struct Flux {
    transformer: Part<FluxTransformer>,
    config: FluxConfig,
    clip: ClipPrompt,
    t5: T5Prompt,
}

/// A text as the transformer reads it.
#[derive(Debug)]
struct Condition {
    /// `(tokens, features)`.
    text: Tensor,
    /// `(1, features)`.
    pooled: Tensor,
    cut: usize,
}

/// A text for T5; an empty one counts as none, as in diffusers.
fn given<'a>(text: &'a Option<String>, other: &'a str) -> &'a str {
    text.as_deref().filter(|text| !text.is_empty()).unwrap_or(other)
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
    pub(super) fn load(
        files: &ModelFiles,
        options: &LoadOptions,
        residence: Residence,
    ) -> Result<Self> {
        let transformer = files.folder("transformer")?;
        let (config, _) = transformer.required_json("config.json", "the model's sizes")?;
        let [clip, t5] = [["tokenizer", "text_encoder"], ["tokenizer_2", "text_encoder_2"]];
        let open =
            |files: &ModelFiles, options: &LoadOptions| open_flux(files, options).map(Arc::new);
        Ok(Self {
            config,
            clip: ClipPrompt::load(files, clip, options, residence)?,
            t5: T5Prompt::load(files, t5, options, residence)?,
            transformer: Part::new(files, "transformer", options, residence, open)?,
        })
    }

    /// The memory of its parts.
    pub(super) fn memory(&self) -> Vec<PartMemory> {
        vec![self.clip.model.memory(), self.t5.model.memory(), self.transformer.memory()]
    }

    /// How many tokens of a text T5 does not read.
    pub(super) fn cut_tokens(&self, prompt: &str, options: &PaintOptions) -> Result<usize> {
        let text = given(&options.prompt_2, prompt);
        self.t5.cut(text, words(options)?)
    }

    /// The latents of some pictures, `(pictures, channels, height, width)`, and how many tokens were cut.
    pub(super) fn paint(&self, work: &Work<'_>) -> Result<(Tensor, usize)> {
        let options = work.options;
        check(work)?;
        let size = size(work)?;
        let scale = options.true_cfg_scale.unwrap_or(1.0);
        let mut generator = work.generator();
        let Begin { run, latents, inpaint } = self.begin(work, size, &mut generator)?;
        let mut conditions = self.conditions(work, scale > 1.0)?.into_iter();
        let Some(positive) = conditions.next() else {
            return Err(Error::input("there is no text"));
        };
        let negative = conditions.next();
        let default = if is_given(options) { 7.0 } else { 3.5 };
        let guidance = options.guidance_scale.unwrap_or(default) as f32;
        // From here on, the encoders may be gone.
        let transformer = self.transformer.take()?;
        let find_one = |tokens: &Tensor, timestep: f32, condition: &Condition| {
            transformer.forward(FluxInput {
                tokens,
                size,
                sigma: timestep / 1000.0,
                guidance,
                text: &condition.text,
                pooled: &condition.pooled,
            })
        };
        let find = |samples: &Tensor, timestep: f32| -> Result<Tensor> {
            let samples = pack(samples)?;
            let one = |number: usize| {
                let tokens = samples.get(number)?;
                let wanted = find_one(&tokens, timestep, &positive)?;
                match &negative {
                    None => Ok(wanted),
                    Some(negative) => {
                        guided(&wanted, &find_one(&tokens, timestep, negative)?, scale)
                    }
                }
            };
            let found = (0..samples.dim(0)?).map(one).collect::<Result<Vec<_>>>()?;
            unpack(&Tensor::stack(&found, 0)?, size)
        };
        let after = |run: &Run, latents: Tensor| match &inpaint {
            Some(inpaint) => inpaint.after(run, latents),
            None => Ok(latents),
        };
        let latents = work.steps(run, latents, &mut generator, find, after)?;
        Ok((latents, positive.cut))
    }

    /// The text, and what is not to be in the picture where it is asked for that.
    fn conditions(&self, work: &Work<'_>, is_guided: bool) -> Result<Vec<Condition>> {
        let (options, words) = (work.options, words(work.options)?);
        let prompt = work.prompt;
        let mut texts = vec![[prompt, given(&options.prompt_2, prompt)]];
        match options.negative_prompt.as_deref() {
            Some(negative) if is_guided => {
                texts.push([negative, given(&options.negative_prompt_2, negative)]);
            }
            Some(_) => warn("`negative_prompt` is not read: `true_cfg_scale` is not above 1"),
            None => {}
        }
        let of_clip: Vec<_> = texts.iter().map(|text| (text[0], HiddenAt::Last)).collect();
        let pooled = self.clip.encode(&of_clip, Reading::PLAIN)?;
        let of_t5: Vec<_> = texts.iter().map(|text| text[1]).collect();
        let states = self.t5.encode(&of_t5, words)?;
        let pairs = pooled.into_iter().zip(states);
        let condition = |(Encoded { pooled, .. }, (text, cut)): (Encoded, (Tensor, usize))| {
            Condition { text, pooled, cut }
        };
        Ok(pairs.map(condition).collect())
    }

    /// What the steps begin with: noise, or a picture with noise. Latents of so many patches.
    fn begin(
        &self,
        work: &Work<'_>,
        [height, width]: [usize; 2],
        generator: &mut Generator,
    ) -> Result<Begin> {
        let options = work.options;
        let mut steps = work.steps_of(28);
        let most = work.scheduler.num_train_timesteps();
        let count = steps.count;
        if count == 0 || count > most {
            let reason = format!("{count} steps; the model was trained with {most}");
            return Err(Error::option("num_inference_steps", reason));
        }
        if steps.sigmas.is_none() {
            // Evenly from 1 on, but not to 0.
            let last = 1.0 / count as f64;
            let sigma = |at: usize| match count {
                1 => 1.0,
                _ => 1.0 + (last - 1.0) * at as f64 / (count - 1) as f64,
            };
            steps = steps.sigmas((0..count).map(sigma).collect());
        }
        steps.mu = work.scheduler.mu(height * width);
        let run = work.scheduler.run(&steps)?;
        let channels = self.config.in_channels / 4;
        let shape = (work.count()?, channels, 2 * height, 2 * width);
        if !is_given(options) {
            let latents = generator.randn_tensor(shape, DType::F32, work.device)?;
            return Ok(Begin { run, latents, inpaint: None });
        }
        let strength = options.strength.unwrap_or(0.6);
        let first = (count as f64 - (count as f64 * strength).min(count as f64)) as usize;
        if first >= count {
            let reason = format!("{strength} of {count} steps leaves none");
            return Err(Error::option("strength", reason));
        }
        let run = run.begin_at(first);
        let side = 2 * work.vae.scale();
        let wanted = [height * side, width * side];
        let picture = options.image.as_ref().map(|picture| sized(picture, wanted)).transpose()?;
        let of_picture = of_picture(work, picture.as_deref(), shape.0, generator)?;
        let noise = generator.randn_tensor(shape, DType::F32, work.device)?;
        let latents = run.add_noise(&of_picture, &noise)?;
        let inpaint = match &options.mask_image {
            None => None,
            Some(mask) => {
                let mask = small_mask(&*sized(mask, wanted)?, [2 * height, 2 * width], work)?;
                Some(Inpaint { mask, kept: Kept::PutBack { latents: of_picture, noise } })
            }
        };
        Ok(Begin { run, latents, inpaint })
    }
}

/// What the steps begin with.
struct Begin {
    run: Run,
    latents: Tensor,
    inpaint: Option<Inpaint>,
}

/// Refuses options of other models, and what does not go together.
fn check(work: &Work<'_>) -> Result<()> {
    let options = work.options;
    let others = [
        ("clip_skip", options.clip_skip.is_some()),
        ("eta", options.eta.is_some()),
        ("guidance_rescale", options.guidance_rescale.is_some()),
        ("prompt_weights", options.prompt_weights == Some(true)),
        ("max_embeddings_multiples", options.max_embeddings_multiples.is_some()),
        ("timesteps", options.timesteps.is_some()),
        ("original_size", options.original_size.is_some()),
        ("crops_coords_top_left", options.crops_coords_top_left.is_some()),
        ("target_size", options.target_size.is_some()),
        ("negative_original_size", options.negative_original_size.is_some()),
        ("negative_crops_coords_top_left", options.negative_crops_coords_top_left.is_some()),
        ("negative_target_size", options.negative_target_size.is_some()),
        ("denoising_start", options.denoising_start.is_some()),
        ("denoising_end", options.denoising_end.is_some()),
        ("aesthetic_score", options.aesthetic_score.is_some()),
        ("negative_aesthetic_score", options.negative_aesthetic_score.is_some()),
        ("strength", options.strength.is_some() && !is_given(options)),
    ];
    if let Some((name, _)) = others.into_iter().find(|(_, is_given)| *is_given) {
        let reason = match name {
            "strength" => "there is no `image` that it is about",
            _ => "FLUX has no such option",
        };
        return Err(Error::option(name, reason));
    }
    check_mask(work)?;
    let kind = work.scheduler.kind();
    if kind != SchedulerKind::FlowMatchEuler {
        let reason = format!("{kind} is not for FLUX, which takes FlowMatchEulerDiscreteScheduler");
        return Err(Error::option("scheduler", reason));
    }
    Ok(())
}

/// Patches of a column and of a row.
fn size(work: &Work<'_>) -> Result<[usize; 2]> {
    let patch = 2 * work.vae.scale();
    if let Some(size) = size_of_latents(work)? {
        if size.iter().any(|side| !side.is_multiple_of(patch)) {
            let reason = "FLUX takes latents of even sides";
            return Err(Error::option("image_latents", reason));
        }
        return Ok(size.map(|side| side / patch));
    }
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
