//! What a picture of Stable Diffusion begins with: noise, another picture, or one with a part to be painted anew.

use std::borrow::Cow;

use candle_core::{DType, Tensor};

use crate::diffusion::schedulers::{Run, SchedulerKind, Steps};
use crate::diffusion::work::{Work, pixels};
use crate::error::{Error, Result};
use crate::image::{ResizeFilter, resize};
use crate::media::Image;
use crate::models::diffusion::Vae;
use crate::random::Generator;

/// What the steps begin with.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) run: Run,
    /// `(pictures, channels, height, width)`.
    pub(super) latents: Tensor,
    pub(super) inpaint: Option<Inpaint>,
}

/// A picture of which a part is painted anew.
#[derive(Debug)]
pub(super) struct Inpaint {
    /// 1 where the picture is painted anew, `(1, 1, height, width)`.
    mask: Tensor,
    kept: Kept,
}

/// How the rest of the picture stays.
#[derive(Debug)]
enum Kept {
    /// The UNet reads the mask and the latents of the rest, `(1, channels, height, width)`.
    Read(Tensor),
    /// It is put back after each step: the picture's latents and the noise.
    PutBack { latents: Tensor, noise: Tensor },
}

/// What differs between Stable Diffusion and SDXL, and the UNet's channels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) is_xl: bool,
    /// Made by latent consistency distillation.
    pub(super) is_lcm: bool,
    pub(super) unet_channels: usize,
    /// Latent pixels.
    pub(super) size: [usize; 2],
}

impl Begin {
    pub(super) fn new(work: &Work<'_>, shape: Shape, generator: &mut Generator) -> Result<Self> {
        let options = work.options;
        let count = options.num_inference_steps.unwrap_or(if shape.is_lcm { 4 } else { 50 });
        let mut steps = Steps::new(count);
        steps.eta = options.eta;
        let channels = work.vae.latent_channels();
        let [height, width] = shape.size;
        let latents = (work.count()?, channels, height, width);
        let reads_mask = shape.unet_channels == 2 * channels + 1;
        let noise =
            |generator: &mut Generator| generator.randn_tensor(latents, DType::F32, work.device);
        check(work, shape, reads_mask)?;
        let Some(picture) = &options.image else {
            let run = work.scheduler.run(&steps)?;
            let latents = (noise(generator)? * f64::from(run.init_noise_sigma()))?;
            return Ok(Self { run, latents, inpaint: None });
        };
        let scale = work.vae.scale();
        let pixels_wanted = [height * scale, width * scale];
        let picture = &*sized(picture, pixels_wanted)?;
        let mask = options.mask_image.as_ref();
        let mask = mask.map(|mask| sized(mask, pixels_wanted)).transpose()?;
        let strength = options.strength.unwrap_or(match (&options.mask_image, shape.is_xl) {
            (Some(_), false) => 1.0,
            (Some(_), true) => 0.9999,
            (None, false) => 0.8,
            (None, true) => 0.3,
        });
        if !(0.0..=1.0).contains(&strength) {
            return Err(Error::option("strength", format!("{strength} is not from 0 to 1")));
        }
        let kept = ((count as f64 * strength) as usize).min(count);
        if kept == 0 {
            let reason = format!("{strength} of {count} steps leaves none");
            return Err(Error::option("strength", reason));
        }
        steps.strength = strength;
        let run = work.scheduler.run(&steps)?;
        // The grids of distilled models are made for the strength.
        let all = run.timesteps().len();
        let order = run.order();
        let run = run.begin_at(((count - kept) * order).min(all));
        let from_noise = options.mask_image.is_some() && strength == 1.0;
        let pictures = latents.0;
        let of_picture = match from_noise && reads_mask {
            true => None,
            false => Some(encoded(work, &pixels(picture, work.device)?, generator)?),
        };
        let noise = noise(generator)?;
        let begun = match &of_picture {
            Some(of_picture) if !from_noise => {
                run.add_noise(&of_picture.repeat((pictures, 1, 1, 1))?, &noise)?
            }
            _ => (&noise * f64::from(run.init_noise_sigma()))?,
        };
        let inpaint = match mask.as_deref() {
            None => None,
            Some(mask) => Some(Inpaint {
                kept: match (reads_mask, of_picture) {
                    (false, Some(latents)) => Kept::PutBack { latents, noise },
                    _ => Kept::Read(rest(work, picture, mask, generator)?),
                },
                mask: small_mask(mask, shape.size, work)?,
            }),
        };
        Ok(Self { run, latents: begun, inpaint })
    }
}

impl Inpaint {
    /// What the UNet reads of latents `(channels, height, width)`.
    pub(super) fn read(&self, sample: &Tensor) -> Result<Tensor> {
        match &self.kept {
            Kept::PutBack { .. } => Ok(sample.clone()),
            Kept::Read(rest) => {
                Ok(Tensor::cat(&[sample, &self.mask.squeeze(0)?, &rest.squeeze(0)?], 0)?)
            }
        }
    }

    /// The latents after a step, with the rest of the picture as noisy as they are.
    pub(super) fn after(&self, run: &Run, latents: Tensor) -> Result<Tensor> {
        let Kept::PutBack { latents: picture, noise } = &self.kept else { return Ok(latents) };
        let rest = match run.position() < run.timesteps().len() {
            true => run.add_noise(&picture.broadcast_as(noise.shape())?.contiguous()?, noise)?,
            false => picture.broadcast_as(noise.shape())?.contiguous()?,
        };
        let painted = latents.broadcast_mul(&self.mask)?;
        Ok((painted + rest.broadcast_mul(&(1.0 - &self.mask)?)?)?)
    }
}

/// Refuses what does not go together.
fn check(work: &Work<'_>, shape: Shape, reads_mask: bool) -> Result<()> {
    let options = work.options;
    let channels = work.vae.latent_channels();
    if work.scheduler.kind() == SchedulerKind::FlowMatchEuler {
        let reason = "FlowMatchEulerDiscreteScheduler is for FLUX, not for Stable Diffusion";
        return Err(Error::option("scheduler", reason));
    }
    if shape.unet_channels != channels && !reads_mask {
        let found = shape.unet_channels;
        return Err(Error::unsupported(format!(
            "a UNet that reads {found} channels beside latents of {channels}"
        )));
    }
    match (&options.image, &options.mask_image) {
        (None, Some(_)) => Err(Error::option("mask_image", "there is no `image` that it masks")),
        (_, None) if reads_mask => {
            Err(Error::option("mask_image", "the model paints parts of pictures, and needs one"))
        }
        (Some(image), Some(mask)) if (image.width, image.height) != (mask.width, mask.height) => {
            let reason = format!(
                "it has {} by {} pixels, and the picture {} by {}",
                mask.width, mask.height, image.width, image.height
            );
            Err(Error::option("mask_image", reason))
        }
        _ => Ok(()),
    }
}

/// The picture, resized where it has another size.
fn sized(image: &Image, [height, width]: [usize; 2]) -> Result<Cow<'_, Image>> {
    match (image.height, image.width) == (height, width) {
        true => Ok(Cow::Borrowed(image)),
        false => Ok(Cow::Owned(resize(image, width, height, ResizeFilter::Lanczos)?)),
    }
}

/// Latents of a picture, drawn from what the encoder finds likely, `(1, channels, height, width)`.
fn encoded(work: &Work<'_>, picture: &Tensor, generator: &mut Generator) -> Result<Tensor> {
    let (factor, _) = work.vae.factors();
    let latents = match work.vae {
        Vae::Tiny(vae) => vae.encode(picture)?,
        Vae::Kl(vae) => {
            let both = vae.encode(picture, work.options.vae_tiling == Some(true))?;
            let channels = vae.config().latent_channels;
            let mean = both.narrow(0, 0, channels)?;
            let log = both.narrow(0, channels, channels)?.clamp(-30.0, 20.0)?;
            let deviation = (log * 0.5)?.exp()?;
            let noise = generator.randn_tensor(mean.shape(), DType::F32, work.device)?;
            (mean + (deviation * noise)?)?
        }
    };
    Ok((latents * factor)?.unsqueeze(0)?)
}

/// Whether each pixel is painted anew: those that are light.
fn is_painted(mask: &Image) -> impl Iterator<Item = bool> {
    mask.rgb.as_chunks::<3>().0.iter().map(|&[red, green, blue]| {
        // As Pillow makes grey of colours.
        let grey = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
        (grey + 0x8000) >> 16 >= 128
    })
}

/// The latents of the picture with grey where it is painted anew.
fn rest(
    work: &Work<'_>,
    picture: &Image,
    mask: &Image,
    generator: &mut Generator,
) -> Result<Tensor> {
    let kept: Vec<f32> = is_painted(mask).map(|painted| f32::from(u8::from(!painted))).collect();
    let kept = Tensor::from_vec(kept, (1, mask.height, mask.width), work.device)?;
    encoded(work, &pixels(picture, work.device)?.broadcast_mul(&kept)?, generator)
}

/// The mask of latent pixels, each being one that lies in it.
fn small_mask(mask: &Image, [height, width]: [usize; 2], work: &Work<'_>) -> Result<Tensor> {
    let painted: Vec<bool> = is_painted(mask).collect();
    let scale = work.vae.scale();
    let number =
        |y: usize, x: usize| f32::from(u8::from(painted[y * scale * mask.width + x * scale]));
    let numbers: Vec<f32> = (0..height)
        .flat_map(|y| (0..width).map(move |x| (y, x)))
        .map(|(y, x)| number(y, x))
        .collect();
    Ok(Tensor::from_vec(numbers, (1, 1, height, width), work.device)?)
}
