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
    /// It is put back after each step: the picture's latents and the noise, `(pictures, channels, height, width)`.
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
        let rest = match run.position() < run.end() {
            true => run.add_noise(picture, noise)?,
            false => picture.clone(),
        };
        let painted = latents.broadcast_mul(&self.mask)?;
        Ok((painted + rest.broadcast_mul(&(1.0 - &self.mask)?)?)?)
    }
}

/// Whether there is a picture to begin with, or its latents.
pub(super) fn is_given(options: &PaintOptions) -> bool {
    options.image.is_some() || options.image_latents.is_some()
}

/// Refuses a mask of no picture, or of another size, and latents that are none.
pub(super) fn check_mask(work: &Work<'_>) -> Result<()> {
    let options = work.options;
    if options.image.is_some() && options.image_latents.is_some() {
        let reason = "there is an `image`, too, and a picture begins with one of them";
        return Err(Error::option("image_latents", reason));
    }
    let of_latents = size_of_latents(work)?;
    let size = options.image.as_ref().map(|image| [image.height, image.width]).or(of_latents);
    match (size, &options.mask_image) {
        (None, Some(_)) => Err(Error::option("mask_image", "there is no `image` that it masks")),
        (Some([height, width]), Some(mask)) if [height, width] != [mask.height, mask.width] => {
            let reason = format!(
                "it has {} by {} pixels, and the picture {width} by {height}",
                mask.width, mask.height
            );
            Err(Error::option("mask_image", reason))
        }
        _ => Ok(()),
    }
}

/// The pixels of a column and of a row of the picture whose latents are given.
pub(super) fn size_of_latents(work: &Work<'_>) -> Result<Option<[usize; 2]>> {
    let options = work.options;
    let Some(latents) = &options.image_latents else { return Ok(None) };
    let channels = work.vae.latent_channels();
    let size = match *latents.dims() {
        [count, found, height, width]
            if found == channels && [count, height, width].iter().all(|&side| side > 0) =>
        {
            [height, width].map(|side| side.saturating_mul(work.vae.scale()))
        }
        _ => {
            let reason = format!(
                "it is {:?}; latents of this model are (pictures, {channels}, height, width)",
                latents.dims()
            );
            return Err(Error::option("image_latents", reason));
        }
    };
    for (name, given, side) in
        [("height", options.height, size[0]), ("width", options.width, size[1])]
    {
        if let Some(given) = given.filter(|given| *given != side) {
            let reason = format!("{given} pixels; `image_latents` are a picture of {side}");
            return Err(Error::option(name, reason));
        }
    }
    Ok(Some(size))
}

/// The latents of the picture to begin with, for each of so many pictures: given, or of the picture itself.
pub(super) fn of_picture(
    work: &Work<'_>,
    picture: Option<&Image>,
    pictures: usize,
    generator: &mut Generator,
) -> Result<Tensor> {
    let latents = match (&work.options.image_latents, picture) {
        (Some(latents), _) => latents.to_device(work.device)?.to_dtype(DType::F32)?,
        (None, Some(picture)) => encoded(work, &pixels(picture, work.device)?, generator)?,
        (None, None) => return Err(Error::option("image", "there is no picture to begin with")),
    };
    match latents.dim(0)? {
        count if pictures.is_multiple_of(count) => {
            Ok(latents.repeat((pictures / count, 1, 1, 1))?)
        }
        count => {
            let reason = format!("latents of {count} pictures for {pictures} pictures");
            Err(Error::option("image_latents", reason))
        }
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
fn encoded(work: &Work<'_>, picture: &Tensor, generator: &mut Generator) -> Result<Tensor> {
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
