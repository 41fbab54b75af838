//! What a picture of Stable Diffusion begins with: noise, another picture, or one with a part to be painted anew.

use candle_core::{DType, Tensor};

use crate::diffusion::picture::{Inpaint, Kept, check_mask, encoded, rest, sized, small_mask};
use crate::diffusion::schedulers::{Run, SchedulerKind};
use crate::diffusion::work::{Work, pixels};
use crate::error::{Error, Result};
use crate::random::Generator;

/// What the steps begin with.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) run: Run,
    /// `(pictures, channels, height, width)`.
    pub(super) latents: Tensor,
    pub(super) inpaint: Option<Inpaint>,
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
        let default = if shape.is_lcm { 4 } else { 50 };
        let mut steps = work.steps_of(default);
        let count = steps.count;
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
    if reads_mask && options.mask_image.is_none() {
        let reason = "the model paints parts of pictures, and needs one";
        return Err(Error::option("mask_image", reason));
    }
    check_mask(options)
}
