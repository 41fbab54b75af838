//! Parts of a folder that diffusers wrote.

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::models::diffusion::flux::{FluxConfig, FluxTransformer};
use crate::models::diffusion::layouts;
use crate::models::diffusion::tiny_vae::{AutoencoderTiny, TinyVaeConfig};
use crate::models::diffusion::unet::UNet;
use crate::models::diffusion::unet_config::UNetConfig;
use crate::models::diffusion::vae::{AutoencoderKl, VaeConfig};
use crate::models::traits::Model;
use crate::options::{LoadOptions, ModelPart};
use crate::source::ModelFiles;
use crate::source::json::fields_of;
use crate::weights::layout::Layout;
use crate::weights::{Inventory, NameTable, Weights, check_adapters};

/// What the files of weights are called.
const STEM: &str = "diffusion_pytorch_model";

/// The parts that an adapter of a UNet may be for.
const UNET: ModelPart =
    ModelPart { name: "unet", all: &["unet", "text_encoder", "text_encoder_2"] };
/// And of the transformer of FLUX.
const TRANSFORMER: ModelPart =
    ModelPart { name: "transformer", all: &["transformer", "text_encoder", "text_encoder_2"] };

/// The options for a part, unless they are already.
fn in_part(options: &LoadOptions, part: ModelPart) -> LoadOptions {
    options.for_part(options.part.unwrap_or(part))
}

/// Reads the UNet of a folder, or of a file with a whole Stable Diffusion.
///
/// # Errors
///
/// When a file is missing or broken, or the model is of another kind.
pub fn open_unet(files: &ModelFiles, options: &LoadOptions) -> Result<UNet> {
    let options = &in_part(options, UNET);
    let config = UNetConfig::read(files)?;
    let layout = |prefix: &str| layouts::unet(&config, prefix);
    let unet = weights(files, UNET_PREFIXES, layout, options)?.with_layout(layout(""));
    let unet = UNet::load(config, &unet, options)?;
    check_adapters(unet.inventory())?;
    Ok(unet)
}

/// Reads the transformer of FLUX of a folder, or of a file, which may be GGUF.
///
/// # Errors
///
/// As [`open_unet`].
pub fn open_flux(files: &ModelFiles, options: &LoadOptions) -> Result<FluxTransformer> {
    let options = &in_part(options, TRANSFORMER);
    let (config, _) = files.required_json::<FluxConfig>("config.json", "the model's sizes")?;
    let layout = |prefix: &str| layouts::flux(&config, prefix);
    let weights = weights(files, FLUX_PREFIXES, layout, options)?.with_layout(layout(""));
    let transformer = FluxTransformer::load(config, &weights, options)?;
    check_adapters(transformer.inventory())?;
    Ok(transformer)
}

/// Reads the autoencoder of a folder, or of a file.
///
/// # Errors
///
/// As [`open_unet`].
pub fn open_vae(files: &ModelFiles, options: &LoadOptions) -> Result<Vae> {
    let options = &options.without_adapters();
    let (fields, path) = files.required_map("config.json", "the autoencoder's sizes")?;
    let class = fields.get("_class_name").and_then(Value::as_str).unwrap_or_default().to_owned();
    match class.as_str() {
        "AutoencoderTiny" => {
            let config: TinyVaeConfig = fields_of(&fields, &path)?;
            let weights = weights(files, (&[], ""), |_| Layout::default(), options)?;
            Ok(Vae::Tiny(AutoencoderTiny::load(config, &weights, options)?))
        }
        "AutoencoderKL" | "" => {
            let config: VaeConfig = fields_of(&fields, &path)?;
            let layout = |prefix: &str| layouts::vae(&config, prefix);
            let weights = weights(files, VAE_PREFIXES, layout, options)?;
            Ok(Vae::Kl(AutoencoderKl::load(config, &weights, options)?))
        }
        other => Err(Error::unsupported(format!(
            "{}: an autoencoder {other:?}; AutoencoderKL and AutoencoderTiny are supported",
            path.display()
        ))),
    }
}

/// How the names of a part begin in the files of its makers, and one of the names.
type Prefixes<'a> = (&'a [&'a str], &'a str);

const UNET_PREFIXES: Prefixes<'static> = (
    &["model.diffusion_model.", "state_dict.model.diffusion_model.", "diffusion_model.", ""],
    "input_blocks.0.0.weight",
);
const FLUX_PREFIXES: Prefixes<'static> =
    (&["", "model.diffusion_model.", "diffusion_model."], "img_in.weight");
const VAE_PREFIXES: Prefixes<'static> = (
    &["first_stage_model.", "state_dict.first_stage_model.", "vae.", ""],
    "encoder.mid.block_1.conv1.weight",
);

/// The weights of a part: of a folder, by diffusers' names; of a file, by its makers' or diffusers'.
fn weights(
    files: &ModelFiles,
    prefixes: Prefixes<'_>,
    layout: impl FnOnce(&str) -> Layout,
    options: &LoadOptions,
) -> Result<Weights> {
    let names = NameTable::stored_names();
    if files.is_single() {
        return match Weights::open_moved(files, prefixes, layout, names, options)? {
            Some(weights) => Ok(weights),
            None => Weights::open(files, names, options),
        };
    }
    let fp16 = format!("{STEM}.fp16");
    let is_there = |name: String| Ok::<_, Error>(files.optional(&name)?.is_some());
    let whole = is_there(format!("{STEM}.safetensors"))?
        || is_there(format!("{STEM}.safetensors.index.json"))?
        || is_there(format!("{STEM}.bin"))?;
    let is_variant = !whole && is_there(format!("{fp16}.safetensors"))?;
    let stem = if is_variant { &fp16 } else { STEM };
    Weights::open_stem(files, stem, names, options)
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
