//! From samples to frames.

use candle_core::Tensor;

use crate::error::Result;
use crate::kernels::group_norm::Moments;
use crate::models::speech::ctc::config::{FrontLayerConfig, FrontNorm, SpeechEncoderConfig};
use crate::nn::activation::Activation;
use crate::nn::convolution::Convolution;
use crate::nn::group_norm::GroupNorm;
use crate::nn::norm::{Norm, NormConfig, normed};
use crate::weights::{Bias, Linear, Weights};

/// Convolutions, a norm and a projection to the hidden size.
#[derive(Debug)]
pub(super) struct Front {
    layers: Vec<FrontLayer>,
    norm: Option<Norm>,
    projection: Linear,
}

#[derive(Debug)]
struct FrontLayer {
    convolution: Convolution,
    norm: LayerNorm,
    activation: Activation,
}

#[derive(Debug)]
enum LayerNorm {
    Channels(GroupNorm),
    Frames(Norm),
    None,
}

/// What PyTorch adds to variances where nothing is said.
const EPS: f64 = 1e-5;

/// Frames that are computed from samples at a time, so that what lies between stays in bounds.
const FRAMES: usize = 256;

/// The same of the first convolution alone, which gives many for each of the last.
const FIRST_FRAMES: usize = 1 << 13;

impl Front {
    /// Reads `front.*`, `projection_norm` where there is one, and `projection`.
    pub(super) fn load(weights: &Weights, config: &SpeechEncoderConfig) -> Result<Self> {
        let scope = weights.scope("front");
        let layer = |(number, layer): (usize, &FrontLayerConfig)| {
            FrontLayer::load(&scope.scope(number), layer)
        };
        let SpeechEncoderConfig { frame_size, hidden_size, projection_norm, .. } = *config;
        Ok(Self {
            layers: config.front.iter().enumerate().map(layer).collect::<Result<_>>()?,
            norm: match projection_norm {
                Some(norm) => Some(Norm::load(weights, "projection_norm", frame_size, norm)?),
                None => None,
            },
            projection: weights.linear("projection", frame_size, hidden_size, Bias::Present)?,
        })
    }

    /// Inputs, `(inputs, width)`, to hidden states before positions, `(frames, hidden)`, part by part.
    pub(super) fn forward(&self, x: &Tensor, config: &SpeechEncoderConfig) -> Result<Tensor> {
        let inputs = x.dim(0)?;
        let frames = config.frames(inputs);
        let over_all = |layer: &FrontLayer| matches!(layer.norm, LayerNorm::Channels(_));
        if frames <= FRAMES || self.layers.iter().skip(1).any(over_all) {
            return self.part(x, None);
        }
        let moments = match self.layers.first() {
            Some(FrontLayer { convolution, norm: LayerNorm::Channels(norm), .. }) => {
                // What the norm is over all frames is found first; the rest is as without it.
                let Some(mut moments) = norm.moments(x)? else { return self.part(x, None) };
                let Some(FrontLayerConfig { convolution: layer, .. }) = config.front.first() else {
                    return self.part(x, None);
                };
                let all = layer.frames(inputs);
                for start in (0..all).step_by(FIRST_FRAMES) {
                    let count = FIRST_FRAMES.min(all - start);
                    let seen = (count - 1) * layer.stride + layer.kernel;
                    let seen = x.narrow(0, start * layer.stride, seen)?;
                    norm.add(&convolution.forward(&seen)?, &mut moments)?;
                }
                Some(moments)
            }
            _ => None,
        };
        let (_, step) = config.seen(1);
        let mut parts = Vec::with_capacity(frames.div_ceil(FRAMES));
        for start in (0..frames).step_by(FRAMES) {
            let (seen, _) = config.seen(FRAMES.min(frames - start));
            parts.push(self.part(&x.narrow(0, start * step, seen)?, moments.as_ref())?);
        }
        Ok(Tensor::cat(&parts, 0)?)
    }

    /// `moments` are of all frames, where `x` is a part of them.
    fn part(&self, x: &Tensor, moments: Option<&Moments>) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x, moments)?;
        }
        self.projection.forward(&normed(self.norm.as_ref(), x)?)
    }
}

impl FrontLayer {
    fn load(weights: &Weights, config: &FrontLayerConfig) -> Result<Self> {
        let channels = config.convolution.out_channels;
        let norm = match config.norm {
            FrontNorm::Channels => {
                LayerNorm::Channels(GroupNorm::load(weights, "norm", channels, channels, EPS)?)
            }
            FrontNorm::Frames => {
                let config = NormConfig::Layer { eps: EPS };
                LayerNorm::Frames(Norm::load(weights, "norm", channels, config)?)
            }
            FrontNorm::None => LayerNorm::None,
        };
        let convolution = Convolution::load(weights, "conv", config.convolution)?;
        Ok(Self { convolution, norm, activation: config.activation })
    }

    fn forward(&self, x: &Tensor, moments: Option<&Moments>) -> Result<Tensor> {
        let x = self.convolution.forward(x)?;
        let x = match (&self.norm, moments) {
            (LayerNorm::Channels(norm), Some(moments)) => norm.forward_by(&x, moments)?,
            (LayerNorm::Channels(norm), None) => norm.forward(&x)?,
            (LayerNorm::Frames(norm), _) => norm.forward(&x)?,
            (LayerNorm::None, _) => x,
        };
        self.activation.forward(&x)
    }
}
