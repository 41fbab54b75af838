//! Pictures that painting begins with, as latents, and parts of them that stay.

use std::borrow::Cow;

use candle_core::{DType, Tensor};

use crate::diffusion::options::PaintOptions;
use crate::diffusion::schedulers::Run;
use crate::diffusion::work::{Work, pixels};
use crate::error::{Error, Result};
use crate::image::{ResizeFilter, resize};
use crate::media::Image;
use crate::models::diffusion::Vae;
use crate::random::Generator;

/// A picture of which a part is painted anew.
#[derive(Debug)]
pub(super) struct Inpaint {
    /// 1 where the picture is painted anew, `(1, 1, height, width)`.
    pub(super) mask: Tensor,
    pub(super) kept: Kept,
}

/// How the rest of the picture stays.
#[derive(Debug)]
pub(super) enum Kept {
    /// The UNet reads the mask and the latents of the rest, `(1, channels, height, width)`.
    Read(Tensor),
    /// It is put back after each step: the picture's latents and the noise.
    PutBack { latents: Tensor, noise: Tensor },
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

/// Refuses a mask of no picture, or of another size.
pub(super) fn check_mask(options: &PaintOptions) -> Result<()> {
    match (&options.image, &options.mask_image) {
        (None, Some(_)) => Err(Error::option("mask_image", "there is no `image` that it masks")),
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
pub(super) fn sized(image: &Image, [height, width]: [usize; 2]) -> Result<Cow<'_, Image>> {
    match (image.height, image.width) == (height, width) {
        true => Ok(Cow::Borrowed(image)),
        false => Ok(Cow::Owned(resize(image, width, height, ResizeFilter::Lanczos)?)),
    }
}

/// Latents of a picture, drawn from what the encoder finds likely, `(1, channels, height, width)`.
pub(super) fn encoded(
    work: &Work<'_>,
    picture: &Tensor,
    generator: &mut Generator,
) -> Result<Tensor> {
    let (factor, shift) = work.vae.factors();
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
    Ok(((latents - shift)? * factor)?.unsqueeze(0)?)
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
pub(super) fn rest(
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
pub(super) fn small_mask(
    mask: &Image,
    [height, width]: [usize; 2],
    work: &Work<'_>,
) -> Result<Tensor> {
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
