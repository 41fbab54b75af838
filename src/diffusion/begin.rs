//! What a picture of Stable Diffusion begins with: noise, another picture, or one with a part to be painted anew.

use candle_core::{DType, Tensor};

use crate::diffusion::options::PaintOptions;
use crate::diffusion::picture::{
    Inpaint, Kept, check_mask, is_given, of_picture, rest, sized, small_mask,
};
use crate::diffusion::schedulers::{Run, SchedulerKind, Steps};
use crate::diffusion::work::Work;
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
        let steps = work.steps_of(default);
        let channels = work.vae.latent_channels();
        let [height, width] = shape.size;
        let pictures = work.count()?;
        let latents = (pictures, channels, height, width);
        let reads_mask = shape.unet_channels == 2 * channels + 1;
        let noise =
            |generator: &mut Generator| generator.randn_tensor(latents, DType::F32, work.device);
        check(work, shape, reads_mask)?;
        if !is_given(options) {
            let run = ended(work, work.scheduler.run(&steps)?)?;
            let latents = (noise(generator)? * f64::from(run.init_noise_sigma()))?;
            return Ok(Self { run, latents, inpaint: None });
        }
        let scale = work.vae.scale();
        let pixels_wanted = [height * scale, width * scale];
        let picture =
            options.image.as_ref().map(|picture| sized(picture, pixels_wanted)).transpose()?;
        let mask = options.mask_image.as_ref();
        let mask = mask.map(|mask| sized(mask, pixels_wanted)).transpose()?;
        let strength = strength(options, shape)?;
        let run = ended(work, begun(work, steps, strength, shape)?)?;
        let is_noisy = options.denoising_start.is_some();
        let from_noise = options.mask_image.is_some() && strength == 1.0 && !is_noisy;
        let of_picture = match from_noise && reads_mask {
            true => None,
            false => Some(of_picture(work, picture.as_deref(), pictures, generator)?),
        };
        let noise = match is_noisy && mask.is_none() {
            true => None,
            false => Some(noise(generator)?),
        };
        let latents = match (&of_picture, &noise) {
            (Some(of_picture), _) if is_noisy => of_picture.clone(),
            (Some(of_picture), Some(noise)) if !from_noise => run.add_noise(of_picture, noise)?,
            (_, Some(noise)) => (noise * f64::from(run.init_noise_sigma()))?,
            (_, None) => return Err(Error::input("there is no picture to begin with")),
        };
        let inpaint = match (mask.as_deref(), noise) {
            (Some(mask), Some(noise)) => Some(Inpaint {
                kept: match (reads_mask, of_picture, picture.as_deref()) {
                    (false, Some(latents), _) => Kept::PutBack { latents, noise },
                    (_, _, Some(picture)) => Kept::Read(rest(work, picture, mask, generator)?),
                    (_, _, None) => {
                        let reason = "the model reads the rest of a picture: name it by `image`";
                        return Err(Error::option("image_latents", reason));
                    }
                },
                mask: small_mask(mask, shape.size, work)?,
            }),
            _ => None,
        };
        Ok(Self { run, latents, inpaint })
    }
}

/// How much of the picture is painted anew.
fn strength(options: &PaintOptions, shape: Shape) -> Result<f64> {
    let default = match (&options.mask_image, shape.is_xl) {
        (Some(_), false) => 1.0,
        (Some(_), true) => 0.9999,
        (None, false) => 0.8,
        (None, true) => 0.3,
    };
    match options.strength {
        Some(_) if options.denoising_start.is_some() => {
            let reason = "`denoising_start` says where the steps begin";
            Err(Error::option("strength", reason))
        }
        strength => Ok(strength.unwrap_or(default)),
    }
}

/// The steps of a picture, from the one that it is as noisy as on.
fn begun(work: &Work<'_>, mut steps: Steps, strength: f64, shape: Shape) -> Result<Run> {
    let count = steps.count;
    if let Some(start) = work.options.denoising_start {
        let run = work.scheduler.run(&steps)?;
        let cutoff = cutoff(work, start);
        let later = run.timesteps().iter().filter(|&&step| f64::from(step) < cutoff).count();
        // Not between the two calls of a step.
        let later = later + usize::from(run.order() == 2 && later.is_multiple_of(2));
        if later == 0 {
            let reason = format!("{start} of {count} steps leaves none");
            return Err(Error::option("denoising_start", reason));
        }
        let all = run.timesteps().len();
        return Ok(run.begin_at(all.saturating_sub(later)));
    }
    if shape.is_lcm {
        // Their pipeline takes all steps, of a grid that ends at the strength.
        steps.strength = strength;
        return work.scheduler.run(&steps);
    }
    let kept = ((count as f64 * strength) as usize).min(count);
    if kept == 0 {
        let reason = format!("{strength} of {count} steps leaves none");
        return Err(Error::option("strength", reason));
    }
    let run = work.scheduler.run(&steps)?;
    let all = run.timesteps().len();
    let order = run.order();
    Ok(run.begin_at(((count - kept) * order).min(all)))
}

/// Without the steps that a refiner takes.
fn ended(work: &Work<'_>, run: Run) -> Result<Run> {
    let Some(end) = work.options.denoising_end else { return Ok(run) };
    let cutoff = cutoff(work, end);
    let first = run.position();
    let steps = run.timesteps().get(first..).unwrap_or_default();
    let earlier = steps.iter().filter(|&&step| f64::from(step) >= cutoff).count();
    if earlier == 0 {
        let reason = format!("{end} leaves no step");
        return Err(Error::option("denoising_end", reason));
    }
    Ok(run.end_at(first + earlier))
}

/// The step of the training at which such a share of the noise is gone.
fn cutoff(work: &Work<'_>, share: f64) -> f64 {
    let most = work.scheduler.num_train_timesteps() as f64;
    (most - share * most).round_ties_even()
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
    for (name, share) in
        [("denoising_start", options.denoising_start), ("denoising_end", options.denoising_end)]
    {
        if let Some(share) = share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
            return Err(Error::option(name, format!("{share} is not between 0 and 1")));
        }
    }
    match (options.denoising_start, options.denoising_end) {
        (Some(start), Some(end)) if start >= end => {
            let reason = format!("{end} is not above `denoising_start`, which is {start}");
            return Err(Error::option("denoising_end", reason));
        }
        (Some(_), _) if !is_given(options) => {
            let reason = "there is neither `image_latents` nor an `image` to go on with";
            return Err(Error::option("denoising_start", reason));
        }
        _ => {}
    }
    check_mask(work)
}
