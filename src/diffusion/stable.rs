//! Stable Diffusion 1.x, 2.x and XL.
//!
//! Reference: `pipeline_stable_diffusion.py`, `pipeline_stable_diffusion_xl.py` and their kin for image to image.

use candle_core::{Device, Tensor};

use crate::diffusion::begin::{Begin, Shape};
use crate::diffusion::index::Index;
use crate::diffusion::options::PaintOptions;
use crate::diffusion::prompt::ClipPrompt;
use crate::diffusion::schedulers::Run;
use crate::diffusion::work::{MOST_PIXELS, Work};
use crate::error::{Error, Result};
use crate::models::Model;
use crate::models::diffusion::{UNet, UNetInput, open_unet};
use crate::options::LoadOptions;
use crate::source::ModelFiles;

/// The parts of a Stable Diffusion but for scheduler and autoencoder.
#[derive(Debug)]
pub(super) struct Stable {
    unet: UNet,
    first: Option<ClipPrompt>,
    /// SDXL's second encoder, whose vectors are read, too.
    second: Option<ClipPrompt>,
    /// Whether SDXL takes zeros for a missing negative text.
    zeros_for_empty: bool,
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
    pub(super) fn load(files: &ModelFiles, index: &Index, options: &LoadOptions) -> Result<Self> {
        let clip = |names: [&str; 2]| match index.has(names[1]) {
            true => ClipPrompt::load(files, names, options).map(Some),
            false => Ok(None),
        };
        let (first, second) =
            (clip(["tokenizer", "text_encoder"])?, clip(["tokenizer_2", "text_encoder_2"])?);
        if first.is_none() && second.is_none() {
            let name = "text_encoder";
            return Err(files.missing(name, name, "it reads the text that is painted"));
        }
        Ok(Self {
            first,
            second,
            unet: open_unet(&files.folder("unet")?, options)?,
            is_lcm: index.class.starts_with("LatentConsistency"),
            zeros_for_empty: index.flag("force_zeros_for_empty_prompt").unwrap_or(true),
        })
    }

    pub(super) fn device(&self) -> &Device {
        self.unet.device()
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
        let embeds_guidance = self.unet.config().time_cond_proj_dim;
        let is_guided = guidance > 1.0 && embeds_guidance.is_none();

        let prompt = options.prompt_2.as_deref().unwrap_or(work.prompt);
        let positive = self.condition([work.prompt, prompt], options.clip_skip)?;
        let negative = match (is_guided, &options.negative_prompt) {
            (false, _) => None,
            (true, None) if is_xl && self.zeros_for_empty => Some(positive.zeros()?),
            (true, text) => {
                let text = text.as_deref().unwrap_or("");
                // Which layers are skipped is about the text alone, as in diffusers.
                Some(self.condition([text, text], None)?)
            }
        };
        let guidance_features = match embeds_guidance {
            Some(size) => Some(embedded_guidance(guidance - 1.0, size, work.device)?),
            None => None,
        };
        let sizes = [height, width, 0, 0, height, width].map(|size| size as f32);
        let find_one = |sample: &Tensor, timestep: f32, condition: &Condition| {
            self.unet.forward(UNetInput {
                sample,
                timestep,
                text: &condition.text,
                added: condition.pooled.as_ref().map(|pooled| (pooled, sizes)),
                guidance: guidance_features.as_ref(),
            })
        };
        let rescale = options.guidance_rescale.unwrap_or(0.0);
        let mut generator = work.generator();
        let shape = Shape {
            is_xl,
            is_lcm: self.is_lcm,
            unet_channels: self.unet.config().in_channels,
            size: [height / scale, width / scale],
        };
        let mut begin = Begin::new(work, shape, &mut generator)?;
        let inpaint = begin.inpaint.take();
        let find = |samples: &Tensor, timestep: f32| -> Result<Tensor> {
            let mut found = Vec::new();
            for number in 0..samples.dim(0)? {
                let mut sample = samples.get(number)?;
                if let Some(inpaint) = &inpaint {
                    sample = inpaint.read(&sample)?;
                }
                let wanted = find_one(&sample, timestep, &positive)?;
                found.push(match &negative {
                    Some(negative) => {
                        let other = find_one(&sample, timestep, negative)?;
                        guided(&wanted, &other, guidance, rescale)?
                    }
                    None => wanted,
                });
            }
            Ok(Tensor::stack(&found, 0)?)
        };

        let Begin { run, latents, .. } = begin;
        let after = |run: &Run, latents: Tensor| match &inpaint {
            Some(inpaint) => inpaint.after(run, latents),
            None => Ok(latents),
        };
        let latents = work.steps(run, latents, &mut generator, find, after)?;
        Ok((latents, positive.cut))
    }

    /// How many tokens of a text are not read.
    pub(super) fn cut_tokens(&self, prompt: &str, options: &PaintOptions) -> Result<usize> {
        let second = options.prompt_2.as_deref().unwrap_or(prompt);
        let mut cut = 0;
        for (encoder, text) in [(&self.first, prompt), (&self.second, second)] {
            if let Some(encoder) = encoder {
                cut = cut.max(encoder.ids(text)?.cut);
            }
        }
        Ok(cut)
    }

    /// Height and width in pixels.
    fn size(&self, work: &Work<'_>, scale: usize) -> Result<[usize; 2]> {
        let options = work.options;
        let default = match (&options.image, &options.mask_image) {
            // As large as the picture, in whole latent pixels.
            (Some(image), None) => {
                [image.height, image.width].map(|side| (side / scale * scale).max(scale))
            }
            _ => [self.unet.config().sample_size.unwrap_or(64).saturating_mul(scale); 2],
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

    /// The hidden states of a text by all encoders.
    fn condition(&self, texts: [&str; 2], clip_skip: Option<usize>) -> Result<Condition> {
        let Some(second) = &self.second else {
            let Some(first) = &self.first else {
                return Err(Error::input("the model has no text encoder"));
            };
            let (states, cut) = first.encode(texts[0], clip_skip.unwrap_or(0))?;
            let text = match clip_skip {
                None => states.last,
                Some(_) => first.model.normed(&states.hidden)?,
            };
            return Ok(Condition { text: text.squeeze(0)?, pooled: None, cut });
        };
        // SDXL reads the last layer but one, and skips from there.
        let skipped = clip_skip.map_or(1, |skip| skip.saturating_add(1));
        let (of_second, mut cut) = second.encode(texts[1], skipped)?;
        let mut text = of_second.hidden.squeeze(0)?;
        if let Some(first) = &self.first {
            let (of_first, more) = first.encode(texts[0], skipped)?;
            text = Tensor::cat(&[of_first.hidden.squeeze(0)?, text], 1)?;
            cut = cut.max(more);
        }
        let pooled = of_second.projected.unwrap_or(of_second.pooled);
        Ok(Condition { text, pooled: Some(pooled), cut })
    }
}

/// Away from what the model finds without the text. <https://arxiv.org/abs/2207.12598>
fn guided(wanted: &Tensor, other: &Tensor, guidance: f64, rescale: f64) -> Result<Tensor> {
    let guided = (other + ((wanted - other)? * guidance)?)?;
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
