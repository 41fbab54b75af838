//! From samples to frames.

use candle_core::Tensor;

use crate::error::Result;
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

    /// Inputs, `(inputs, width)`, to hidden states before positions, `(frames, hidden)`.
    pub(super) fn forward(&self, x: &Tensor, config: &SpeechEncoderConfig) -> Result<Tensor> {
        let over_all = |layer: &FrontLayer| matches!(layer.norm, LayerNorm::Channels(_));
        let frames = config.frames(x.dim(0)?);
        if frames <= FRAMES || self.layers.iter().any(over_all) {
            return self.part(x);
        }
        let (_, step) = config.seen(1);
        let mut parts = Vec::with_capacity(frames.div_ceil(FRAMES));
        for start in (0..frames).step_by(FRAMES) {
            let (seen, _) = config.seen(FRAMES.min(frames - start));
            parts.push(self.part(&x.narrow(0, start * step, seen)?)?);
        }
        Ok(Tensor::cat(&parts, 0)?)
    }

    fn part(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x)?;
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

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.convolution.forward(x)?;
        let x = match &self.norm {
            LayerNorm::Channels(norm) => norm.forward(&x)?,
            LayerNorm::Frames(norm) => norm.forward(&x)?,
            LayerNorm::None => x,
        };
        self.activation.forward(&x)
    }
}
