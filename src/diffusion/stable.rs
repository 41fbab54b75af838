//! Stable Diffusion 1.x, 2.x and XL.
//!
//! Reference: `pipeline_stable_diffusion.py`, `pipeline_stable_diffusion_xl.py` and their kin for image to image.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::diffusion::begin::{Begin, Shape};
use crate::diffusion::index::Index;
use crate::diffusion::kind::Kind;
use crate::diffusion::options::PaintOptions;
use crate::diffusion::parts::{Part, PartMemory, Residence};
use crate::diffusion::picture::size_of_latents;
use crate::diffusion::prompt::{ClipPrompt, HiddenAt, Reading};
use crate::diffusion::schedulers::Run;
use crate::diffusion::work::{MOST_PIXELS, Work, guided};
use crate::error::{Error, Result};
use crate::models::diffusion::{UNet, UNetConfig, UNetInput, open_unet};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::warning::warn;

/// The parts of a Stable Diffusion but for scheduler and autoencoder.
#[derive(Debug)]
pub(super) struct Stable {
    unet: Part<UNet>,
    config: UNetConfig,
    first: Option<ClipPrompt>,
    /// SDXL's second encoder, whose vectors are read, too.
    second: Option<ClipPrompt>,
    /// Whether SDXL takes zeros for a missing negative text.
    zeros_for_empty: bool,
    /// Whether it reads how beautiful the picture is to be: SDXL's refiner, which goes on with pictures.
    is_refiner: bool,
    /// Made by latent consistency distillation, with defaults of its own.
    is_lcm: bool,
}

/// A text as the UNet reads it.
#[derive(Debug)]
struct Condition {
    /// `(tokens, features)`.
    text: Tensor,
    /// `(1, features)`: SDXL.
    pooled: Option<Tensor>,
    cut: usize,
}

impl Condition {
    fn zeros(&self) -> Result<Self> {
        let pooled = self.pooled.as_ref().map(Tensor::zeros_like).transpose()?;
        Ok(Self { text: self.text.zeros_like()?, pooled, cut: 0 })
    }
}

impl Stable {
    pub(super) fn load(
        files: &ModelFiles,
        index: &Index,
        options: &LoadOptions,
        residence: Residence,
    ) -> Result<Self> {
        let clip = |names: [&str; 2]| match index.has(names[1]) {
            true => ClipPrompt::load(files, names, options, residence).map(Some),
            false => Ok(None),
        };
        let (first, second) =
            (clip(["tokenizer", "text_encoder"])?, clip(["tokenizer_2", "text_encoder_2"])?);
        if first.is_none() && second.is_none() {
            let name = "text_encoder";
            return Err(files.missing(name, name, "it reads the text that is painted"));
        }
        let open =
            |files: &ModelFiles, options: &LoadOptions| open_unet(files, options).map(Arc::new);
        Ok(Self {
            first,
            second,
            config: UNetConfig::read(&files.folder("unet")?)?,
            unet: Part::new(files, "unet", options, residence, open)?,
            is_lcm: index.class.starts_with("LatentConsistency"),
            zeros_for_empty: index.flag("force_zeros_for_empty_prompt").unwrap_or(true),
            is_refiner: index.flag("requires_aesthetics_score").unwrap_or(false),
        })
    }

    fn kind(&self) -> Kind {
        match (&self.second, self.is_refiner) {
            (None, _) => Kind::Plain,
            (Some(_), false) => Kind::Xl,
            (Some(_), true) => Kind::Refiner,
        }
    }

    /// The memory of its parts.
    pub(super) fn memory(&self) -> Vec<PartMemory> {
        let texts = [&self.first, &self.second].into_iter().flatten();
        let texts = texts.map(|encoder| encoder.model.memory());
        texts.chain([self.unet.memory()]).collect()
    }

    /// The latents of some pictures, `(pictures, channels, height, width)`, and how many tokens were cut.
    pub(super) fn paint(&self, work: &Work<'_>) -> Result<(Tensor, usize)> {
        let options = work.options;
        let is_xl = self.second.is_some();
        let scale = work.vae.scale();
        let [height, width] = self.size(work, scale)?;
        let default = match (self.is_lcm, is_xl) {
            (true, _) => 8.5,
            (false, true) if options.mask_image.is_none() => 5.0,
            (false, _) => 7.5,
        };
        let guidance = options.guidance_scale.unwrap_or(default);
        let embeds_guidance = self.config.time_cond_proj_dim;
        let is_guided = guidance > 1.0 && embeds_guidance.is_none();
        self.kind().check(options)?;
        let mut generator = work.generator();
        let shape = Shape {
            is_xl,
            is_lcm: self.is_lcm,
            unet_channels: self.config.in_channels,
            size: [height / scale, width / scale],
        };
        let Begin { run, latents, inpaint } = Begin::new(work, shape, &mut generator)?;
        let [positive, negative] = self.conditions(work, is_guided)?;
        let Some(positive) = positive else { return Err(Error::input("there is no text")) };
        let guidance_features = match embeds_guidance {
            Some(size) => Some(embedded_guidance(guidance - 1.0, size, work.device)?),
            None => None,
        };
        let sizes = self.kind().sizes(options, [height, width]);
        // From here on, the encoders may be gone.
        let unet = self.unet.take()?;
        let find_one = |sample: &Tensor, timestep: f32, condition: &Condition, sizes: &[f32]| {
            unet.forward(UNetInput {
                sample,
                timestep,
                text: &condition.text,
                added: condition.pooled.as_ref().map(|pooled| (pooled, sizes)),
                guidance: guidance_features.as_ref(),
            })
        };
        let rescale = options.guidance_rescale.unwrap_or(0.0);
        let find = |samples: &Tensor, timestep: f32| -> Result<Tensor> {
            let mut found = Vec::new();
            for number in 0..samples.dim(0)? {
                let mut sample = samples.get(number)?;
                if let Some(inpaint) = &inpaint {
                    sample = inpaint.read(&sample)?;
                }
                let wanted = find_one(&sample, timestep, &positive, &sizes[0])?;
                found.push(match &negative {
                    Some(negative) => {
                        let other = find_one(&sample, timestep, negative, &sizes[1])?;
                        rescaled(guided(&wanted, &other, guidance)?, &wanted, rescale)?
                    }
                    None => wanted,
                });
            }
            Ok(Tensor::stack(&found, 0)?)
        };
        let after = |run: &Run, latents: Tensor| match &inpaint {
            Some(inpaint) => inpaint.after(run, latents),
            None => Ok(latents),
        };
        let latents = work.steps(run, latents, &mut generator, find, after)?;
        Ok((latents, positive.cut))
    }

    /// How many tokens of a text are not read.
    pub(super) fn cut_tokens(&self, prompt: &str, options: &PaintOptions) -> Result<usize> {
        self.kind().check(options)?;
        let reading = Reading::of(options, self.second.is_some())?;
        let texts = self.texts(prompt, options.prompt_2.as_deref(), reading);
        let mut cut = 0;
        for (encoder, text) in [&self.first, &self.second].into_iter().zip(&texts) {
            if let Some(encoder) = encoder {
                cut = cut.max(encoder.cut(text, reading)?);
            }
        }
        Ok(cut)
    }

    /// What each encoder reads. A refiner's only one is the second, and reads the first text; where words are weighed
    /// or texts are long, both read both, as in `lpw_stable_diffusion_xl`.
    fn texts<'a>(
        &self,
        text: &'a str,
        second: Option<&'a str>,
        reading: Reading,
    ) -> [Cow<'a, str>; 2] {
        match second.filter(|second| !second.is_empty() && self.first.is_some()) {
            None => [text.into(), text.into()],
            Some(second) if reading.is_plain() => [text.into(), second.into()],
            Some(second) => {
                let both = format!("{text} {second}");
                [both.clone().into(), both.into()]
            }
        }
    }

    /// Height and width in pixels.
    fn size(&self, work: &Work<'_>, scale: usize) -> Result<[usize; 2]> {
        let options = work.options;
        if let Some(size) = size_of_latents(work)? {
            return Ok(size);
        }
        let default = match (&options.image, &options.mask_image) {
            // As large as the picture, in whole latent pixels.
            (Some(image), None) => {
                [image.height, image.width].map(|side| (side / scale * scale).max(scale))
            }
            _ => [self.config.sample_size.unwrap_or(64).saturating_mul(scale); 2],
        };
        let side = |name: &str, side: usize| match side {
            side if side > 0 && side.is_multiple_of(scale) && side <= MOST_PIXELS => Ok(side),
            side => {
                let reason = format!(
                    "{side} pixels; it should be a multiple of {scale} up to {MOST_PIXELS}"
                );
                Err(Error::option(name, reason))
            }
        };
        Ok([
            side("height", options.height.unwrap_or(default[0]))?,
            side("width", options.width.unwrap_or(default[1]))?,
        ])
    }

    /// The text and, where the picture is guided, what is not to be in it, by all encoders. Which layers are skipped
    /// is about the text alone, as in diffusers.
    fn conditions(&self, work: &Work<'_>, is_guided: bool) -> Result<[Option<Condition>; 2]> {
        let is_xl = self.second.is_some();
        let (options, reading) = (work.options, Reading::of(work.options, is_xl)?);
        let skip = options.clip_skip;
        let text = self.texts(work.prompt, options.prompt_2.as_deref(), reading);
        let negative = options.negative_prompt.as_deref();
        if negative.is_some() && !is_guided {
            warn("`negative_prompt` is not read: `guidance_scale` is not above 1");
        }
        let takes_zeros = is_xl && self.zeros_for_empty && negative.is_none() && reading.is_plain();
        let negative = negative.unwrap_or("");
        let mut texts = vec![(text, skip)];
        if is_guided && !takes_zeros {
            texts.push((self.texts(negative, options.negative_prompt_2.as_deref(), reading), None));
        }
        let at = |skip: Option<usize>| match (is_xl, skip) {
            (false, None) => HiddenAt::Last,
            (false, Some(layers)) => HiddenAt::Normed(layers),
            // SDXL reads the last layer but one, and skips from there.
            (true, skip) => HiddenAt::Plain(skip.unwrap_or(0).saturating_add(1)),
        };
        // One encoder after the other, so that each may leave before the next comes.
        let mut conditions: Vec<Condition> = Vec::new();
        for (number, encoder) in [&self.first, &self.second].into_iter().enumerate() {
            let Some(encoder) = encoder else { continue };
            let texts: Vec<_> =
                texts.iter().map(|(text, skip)| (&*text[number], at(*skip))).collect();
            for (row, encoded) in encoder.encode(&texts, reading)?.into_iter().enumerate() {
                let pooled = (number == 1).then(|| encoded.projected.unwrap_or(encoded.pooled));
                match conditions.get_mut(row) {
                    None => {
                        let (text, cut) = (encoded.text, encoded.cut);
                        conditions.push(Condition { text, pooled, cut });
                    }
                    Some(condition) => {
                        condition.text = Tensor::cat(&[&condition.text, &encoded.text], 1)?;
                        condition.pooled = pooled;
                        condition.cut = condition.cut.max(encoded.cut);
                    }
                }
            }
        }
        let mut conditions = conditions.into_iter();
        let (positive, negative) = (conditions.next(), conditions.next());
        let negative = match (&positive, negative) {
            (Some(positive), None) if is_guided && takes_zeros => Some(positive.zeros()?),
            (_, negative) => negative,
        };
        Ok([positive, negative])
    }
}

/// What guidance has made, as bright as what the model finds for the text. <https://arxiv.org/abs/2305.08891>
fn rescaled(guided: Tensor, wanted: &Tensor, rescale: f64) -> Result<Tensor> {
    if rescale == 0.0 {
        return Ok(guided);
    }
    let deviation = |x: &Tensor| -> Result<f64> {
        let numbers = x.flatten_all()?.to_vec1::<f32>()?;
        let count = numbers.len() as f64;
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let squares: f64 = numbers.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
        Ok((squares / (count - 1.0)).sqrt())
    };
    let ratio = deviation(wanted)? / deviation(&guided)?;
    Ok((guided * (rescale * ratio + (1.0 - rescale)))?)
}

/// `get_guidance_scale_embedding` of diffusers, `(1, size)`.
fn embedded_guidance(guidance: f64, size: usize, device: &Device) -> Result<Tensor> {
    let half = size / 2;
    let step = 10_000_f64.ln() / (half.max(2) - 1) as f64;
    let angle = |at: usize| (1000.0 * guidance) as f32 * (-(step as f32) * at as f32).exp();
    let sines = (0..half).map(|at| angle(at).sin());
    let mut features: Vec<f32> = sines.chain((0..half).map(|at| angle(at).cos())).collect();
    features.resize(size, 0.0);
    Ok(Tensor::from_vec(features, (1, size), device)?)
}
