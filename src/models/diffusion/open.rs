//! Parts of a folder that diffusers wrote.

use candle_core::{Device, Tensor};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::models::diffusion::flux::{FluxConfig, FluxTransformer};
use crate::models::diffusion::tiny_vae::{AutoencoderTiny, TinyVaeConfig};
use crate::models::diffusion::unet::UNet;
use crate::models::diffusion::unet_config::UNetConfig;
use crate::models::diffusion::vae::{AutoencoderKl, VaeConfig};
use crate::models::traits::Model;
use crate::options::LoadOptions;
use crate::source::{ModelFiles, json};
use crate::weights::{Inventory, NameTable, Weights};

/// What the files of weights are called.
const STEM: &str = "diffusion_pytorch_model";

/// Reads the UNet of a folder.
///
/// # Errors
///
/// When a file is missing or broken, or the model is of another kind.
pub fn open_unet(files: &ModelFiles, options: &LoadOptions) -> Result<UNet> {
    let config = UNetConfig::read(files)?;
    UNet::load(config, &weights(files, options)?, options)
}

/// Reads the transformer of FLUX of a folder.
///
/// # Errors
///
/// As [`open_unet`].
pub fn open_flux(files: &ModelFiles, options: &LoadOptions) -> Result<FluxTransformer> {
    let config: FluxConfig =
        json::read_fields(&files.required("config.json", "the model's sizes")?)?;
    FluxTransformer::load(config, &weights(files, options)?, options)
}

/// Reads the autoencoder of a folder.
///
/// # Errors
///
/// As [`open_unet`].
pub fn open_vae(files: &ModelFiles, options: &LoadOptions) -> Result<Vae> {
    #[derive(Deserialize)]
    struct Class {
        #[serde(rename = "_class_name", default)]
        name: String,
    }
    let path = files.required("config.json", "the autoencoder's sizes")?;
    let Class { name } = json::read_fields(&path)?;
    let weights = weights(files, options)?;
    match name.as_str() {
        "AutoencoderTiny" => {
            let config: TinyVaeConfig = json::read_fields(&path)?;
            Ok(Vae::Tiny(AutoencoderTiny::load(config, &weights, options)?))
        }
        "AutoencoderKL" | "" => {
            let config: VaeConfig = json::read_fields(&path)?;
            Ok(Vae::Kl(AutoencoderKl::load(config, &weights, options)?))
        }
        other => Err(Error::unsupported(format!("{}: the autoencoder {other:?}", path.display()))),
    }
}

/// The weights of a folder, whole or in shards, in full precision or as the variant fp16.
fn weights(files: &ModelFiles, options: &LoadOptions) -> Result<Weights> {
    let fp16 = format!("{STEM}.fp16");
    let is_there = |name: String| Ok::<_, Error>(files.optional(&name)?.is_some());
    let whole = is_there(format!("{STEM}.safetensors"))?
        || is_there(format!("{STEM}.safetensors.index.json"))?
        || is_there(format!("{STEM}.bin"))?;
    let is_variant = !whole && is_there(format!("{fp16}.safetensors"))?;
    let stem = if is_variant { &fp16 } else { STEM };
    Weights::open_stem(files, stem, NameTable::stored_names(), options)
}

/// An autoencoder of either kind.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each pipeline")]
#[non_exhaustive]
pub enum Vae {
    /// `AutoencoderKL`.
    Kl(AutoencoderKl),
    /// `AutoencoderTiny`.
    Tiny(AutoencoderTiny),
}

impl Vae {
    /// How many pixels a side of a latent pixel is.
    #[must_use]
    pub fn scale(&self) -> usize {
        match self {
            Self::Kl(vae) => vae.config().scale(),
            Self::Tiny(vae) => vae.scale(),
        }
    }

    /// Channels of the latents.
    #[must_use]
    pub fn latent_channels(&self) -> usize {
        match self {
            Self::Kl(vae) => vae.config().latent_channels,
            Self::Tiny(vae) => vae.config().latent_channels,
        }
    }

    /// The picture of latents as a sampler leaves them, `(3, height, width)` of about -1 to 1.
    ///
    /// # Errors
    ///
    /// When the latents have another shape.
    pub fn decode_scaled(&self, latents: &Tensor, tiled: bool) -> Result<Tensor> {
        let (factor, shift) = self.factors();
        let latents = ((latents / factor)? + shift)?;
        match self {
            Self::Kl(vae) => vae.decode(&latents, tiled),
            Self::Tiny(vae) => vae.decode(&latents),
        }
    }

    /// The scaling factor and the shift of latents.
    #[must_use]
    pub fn factors(&self) -> (f64, f64) {
        match self {
            Self::Kl(vae) => {
                (vae.config().scaling_factor, vae.config().shift_factor.unwrap_or(0.0))
            }
            Self::Tiny(vae) => (vae.config().scaling_factor, vae.config().shift_factor),
        }
    }
}

impl Model for Vae {
    fn device(&self) -> &Device {
        match self {
            Self::Kl(vae) => vae.device(),
            Self::Tiny(vae) => vae.device(),
        }
    }

    fn inventory(&self) -> &Inventory {
        match self {
            Self::Kl(vae) => vae.inventory(),
            Self::Tiny(vae) => vae.inventory(),
        }
    }
}
