//! From pictures to latents and back: `AutoencoderKL` of diffusers.

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::models::diffusion::attention::PictureAttention;
use crate::models::diffusion::layers::{Groups, Last, Resnet, three};
use crate::models::diffusion::tiles::{Tiles, in_tiles};
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::nn::convolution2d::{Convolution2d, SquareConfig};
use crate::nn::picture::Picture;
use crate::options::LoadOptions;
use crate::weights::{Bias, Inventory, Weights};

/// An autoencoder: Stable Diffusion's and FLUX's.
#[derive(Debug)]
pub struct AutoencoderKl {
    config: VaeConfig,
    device: Device,
    compute: DType,
    encoder: Option<Half>,
    decoder: Half,
    after_encoder: Option<Convolution2d>,
    before_decoder: Option<Convolution2d>,
    inventory: Inventory,
    threads: Threads,
}

/// The sizes of an [`AutoencoderKl`], by the names and with the defaults of diffusers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct VaeConfig {
    /// Channels of a picture.
    pub in_channels: usize,
    /// Channels of a decoded picture.
    pub out_channels: usize,
    /// Kinds of the encoder's blocks; `DownEncoderBlock2D` is the only one.
    pub down_block_types: Vec<String>,
    /// Kinds of the decoder's blocks; `UpDecoderBlock2D` is the only one.
    pub up_block_types: Vec<String>,
    /// Channels at each resolution, the finest first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of each.
    pub layers_per_block: usize,
    /// `silu`.
    pub act_fn: String,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Groups of every norm.
    pub norm_num_groups: usize,
    /// Pixels of a side of the pictures it was trained with; tiles are as large.
    pub sample_size: usize,
    /// Multiplies latents before they are noised.
    pub scaling_factor: f64,
    /// Subtracted before that: FLUX.
    pub shift_factor: Option<f64>,
    /// Whether there is a convolution behind the encoder.
    pub use_quant_conv: bool,
    /// Whether there is a convolution before the decoder.
    pub use_post_quant_conv: bool,
    /// Whether there is attention in the middle.
    pub mid_block_add_attention: bool,
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            down_block_types: vec!["DownEncoderBlock2D".to_owned()],
            up_block_types: vec!["UpDecoderBlock2D".to_owned()],
            block_out_channels: vec![64],
            layers_per_block: 1,
            act_fn: "silu".to_owned(),
            latent_channels: 4,
            norm_num_groups: 32,
            sample_size: 32,
            scaling_factor: 0.18215,
            shift_factor: None,
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: true,
        }
    }
}

impl VaeConfig {
    /// How many pixels a side of a latent pixel is.
    #[must_use]
    pub fn scale(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1).min(16)
    }

    fn check(&self) -> Result<()> {
        if self.layers_per_block == 0 {
            return Err(Error::unsupported("`layers_per_block` is 0; it should be at least 1"));
        }
        let all = |types: &[String], known: &str| types.iter().all(|kind| kind == known);
        let is_known = all(&self.down_block_types, "DownEncoderBlock2D")
            && all(&self.up_block_types, "UpDecoderBlock2D")
            && self.act_fn == "silu"
            && !self.block_out_channels.is_empty();
        match is_known {
            true => Ok(()),
            false => Err(Error::unsupported(format!("an autoencoder of {self:?}"))),
        }
    }
}

/// The encoder or the decoder.
#[derive(Debug, Clone)]
struct Half {
    first: Convolution2d,
    /// Before the middle in the encoder, after it in the decoder.
    stages: Vec<(Vec<Resnet>, Option<Convolution2d>)>,
    middle: (Resnet, Option<PictureAttention>, Resnet),
    last: Last,
}

const EPS: f64 = 1e-6;

impl AutoencoderKl {
    /// Reads the model from weights with diffusers' names. A checkpoint may hold the decoder alone.
    pub(crate) fn load(
        config: VaeConfig,
        weights: &Weights,
        options: &LoadOptions,
    ) -> Result<Self> {
        config.check()?;
        let latents = config.latent_channels;
        let one = |name: &str, channels| {
            let one = SquareConfig::ONE;
            Convolution2d::load(weights, name, [channels, channels], one, Bias::Present)
        };
        let has_encoder = weights.contains("encoder.conv_in");
        Ok(Self {
            encoder: match has_encoder {
                true => Some(Half::encoder(&config, &weights.scope("encoder"))?),
                false => None,
            },
            decoder: Half::decoder(&config, &weights.scope("decoder"))?,
            after_encoder: match config.use_quant_conv && has_encoder {
                true => Some(one("quant_conv", 2 * latents)?),
                false => None,
            },
            before_decoder: match config.use_post_quant_conv {
                true => Some(one("post_quant_conv", latents)?),
                false => None,
            },
            device: weights.device().clone(),
            compute: weights.dtype(),
            inventory: weights.inventory(),
            threads: Threads::new(options.threads)?,
            config,
        })
    }

    /// The sizes of the model.
    #[must_use]
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// The mean and the logarithm of the variance of a picture's latents, `(2 * channels, height, width)` in f32, of
    /// a picture `(3, height, width)` of numbers from -1 to 1. With `tiled`, large pictures are encoded in parts
    /// that overlap, as `enable_tiling` of diffusers does.
    ///
    /// # Errors
    ///
    /// When the checkpoint holds no encoder, or the picture has another shape.
    pub fn encode(&self, picture: &Tensor, tiled: bool) -> Result<Tensor> {
        let encoder = self.encoder.as_ref();
        let encoder = encoder.ok_or_else(|| Error::input("the checkpoint holds no encoder"))?;
        let one = |picture: Picture| -> Result<Picture> {
            let mut x = encoder.first.forward(&picture)?;
            for (resnets, sampler) in &encoder.stages {
                for resnet in resnets {
                    x = resnet.forward(&x, None)?;
                }
                if let Some(sampler) = sampler {
                    x = sampler.forward(&x)?;
                }
            }
            let x = encoder.last.forward(&encoder.middle(&x)?)?;
            match &self.after_encoder {
                Some(convolution) => convolution.forward(&x),
                None => Ok(x),
            }
        };
        let tiles = Tiles::of_encoder(self.latent_tile(), self.config.scale());
        self.run(picture, self.config.in_channels, tiled.then_some(tiles), one)
    }

    /// The picture of latents, `(3, height, width)` in f32, of about -1 to 1. The latents are divided by the
    /// scaling factor before.
    ///
    /// # Errors
    ///
    /// When the latents have another shape.
    pub fn decode(&self, latents: &Tensor, tiled: bool) -> Result<Tensor> {
        let decoder = &self.decoder;
        let one = |latents: Picture| -> Result<Picture> {
            let latents = match &self.before_decoder {
                Some(convolution) => convolution.forward(&latents)?,
                None => latents,
            };
            let mut x = decoder.middle(&decoder.first.forward(&latents)?)?;
            for (resnets, sampler) in &decoder.stages {
                for resnet in resnets {
                    x = resnet.forward(&x, None)?;
                }
                if let Some(sampler) = sampler {
                    x = sampler.forward(&x.resized(2 * x.height, 2 * x.width)?)?;
                }
            }
            decoder.last.forward(&x)
        };
        let tiles = Tiles::of_decoder(self.latent_tile(), self.config.scale());
        self.run(latents, self.config.latent_channels, tiled.then_some(tiles), one)
    }

    /// Latent pixels of a side of a tile.
    fn latent_tile(&self) -> usize {
        (self.config.sample_size / self.config.scale()).max(1)
    }

    fn run(
        &self,
        x: &Tensor,
        channels: usize,
        tiles: Option<Tiles>,
        work: impl Fn(Picture) -> Result<Picture> + Send + Sync,
    ) -> Result<Tensor> {
        let (found, _, _) = x.dims3()?;
        if found != channels {
            let reason = format!("{found} channels for an autoencoder that reads {channels}");
            return Err(Error::input(reason));
        }
        self.threads.run_on(&self.device, || {
            let x = Picture::from_channels(&x.to_device(&self.device)?.to_dtype(self.compute)?)?;
            let y = match tiles {
                Some(tiles) if tiles.apply(&x) => in_tiles(&x, tiles, work)?,
                _ => work(x)?,
            };
            Ok(y.to_channels()?.to_dtype(DType::F32)?)
        })
    }
}

impl Half {
    fn encoder(config: &VaeConfig, weights: &Weights) -> Result<Self> {
        let channels = &config.block_out_channels;
        let groups = Groups { count: config.norm_num_groups, eps: EPS };
        let (first, last) = (channels[0], channels[channels.len() - 1]);
        let mut inputs = first;
        let mut stages = Vec::with_capacity(channels.len());
        for (number, &outputs) in channels.iter().enumerate() {
            let scope = weights.scope("down_blocks").scope(number);
            let resnets = resnets(&scope, [inputs, outputs], config.layers_per_block, groups)?;
            let sampler = match number + 1 < channels.len() {
                true => Some(Convolution2d::load(
                    &scope,
                    "downsamplers.0.conv",
                    [outputs, outputs],
                    SquareConfig::HALVING_RIGHT,
                    Bias::Present,
                )?),
                false => None,
            };
            stages.push((resnets, sampler));
            inputs = outputs;
        }
        Ok(Self {
            first: three(weights, "conv_in", [config.in_channels, first])?,
            stages,
            middle: middle(config, weights, last)?,
            last: Last::load(weights, [last, 2 * config.latent_channels], groups)?,
        })
    }

    fn decoder(config: &VaeConfig, weights: &Weights) -> Result<Self> {
        let channels = &config.block_out_channels;
        let groups = Groups { count: config.norm_num_groups, eps: EPS };
        let (finest, coarsest) = (channels[0], channels[channels.len() - 1]);
        let mut inputs = coarsest;
        let mut stages = Vec::with_capacity(channels.len());
        for (number, &outputs) in channels.iter().rev().enumerate() {
            let scope = weights.scope("up_blocks").scope(number);
            let resnets = resnets(&scope, [inputs, outputs], config.layers_per_block + 1, groups)?;
            let sampler = match number + 1 < channels.len() {
                true => Some(three(&scope, "upsamplers.0.conv", [outputs, outputs])?),
                false => None,
            };
            stages.push((resnets, sampler));
            inputs = outputs;
        }
        Ok(Self {
            first: three(weights, "conv_in", [config.latent_channels, coarsest])?,
            stages,
            middle: middle(config, weights, coarsest)?,
            last: Last::load(weights, [finest, config.out_channels], groups)?,
        })
    }

    fn middle(&self, picture: &Picture) -> Result<Picture> {
        let (first, attention, second) = &self.middle;
        let mut x = first.forward(picture, None)?;
        if let Some(attention) = attention {
            x = attention.forward(&x)?;
        }
        second.forward(&x, None)
    }
}

fn resnets(
    weights: &Weights,
    [inputs, outputs]: [usize; 2],
    count: usize,
    groups: Groups,
) -> Result<Vec<Resnet>> {
    let resnet = |number: usize| {
        let channels = [if number == 0 { inputs } else { outputs }, outputs];
        Resnet::load(&weights.scope("resnets").scope(number), channels, None, groups)
    };
    (0..count).map(resnet).collect()
}

fn middle(
    config: &VaeConfig,
    weights: &Weights,
    channels: usize,
) -> Result<(Resnet, Option<PictureAttention>, Resnet)> {
    let scope = weights.scope("mid_block");
    let groups = Groups { count: config.norm_num_groups, eps: EPS };
    let mut resnets = resnets(&scope, [channels, channels], 2, groups)?;
    let attention = match config.mid_block_add_attention {
        true => {
            let scope = scope.scope("attentions").scope(0);
            Some(PictureAttention::load(&scope, channels, config.norm_num_groups)?)
        }
        false => None,
    };
    match (resnets.pop(), resnets.pop()) {
        (Some(second), Some(first)) => Ok((first, attention, second)),
        _ => Err(Error::unsupported("an autoencoder without a middle")),
    }
}

impl Model for AutoencoderKl {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}
