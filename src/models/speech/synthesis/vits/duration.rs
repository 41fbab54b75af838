//! How long each character is heard.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::models::speech::synthesis::vits::config::VitsConfig;
use crate::models::speech::synthesis::vits::drawn;
use crate::models::speech::synthesis::vits::spline::Spline;
use crate::nn::activation::Activation;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::norm::{Norm, NormConfig};
use crate::random::Generator;
use crate::weights::{Bias, Weights};

/// Predicts the logarithms of durations.
#[derive(Debug)]
pub(super) enum DurationPredictor {
    /// The same for the same text.
    Certain(Box<Certain>),
    /// Draws them.
    Drawn(Box<Drawn>),
}

#[derive(Debug)]
pub(super) struct Certain {
    speaker: Option<Convolution>,
    layers: [(Convolution, Norm); 2],
    last: Convolution,
}

#[derive(Debug)]
pub(super) struct Drawn {
    first: Convolution,
    speaker: Option<Convolution>,
    block: SeparableBlock,
    last: Convolution,
    /// What two channels are moved and scaled by.
    translate: Vec<f32>,
    log_scale: Vec<f32>,
    flows: Vec<SplineFlow>,
}

/// A flow that moves one channel by a spline that it computes of the other.
#[derive(Debug)]
struct SplineFlow {
    first: Convolution,
    block: SeparableBlock,
    last: Convolution,
    bins: usize,
    bound: f32,
    scale: f32,
}

/// Dilated convolutions of each channel by itself and of each frame by itself.
#[derive(Debug)]
struct SeparableBlock {
    layers: Vec<SeparableLayer>,
}

#[derive(Debug)]
struct SeparableLayer {
    dilated: Convolution,
    dilated_norm: Norm,
    pointwise: Convolution,
    norm: Norm,
}

impl DurationPredictor {
    pub(super) fn load(weights: &Weights, config: &VitsConfig) -> Result<Self> {
        let (hidden, kernel) = (config.hidden_size, config.duration_predictor_kernel_size);
        let load = |name: &str, channels: [usize; 2], kernel: usize| {
            let config =
                ConvolutionConfig::new(channels, kernel, Bias::Present).padding(kernel / 2);
            Convolution::load(weights, name, config)
        };
        let speaker = match config.speaker_size {
            0 => None,
            size => Some(load("cond", [size, hidden], 1)?),
        };
        if !config.use_stochastic_duration_prediction {
            let inner = config.duration_predictor_filter_channels;
            let norm = NormConfig::Layer { eps: config.layer_norm_eps };
            let norm = |name: &str| Norm::load(weights, name, inner, norm);
            return Ok(Self::Certain(Box::new(Certain {
                speaker,
                layers: [
                    (load("conv_1", [hidden, inner], kernel)?, norm("norm_1")?),
                    (load("conv_2", [inner, inner], kernel)?, norm("norm_2")?),
                ],
                last: load("proj", [inner, 1], 1)?,
            })));
        }
        let flows = weights.scope("flows");
        let numbers = |name: &str| -> Result<Vec<f32>> {
            let tensor = flows.tensor(&format!("0.{name}"), &[2, 1])?;
            Ok(tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
        };
        // The first is not used to speak.
        let numbers_of_flows = 2..=config.duration_predictor_num_flows;
        let flow = |number: usize| SplineFlow::load(&flows.scope(number), config);
        Ok(Self::Drawn(Box::new(Drawn {
            first: load("conv_pre", [hidden; 2], 1)?,
            speaker,
            block: SeparableBlock::load(&weights.scope("conv_dds"), config)?,
            last: load("conv_proj", [hidden; 2], 1)?,
            translate: numbers("translate")?,
            log_scale: numbers("log_scale")?,
            flows: numbers_of_flows.map(flow).collect::<Result<_>>()?,
        })))
    }

    /// The logarithm of each duration, of hidden states `(ids, hidden)` and a speaker's embedding `(1, size)`.
    pub(super) fn forward(
        &self,
        hidden: &Tensor,
        speaker: Option<&Tensor>,
        noise: f32,
        generator: &mut Generator,
    ) -> Result<Vec<f32>> {
        let with_speaker = |x: &Tensor, layer: &Option<Convolution>| -> Result<Tensor> {
            Ok(match (layer, speaker) {
                (Some(layer), Some(speaker)) => x.broadcast_add(&layer.forward(speaker)?)?,
                _ => x.clone(),
            })
        };
        match self {
            Self::Certain(certain) => {
                let mut x = with_speaker(hidden, &certain.speaker)?;
                for (convolution, norm) in &certain.layers {
                    x = norm.forward(&convolution.forward(&x)?.relu()?)?;
                }
                numbers(&certain.last.forward(&x)?)
            }
            Self::Drawn(predictor) => {
                let x = with_speaker(&predictor.first.forward(hidden)?, &predictor.speaker)?;
                let x = predictor.last.forward(&predictor.block.forward(&x)?)?;
                predictor.reverse(&x, noise, generator)
            }
        }
    }
}

impl Drawn {
    fn reverse(&self, x: &Tensor, noise: f32, generator: &mut Generator) -> Result<Vec<f32>> {
        let ids = x.dim(0)?;
        let noises = drawn(generator, &[2, ids], DType::F32, &candle_core::Device::Cpu)?;
        let noises = noises.to_vec2::<f32>()?;
        let scaled = |channel: usize| -> Vec<f32> {
            noises
                .get(channel)
                .map_or(Vec::new(), |row| row.iter().map(|number| number * noise).collect())
        };
        let mut latents = [scaled(0), scaled(1)];
        for flow in self.flows.iter().rev() {
            latents.reverse();
            let [first, second] = &mut latents;
            flow.reverse(first, second, x)?;
        }
        latents.reverse();
        let [durations, _] = latents;
        let (translate, log_scale) = (self.translate[0], self.log_scale[0]);
        Ok(durations.into_iter().map(|log| (log - translate) * (-log_scale).exp()).collect())
    }
}

impl SplineFlow {
    fn load(weights: &Weights, config: &VitsConfig) -> Result<Self> {
        let (hidden, bins) = (config.hidden_size, config.duration_predictor_flow_bins);
        let load = |name: &str, channels: [usize; 2]| {
            Convolution::load(weights, name, ConvolutionConfig::new(channels, 1, Bias::Present))
        };
        Ok(Self {
            first: load("conv_pre", [1, hidden])?,
            block: SeparableBlock::load(&weights.scope("conv_dds"), config)?,
            last: load("conv_proj", [hidden, 3 * bins - 1])?,
            bins,
            bound: config.duration_predictor_tail_bound as f32,
            scale: (hidden as f32).sqrt(),
        })
    }

    fn reverse(&self, first: &[f32], second: &mut [f32], condition: &Tensor) -> Result<()> {
        let device = condition.device();
        let x = Tensor::from_slice(first, (first.len(), 1), device)?.to_dtype(condition.dtype())?;
        let x = (self.first.forward(&x)? + condition)?;
        let parameters = numbers(&self.last.forward(&self.block.forward(&x)?)?)?;
        for (number, row) in second.iter_mut().zip(parameters.chunks_exact(3 * self.bins - 1)) {
            let (sizes, derivatives) = row.split_at(2 * self.bins);
            let sizes: Vec<f32> = sizes.iter().map(|size| size / self.scale).collect();
            let (widths, heights) = sizes.split_at(self.bins);
            let spline = Spline { widths, heights, derivatives, bound: self.bound };
            *number = spline.invert(*number)?;
        }
        Ok(())
    }
}

impl SeparableBlock {
    fn load(weights: &Weights, config: &VitsConfig) -> Result<Self> {
        let (hidden, kernel) = (config.hidden_size, config.duration_predictor_kernel_size);
        let layer = |number: usize| -> Result<SeparableLayer> {
            let dilation = kernel.pow(number as u32);
            let load = |list: &str, config: ConvolutionConfig| {
                Convolution::load(&weights.scope(list), &number.to_string(), config)
            };
            let norm = |list: &str| {
                let config = NormConfig::Layer { eps: EPS };
                Norm::load(&weights.scope(list), &number.to_string(), hidden, config)
            };
            let dilated = ConvolutionConfig::new([hidden; 2], kernel, Bias::Present)
                .dilation(dilation)
                .padding((kernel * dilation - dilation) / 2)
                .groups(hidden);
            Ok(SeparableLayer {
                dilated: load("convs_dilated", dilated)?,
                dilated_norm: norm("norms_1")?,
                pointwise: load(
                    "convs_pointwise",
                    ConvolutionConfig::new([hidden; 2], 1, Bias::Present),
                )?,
                norm: norm("norms_2")?,
            })
        };
        let layers = 0..config.depth_separable_num_layers;
        Ok(Self { layers: layers.map(layer).collect::<Result<_>>()? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for SeparableLayer { dilated, dilated_norm, pointwise, norm } in &self.layers {
            let y = dilated_norm.forward(&dilated.forward(&x)?)?;
            let y = norm.forward(&pointwise.forward(&Activation::Gelu.forward(&y)?)?)?;
            x = (x + Activation::Gelu.forward(&y)?)?;
        }
        Ok(x)
    }
}

fn numbers(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// PyTorch's default.
const EPS: f64 = 1e-5;
