//! The UNet of Stable Diffusion: `UNet2DConditionModel` of diffusers.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::models::diffusion::attention::{Transformer2d, TransformerShape};
use crate::models::diffusion::layers::{Groups, Last, Resnet, TwoLayers, Waves, three};
use crate::models::diffusion::unet_config::{BlockConfig, UNetConfig};
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::nn::activation::Activation;
use crate::nn::convolution2d::{Convolution2d, SquareConfig};
use crate::nn::picture::Picture;
use crate::options::LoadOptions;
use crate::weights::{Bias, Inventory, Weights};

/// A UNet that takes the noise out of latents: Stable Diffusion 1.x, 2.x and XL, and what was made from them.
#[derive(Debug)]
pub struct UNet {
    config: UNetConfig,
    device: Device,
    compute: DType,
    first: Convolution2d,
    time: TwoLayers,
    added: Option<TwoLayers>,
    down: Vec<Stage>,
    middle: (Resnet, Transformer2d, Resnet),
    up: Vec<Stage>,
    last: Last,
    inventory: Inventory,
    threads: Threads,
}

/// What a [`UNet`] reads in one step.
#[derive(Debug, Clone, Copy)]
pub struct UNetInput<'a> {
    /// The latents, scaled by the scheduler, `(channels, height, width)`.
    pub sample: &'a Tensor,
    /// Where in the schedule they are.
    pub timestep: f32,
    /// The hidden states of the text, `(tokens, features)`.
    pub text: &'a Tensor,
    /// The text's pooled vector, `(1, features)`, and six sizes: SDXL. Its refiner reads four and how beautiful the
    /// picture is.
    pub added: Option<(&'a Tensor, &'a [f32])>,
    /// The embedded guidance, `(1, features)`: models made by latent consistency distillation.
    pub guidance: Option<&'a Tensor>,
}

/// One resolution, on the way down or up.
#[derive(Debug, Clone)]
struct Stage {
    layers: Vec<(Resnet, Option<Transformer2d>)>,
    /// At its end: to half the size, or after doubling it.
    sampler: Option<Convolution2d>,
}

impl UNet {
    /// Reads the model from weights with diffusers' names.
    pub(crate) fn load(
        config: UNetConfig,
        weights: &Weights,
        options: &LoadOptions,
    ) -> Result<Self> {
        let blocks = &config.blocks;
        let (finest, coarsest) = match (blocks.first(), blocks.last()) {
            (Some(first), Some(last)) => (*first, *last),
            _ => return Err(Error::unsupported("a UNet without blocks")),
        };
        let width = finest.channels;
        let time_size = 4 * width;
        let groups = Groups { count: config.groups, eps: config.eps };
        let loader = Loader { time_size, groups };
        let mut inputs = width;
        let mut skipped = vec![width];
        let mut down = Vec::with_capacity(blocks.len());
        for (number, block) in blocks.iter().enumerate() {
            let scope = weights.scope("down_blocks").scope(number);
            let ins =
                (0..block.layers).map(|layer| if layer == 0 { inputs } else { block.channels });
            skipped.extend(vec![block.channels; block.layers]);
            let mut stage = loader.stage(&scope, ins.collect(), block, block.attends)?;
            if number + 1 < blocks.len() {
                let halving = SquareConfig::HALVING;
                let channels = [block.channels; 2];
                stage.sampler = Some(Convolution2d::load(
                    &scope,
                    "downsamplers.0.conv",
                    channels,
                    halving,
                    Bias::Present,
                )?);
                skipped.push(block.channels);
            }
            down.push(stage);
            inputs = block.channels;
        }
        let middle = weights.scope("mid_block");
        let resnet = |number: usize| {
            let scope = middle.scope("resnets").scope(number);
            Resnet::load(&scope, [coarsest.channels; 2], Some(time_size), groups)
        };
        let attention = loader.transformer(&middle.scope("attentions.0"), &coarsest)?;
        let middle = (resnet(0)?, attention, resnet(1)?);
        let mut up = Vec::with_capacity(blocks.len());
        for (number, block) in blocks.iter().rev().enumerate() {
            let scope = weights.scope("up_blocks").scope(number);
            let mut ins = Vec::with_capacity(block.layers + 1);
            for _ in 0..=block.layers {
                let skip = skipped.pop().unwrap_or_default();
                ins.push(inputs + skip);
                inputs = block.channels;
            }
            let mut stage = loader.stage(&scope, ins, block, config.up_attends[number])?;
            if number + 1 < blocks.len() {
                stage.sampler = Some(three(&scope, "upsamplers.0.conv", [block.channels; 2])?);
            }
            up.push(stage);
        }
        let added = match config.added {
            Some(added) => {
                let scope = weights.scope("add_embedding");
                Some(TwoLayers::load(&scope, added.inputs, time_size, None)?)
            }
            None => None,
        };
        Ok(Self {
            first: three(weights, "conv_in", [config.in_channels, width])?,
            time: TwoLayers::load(
                &weights.scope("time_embedding"),
                width,
                time_size,
                config.time_cond_proj_dim,
            )?,
            added,
            down,
            middle,
            up,
            last: Last::load(weights, [width, config.out_channels], groups)?,
            device: weights.device().clone(),
            compute: weights.dtype(),
            inventory: weights.inventory(),
            threads: Threads::new(options.threads)?,
            config,
        })
    }

    /// The parts of the model.
    #[must_use]
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// What the model finds in the latents, `(channels, height, width)` in f32: the noise, the picture or the
    /// velocity, as it was trained.
    ///
    /// # Errors
    ///
    /// When an input has another shape than the model reads.
    pub fn forward(&self, input: UNetInput<'_>) -> Result<Tensor> {
        let (channels, _, _) = input.sample.dims3()?;
        if channels != self.config.in_channels {
            let wanted = self.config.in_channels;
            return Err(Error::input(format!(
                "latents of {channels} channels for a UNet that reads {wanted}"
            )));
        }
        if self.added.is_some() != input.added.is_some() {
            return Err(Error::input(
                "sizes and pooled texts go with SDXL's UNets, and only there",
            ));
        }
        self.threads.run_on(&self.device, || self.run(input))
    }

    fn run(&self, input: UNetInput<'_>) -> Result<Tensor> {
        let time = self.embedded(input)?;
        let text = input.text.to_dtype(self.compute)?;
        let sample = Picture::from_channels(&input.sample.to_dtype(self.compute)?)?;
        let mut x = self.first.forward(&sample)?;
        let mut skipped = vec![x.clone()];
        for stage in &self.down {
            for (resnet, attention) in &stage.layers {
                x = resnet.forward(&x, Some(&time))?;
                if let Some(attention) = attention {
                    x = attention.forward(&x, &text)?;
                }
                skipped.push(x.clone());
            }
            if let Some(sampler) = &stage.sampler {
                x = sampler.forward(&x)?;
                skipped.push(x.clone());
            }
        }
        let (first, attention, second) = &self.middle;
        x = first.forward(&x, Some(&time))?;
        x = attention.forward(&x, &text)?;
        x = second.forward(&x, Some(&time))?;
        for stage in &self.up {
            for (resnet, attention) in &stage.layers {
                let skip = skipped.pop().ok_or_else(|| Error::input("nothing was skipped"))?;
                x = x.with(Tensor::cat(&[&x.x, &skip.x], 1)?);
                x = resnet.forward(&x, Some(&time))?;
                if let Some(attention) = attention {
                    x = attention.forward(&x, &text)?;
                }
            }
            if let Some(sampler) = &stage.sampler {
                // To the size of what was skipped, which is not twice the size where that was odd.
                let (height, width) = match skipped.last() {
                    Some(skip) => (skip.height, skip.width),
                    None => (2 * x.height, 2 * x.width),
                };
                x = sampler.forward(&x.resized(height, width)?)?;
            }
        }
        Ok(self.last.forward(&x)?.to_channels()?.to_dtype(DType::F32)?)
    }

    /// The embedded time behind SiLU, `(1, size)`.
    fn embedded(&self, input: UNetInput<'_>) -> Result<Tensor> {
        let UNetConfig { flip_sin_to_cos, freq_shift, .. } = self.config;
        let waves = Waves { cosines_first: flip_sin_to_cos, shift: freq_shift };
        let width = self.config.blocks.first().map_or(0, |block| block.channels);
        let of_time = waves.of(&[input.timestep], width, &self.device)?.to_dtype(self.compute)?;
        let guidance = input.guidance.map(|x| x.to_dtype(self.compute)).transpose()?;
        let mut time = self.time.forward(&of_time, guidance.as_ref())?;
        if let (Some(layers), Some(config), Some((pooled, sizes))) =
            (&self.added, self.config.added, input.added)
        {
            let count = sizes.len();
            let sizes = waves.of(sizes, config.size, &self.device)?;
            let sizes = sizes.reshape((1, count * config.size))?.to_dtype(self.compute)?;
            let both = Tensor::cat(&[pooled.to_dtype(self.compute)?, sizes], 1)?;
            let (found, wanted) = (both.dim(1)?, config.inputs);
            if found != wanted {
                return Err(Error::input(format!(
                    "a pooled text and {count} sizes are {found} features, and the UNet reads {wanted}: \
                     `requires_aesthetics_score` of model_index.json, or the text encoder, is of another model"
                )));
            }
            time = (time + layers.forward(&both, None)?)?;
        }
        Activation::Silu.forward(&time)
    }
}

/// What all stages have in common.
struct Loader {
    time_size: usize,
    groups: Groups,
}

impl Loader {
    /// Reads `resnets` and `attentions`.
    fn stage(
        &self,
        weights: &Weights,
        inputs: Vec<usize>,
        block: &BlockConfig,
        attends: bool,
    ) -> Result<Stage> {
        let mut layers = Vec::new();
        for (number, inputs) in inputs.into_iter().enumerate() {
            let scope = weights.scope("resnets").scope(number);
            let channels = [inputs, block.channels];
            let resnet = Resnet::load(&scope, channels, Some(self.time_size), self.groups)?;
            let attention = match attends {
                true => Some(self.transformer(&weights.scope("attentions").scope(number), block)?),
                false => None,
            };
            layers.push((resnet, attention));
        }
        Ok(Stage { layers, sampler: None })
    }

    fn transformer(&self, weights: &Weights, block: &BlockConfig) -> Result<Transformer2d> {
        let BlockConfig { channels, heads, depth, text, .. } = *block;
        let groups = self.groups.count;
        let shape = TransformerShape { channels, heads, text, layers: depth, groups };
        Transformer2d::load(weights, shape)
    }
}

impl Model for UNet {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}
