//! A small autoencoder: `AutoencoderTiny` of diffusers (TAESD), for previews and where memory is short.

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::nn::activation::Activation;
use crate::nn::convolution2d::{Convolution2d, SquareConfig};
use crate::nn::picture::Picture;
use crate::options::LoadOptions;
use crate::weights::{Bias, Inventory, Weights};

/// A small autoencoder without norms and attention.
#[derive(Debug)]
pub struct AutoencoderTiny {
    config: TinyVaeConfig,
    device: Device,
    compute: DType,
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
    inventory: Inventory,
    threads: Threads,
}

/// The sizes of an [`AutoencoderTiny`], by the names and with the defaults of diffusers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TinyVaeConfig {
    /// Channels of a picture.
    pub in_channels: usize,
    /// Channels of a decoded picture.
    pub out_channels: usize,
    /// Channels at each resolution of the encoder, the finest first.
    pub encoder_block_out_channels: Vec<usize>,
    /// Channels at each resolution of the decoder, the coarsest first.
    pub decoder_block_out_channels: Vec<usize>,
    /// `relu`, or another activation without weights.
    pub act_fn: String,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Blocks of each resolution of the encoder.
    pub num_encoder_blocks: Vec<usize>,
    /// Blocks of each resolution of the decoder.
    pub num_decoder_blocks: Vec<usize>,
    /// Multiplies latents before they are noised.
    pub scaling_factor: f64,
    /// Subtracted before that.
    pub shift_factor: f64,
}

impl Default for TinyVaeConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            encoder_block_out_channels: vec![64; 4],
            decoder_block_out_channels: vec![64; 4],
            act_fn: "relu".to_owned(),
            latent_channels: 4,
            num_encoder_blocks: vec![1, 3, 3, 3],
            num_decoder_blocks: vec![3, 3, 3, 1],
            scaling_factor: 1.0,
            shift_factor: 0.0,
        }
    }
}

#[derive(Debug, Clone)]
enum Layer {
    Convolution(Convolution2d),
    Activation(Activation),
    Block { convolutions: [Convolution2d; 3], activation: Activation },
    Doubling,
}

impl Layer {
    fn forward(&self, x: &Picture) -> Result<Picture> {
        match self {
            Self::Convolution(convolution) => convolution.forward(x),
            Self::Activation(activation) => Ok(x.with(activation.forward(&x.x)?)),
            Self::Doubling => x.resized(2 * x.height, 2 * x.width),
            Self::Block { convolutions, activation } => {
                let mut inner = x.clone();
                for (number, convolution) in convolutions.iter().enumerate() {
                    inner = convolution.forward(&inner)?;
                    if number < 2 {
                        inner.x = activation.forward(&inner.x)?;
                    }
                }
                Ok(x.with((inner.x + &x.x)?.relu()?))
            }
        }
    }
}

impl AutoencoderTiny {
    /// Reads the model from weights with diffusers' names.
    pub(crate) fn load(
        config: TinyVaeConfig,
        weights: &Weights,
        options: &LoadOptions,
    ) -> Result<Self> {
        let activation: Activation = config.act_fn.parse()?;
        let of_one_length = config.encoder_block_out_channels.len()
            == config.num_encoder_blocks.len()
            && config.decoder_block_out_channels.len() == config.num_decoder_blocks.len();
        if !of_one_length || config.num_decoder_blocks.is_empty() {
            return Err(Error::unsupported(format!("an autoencoder of {config:?}")));
        }
        Ok(Self {
            encoder: encoder(&config, activation, &weights.scope("encoder.layers"))?,
            decoder: decoder(&config, activation, &weights.scope("decoder.layers"))?,
            device: weights.device().clone(),
            compute: weights.dtype(),
            inventory: weights.inventory(),
            threads: Threads::new(options.threads)?,
            config,
        })
    }

    /// The sizes of the model.
    #[must_use]
    pub fn config(&self) -> &TinyVaeConfig {
        &self.config
    }

    /// How many pixels a side of a latent pixel is.
    #[must_use]
    pub fn scale(&self) -> usize {
        1 << self.config.num_decoder_blocks.len().saturating_sub(1).min(16)
    }

    /// The latents of a picture `(3, height, width)` of numbers from -1 to 1: `(channels, height, width)` in f32.
    ///
    /// # Errors
    ///
    /// When the picture has another shape.
    pub fn encode(&self, picture: &Tensor) -> Result<Tensor> {
        let picture = ((picture + 1.0)? / 2.0)?;
        self.run(&picture, self.config.in_channels, &self.encoder)
    }

    /// The picture of latents, `(3, height, width)` in f32, of about -1 to 1.
    ///
    /// # Errors
    ///
    /// When the latents have another shape.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let latents = ((latents / 3.0)?.tanh()? * 3.0)?;
        let picture = self.run(&latents, self.config.latent_channels, &self.decoder)?;
        Ok(((picture * 2.0)? - 1.0)?)
    }

    fn run(&self, x: &Tensor, channels: usize, layers: &[Layer]) -> Result<Tensor> {
        let (found, _, _) = x.dims3()?;
        if found != channels {
            let reason = format!("{found} channels for an autoencoder that reads {channels}");
            return Err(Error::input(reason));
        }
        self.threads.run_on(&self.device, || {
            let x = x.to_device(&self.device)?.to_dtype(self.compute)?;
            let mut x = Picture::from_channels(&x)?;
            for layer in layers {
                x = layer.forward(&x)?;
            }
            Ok(x.to_channels()?.to_dtype(DType::F32)?)
        })
    }
}

/// Reads layers one after the other, by their numbers in a `Sequential`.
struct Reader<'a> {
    weights: &'a Weights,
    activation: Activation,
    layers: Vec<Layer>,
}

impl Reader<'_> {
    fn convolution(&mut self, channels: [usize; 2], shape: SquareConfig, bias: Bias) -> Result<()> {
        let number = self.layers.len().to_string();
        let layer = Convolution2d::load(self.weights, &number, channels, shape, bias)?;
        self.layers.push(Layer::Convolution(layer));
        Ok(())
    }

    fn block(&mut self, channels: usize) -> Result<()> {
        let scope = self.weights.scope(self.layers.len());
        let convolution = |number: usize| {
            let (three, bias) = (SquareConfig::THREE, Bias::Present);
            Convolution2d::load(&scope, &format!("conv.{number}"), [channels; 2], three, bias)
        };
        self.layers.push(Layer::Block {
            convolutions: [convolution(0)?, convolution(2)?, convolution(4)?],
            activation: self.activation,
        });
        Ok(())
    }
}

fn encoder(
    config: &TinyVaeConfig,
    activation: Activation,
    weights: &Weights,
) -> Result<Vec<Layer>> {
    let mut reader = Reader { weights, activation, layers: Vec::new() };
    let channels = &config.encoder_block_out_channels;
    for (number, (&channels, &blocks)) in
        channels.iter().zip(&config.num_encoder_blocks).enumerate()
    {
        match number {
            0 => {
                let first = [config.in_channels, channels];
                reader.convolution(first, SquareConfig::THREE, Bias::Present)?;
            }
            _ => reader.convolution([channels; 2], SquareConfig::HALVING, Bias::Absent)?,
        }
        (0..blocks).try_for_each(|_| reader.block(channels))?;
    }
    let last = channels.last().copied().unwrap_or_default();
    reader.convolution([last, config.latent_channels], SquareConfig::THREE, Bias::Present)?;
    Ok(reader.layers)
}

fn decoder(
    config: &TinyVaeConfig,
    activation: Activation,
    weights: &Weights,
) -> Result<Vec<Layer>> {
    let mut reader = Reader { weights, activation, layers: Vec::new() };
    let channels = &config.decoder_block_out_channels;
    let three = SquareConfig::THREE;
    reader.convolution([config.latent_channels, channels[0]], three, Bias::Present)?;
    reader.layers.push(Layer::Activation(activation));
    for (number, (&inner, &blocks)) in channels.iter().zip(&config.num_decoder_blocks).enumerate() {
        let is_last = number + 1 == channels.len();
        (0..blocks).try_for_each(|_| reader.block(inner))?;
        if is_last {
            reader.convolution([inner, config.out_channels], three, Bias::Present)?;
        } else {
            reader.layers.push(Layer::Doubling);
            reader.convolution([inner, inner], three, Bias::Absent)?;
        }
    }
    Ok(reader.layers)
}

impl Model for AutoencoderTiny {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}
