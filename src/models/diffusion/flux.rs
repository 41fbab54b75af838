//! The transformer of FLUX.1: `FluxTransformer2DModel` of diffusers.

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::models::diffusion::flux_blocks::{Double, Modulation, Single, TextLayers, layer_norm};
use crate::models::diffusion::layers::{TwoLayers, Waves};
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::nn::activation::Activation;
use crate::options::LoadOptions;
use crate::weights::{Bias, Inventory, Linear, Weights};

/// A transformer that takes the noise out of latents: FLUX.1 schnell and dev.
#[derive(Debug)]
pub struct FluxTransformer {
    config: FluxConfig,
    device: Device,
    compute: DType,
    latents: Linear,
    text: Linear,
    time: TwoLayers,
    guidance: Option<TwoLayers>,
    pooled: TextLayers,
    doubles: Vec<Double>,
    singles: Vec<Single>,
    last_modulation: Modulation,
    last: Linear,
    inventory: Inventory,
    threads: Threads,
}

/// The sizes of a [`FluxTransformer`], by the names and with the defaults of diffusers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct FluxConfig {
    /// Latent pixels of a side of a token; latents come in patches already, so this is 1.
    pub patch_size: usize,
    /// Features of a token that goes in: those of 2 by 2 latent pixels.
    pub in_channels: usize,
    /// Features of a token that comes out; as many as go in where it is missing.
    pub out_channels: Option<usize>,
    /// Layers with weights of their own for text and picture.
    pub num_layers: usize,
    /// Layers with the same weights for both.
    pub num_single_layers: usize,
    /// Channels of a head.
    pub attention_head_dim: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// Features of a token of T5.
    pub joint_attention_dim: usize,
    /// Features of CLIP's pooled vector.
    pub pooled_projection_dim: usize,
    /// Whether the guidance is embedded: dev.
    pub guidance_embeds: bool,
    /// Channels of a head that are rotated by each of a token's three positions.
    pub axes_dims_rope: [usize; 3],
}

impl Default for FluxConfig {
    fn default() -> Self {
        Self {
            patch_size: 1,
            in_channels: 64,
            out_channels: None,
            num_layers: 19,
            num_single_layers: 38,
            attention_head_dim: 128,
            num_attention_heads: 24,
            joint_attention_dim: 4096,
            pooled_projection_dim: 768,
            guidance_embeds: false,
            axes_dims_rope: [16, 56, 56],
        }
    }
}

/// What a [`FluxTransformer`] reads in one step.
#[derive(Debug, Clone, Copy)]
pub struct FluxInput<'a> {
    /// The latents in patches, row by row, `(height * width, in_channels)`.
    pub tokens: &'a Tensor,
    /// Patches of a column and of a row.
    pub size: [usize; 2],
    /// How noisy they are, from 0 to 1.
    pub sigma: f32,
    /// How closely the text is followed; read where the model embeds it.
    pub guidance: f32,
    /// The hidden states of T5, `(tokens, features)`.
    pub text: &'a Tensor,
    /// CLIP's pooled vector, `(1, features)`.
    pub pooled: &'a Tensor,
}

/// Features of the embedded time.
const TIME: usize = 256;
/// The base of the rope.
const THETA: f64 = 10_000.0;

impl FluxTransformer {
    /// Reads the model from weights with diffusers' names.
    pub(crate) fn load(
        config: FluxConfig,
        weights: &Weights,
        options: &LoadOptions,
    ) -> Result<Self> {
        for (name, layers) in
            [("num_layers", config.num_layers), ("num_single_layers", config.num_single_layers)]
        {
            if layers == 0 {
                return Err(Error::unsupported(format!("`{name}` is 0; it should be at least 1")));
            }
        }
        let (heads, head_dim) = (config.num_attention_heads, config.attention_head_dim);
        let rotated =
            config.axes_dims_rope.iter().fold(0, |sum: usize, axis| sum.saturating_add(*axis));
        let is_even = config.axes_dims_rope.iter().all(|axis| axis.is_multiple_of(2));
        if heads == 0 || config.patch_size != 1 || rotated != head_dim || !is_even {
            return Err(Error::unsupported(format!("a FLUX of {config:?}")));
        }
        let size = heads * head_dim;
        let out = config.out_channels.unwrap_or(config.in_channels);
        let linear = |name: &str, [inputs, outputs]: [usize; 2]| {
            weights.linear(name, inputs, outputs, Bias::Present)
        };
        let embedding = weights.scope("time_text_embed");
        let two = |name: &str| TwoLayers::load(&embedding.scope(name), TIME, size, None);
        let doubles = weights.scope("transformer_blocks");
        let singles = weights.scope("single_transformer_blocks");
        Ok(Self {
            latents: linear("x_embedder", [config.in_channels, size])?,
            text: linear("context_embedder", [config.joint_attention_dim, size])?,
            time: two("timestep_embedder")?,
            guidance: match config.guidance_embeds {
                true => Some(two("guidance_embedder")?),
                false => None,
            },
            pooled: TextLayers::load(
                &embedding.scope("text_embedder"),
                config.pooled_projection_dim,
                size,
            )?,
            doubles: (0..config.num_layers)
                .map(|number| Double::load(&doubles.scope(number), size, heads))
                .collect::<Result<_>>()?,
            singles: (0..config.num_single_layers)
                .map(|number| Single::load(&singles.scope(number), size, heads))
                .collect::<Result<_>>()?,
            last_modulation: Modulation::load(weights, "norm_out.linear", size, 2)?,
            last: linear("proj_out", [size, out])?,
            device: weights.device().clone(),
            compute: weights.dtype(),
            inventory: weights.inventory(),
            threads: Threads::new(options.threads)?,
            config,
        })
    }

    /// The sizes of the model.
    #[must_use]
    pub fn config(&self) -> &FluxConfig {
        &self.config
    }

    /// The direction from noise to picture, `(height * width, channels)` in f32.
    ///
    /// # Errors
    ///
    /// When an input has another shape than the model reads.
    pub fn forward(&self, input: FluxInput<'_>) -> Result<Tensor> {
        let (tokens, _) = input.tokens.dims2()?;
        let [height, width] = input.size;
        if tokens != height * width {
            let reason = format!("{tokens} tokens for a picture of {height} by {width} patches");
            return Err(Error::input(reason));
        }
        self.threads.run_on(&self.device, || self.run(input))
    }

    fn run(&self, input: FluxInput<'_>) -> Result<Tensor> {
        let here = |x: &Tensor| x.to_device(&self.device)?.to_dtype(self.compute);
        let mut x = self.latents.forward(&here(input.tokens)?)?;
        let mut text = self.text.forward(&here(input.text)?)?;
        let embedded = |layers: &TwoLayers, number: f32| {
            let waves = Waves::PLAIN.of(&[number * 1000.0], TIME, &self.device)?;
            layers.forward(&waves.to_dtype(self.compute)?, None)
        };
        let mut condition = embedded(&self.time, input.sigma)?;
        if let Some(guidance) = &self.guidance {
            condition = (condition + embedded(guidance, input.guidance)?)?;
        }
        condition = (condition + self.pooled.forward(&here(input.pooled)?)?)?;
        let condition = Activation::Silu.forward(&condition)?;
        let words = text.dim(0)?;
        let rope = self.rope(words, input.size)?;
        for block in &self.doubles {
            (text, x) = block.forward(&text, &x, &condition, &rope)?;
        }
        let mut both = Tensor::cat(&[&text, &x], 0)?;
        for block in &self.singles {
            both = block.forward(&both, &condition, &rope)?;
        }
        let x = both.narrow(0, words, both.dim(0)? - words)?.contiguous()?;
        let [scale, shift] = self.last_modulation.of(&condition)?;
        let x = (layer_norm(&x)?.broadcast_mul(&(scale + 1.0)?)?.broadcast_add(&shift))?;
        Ok(self.last.forward(&x)?.to_dtype(DType::F32)?)
    }

    /// Cosines and sines of each token and pair of channels, `(tokens, 1, head_dim / 2)`: words stand at 0, patches
    /// at their row and column.
    fn rope(&self, words: usize, [height, width]: [usize; 2]) -> Result<[Tensor; 2]> {
        let tokens = words + height * width;
        let half = self.config.attention_head_dim / 2;
        let mut angles = Vec::with_capacity(tokens * half);
        let mut token = |place: [usize; 3]| {
            for (place, axis) in place.into_iter().zip(self.config.axes_dims_rope) {
                let frequency = |pair: usize| THETA.powf(-((2 * pair) as f64) / axis as f64);
                angles.extend((0..axis / 2).map(|pair| place as f64 * frequency(pair)));
            }
        };
        (0..words).for_each(|_| token([0; 3]));
        for row in 0..height {
            (0..width).for_each(|column| token([0, row, column]));
        }
        let table = |of: fn(f64) -> f64| -> Result<Tensor> {
            let values: Vec<f32> = angles.iter().map(|&angle| of(angle) as f32).collect();
            let table = Tensor::from_vec(values, (tokens, 1, half), &self.device)?;
            Ok(table.to_dtype(DType::F32)?)
        };
        Ok([table(f64::cos)?, table(f64::sin)?])
    }
}

impl Model for FluxTransformer {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}
