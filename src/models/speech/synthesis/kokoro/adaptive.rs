//! Norms whose scale and shift come from a voice, and what StyleTTS 2 builds with them.
//! <https://arxiv.org/abs/2306.07691>

use candle_core::Tensor;

use crate::error::Result;
use crate::nn::activation::leaky_relu;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::group_norm::GroupNorm;
use crate::nn::norm::Norm;
use crate::nn::transposed::{TransposedConfig, TransposedConvolution};
use crate::nn::weight_norm;
use crate::weights::{Bias, Linear, Weights};

/// The scale and the shift of each channel, of a style `(1, style)`: `fc` of the reference.
#[derive(Debug)]
struct OfStyle(Linear);

impl OfStyle {
    fn load(weights: &Weights, style: usize, channels: usize) -> Result<Self> {
        Ok(Self(weights.linear("fc", style, 2 * channels, Bias::Present)?))
    }

    /// `1 + gamma` and `beta`, `(channels)` each.
    fn forward(&self, style: &Tensor) -> Result<[Tensor; 2]> {
        let both = self.0.forward(style)?.squeeze(0)?;
        let channels = both.dim(0)? / 2;
        Ok([(both.narrow(0, 0, channels)? + 1.0)?, both.narrow(0, channels, channels)?])
    }
}

/// A layer norm of a voice: `AdaLayerNorm`.
#[derive(Debug)]
pub(super) struct AdaLayerNorm(OfStyle);

impl AdaLayerNorm {
    pub(super) fn load(weights: &Weights, style: usize, channels: usize) -> Result<Self> {
        Ok(Self(OfStyle::load(weights, style, channels)?))
    }

    /// `(frames, channels)`, the same shape back.
    pub(super) fn forward(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let [weight, bias] = self.0.forward(style)?;
        Norm::layer_of(weight, bias.contiguous()?, EPS).forward(x)
    }
}

/// An instance norm of a voice: `AdaIN1d`.
#[derive(Debug)]
pub(super) struct AdaIn {
    style: OfStyle,
    /// A weight and a bias of the norm itself, which not every checkpoint has.
    own: Option<[Tensor; 2]>,
}

impl AdaIn {
    pub(super) fn load(weights: &Weights, style: usize, channels: usize) -> Result<Self> {
        let own = match weights.contains("norm.weight") {
            false => None,
            true => Some([
                weights.tensor("norm.weight", &[channels])?,
                weights.tensor("norm.bias", &[channels])?,
            ]),
        };
        Ok(Self { style: OfStyle::load(weights, style, channels)?, own })
    }

    /// The norm of a voice.
    pub(super) fn norm(&self, style: &Tensor) -> Result<GroupNorm> {
        let [scale, shift] = self.style.forward(style)?;
        let (weight, bias) = match &self.own {
            None => (scale, shift.contiguous()?),
            Some([weight, bias]) => ((&scale * weight)?, ((scale * bias)? + shift)?),
        };
        GroupNorm::of_channels(weight, bias, EPS)
    }

    /// `(frames, channels)`, the same shape back.
    pub(super) fn forward(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        self.norm(style)?.forward(x)
    }
}

/// Two convolutions with norms of a voice before them, beside what goes in: `AdainResBlk1d`.
#[derive(Debug)]
pub(super) struct AdainBlock {
    norms: [AdaIn; 2],
    convolutions: [Convolution; 2],
    /// Makes two frames of each.
    pool: Option<TransposedConvolution>,
    shortcut: Option<Convolution>,
}

impl AdainBlock {
    pub(super) fn load(
        weights: &Weights,
        [ins, outs]: [usize; 2],
        style: usize,
        upsamples: bool,
    ) -> Result<Self> {
        let convolution = |name: &str, channels: [usize; 2]| {
            let config = ConvolutionConfig::new(channels, 3, Bias::Present).padding(1);
            weight_norm::convolution(weights, name, config)
        };
        let pool = TransposedConfig {
            cut: [1, 0],
            ..TransposedConfig::new([ins, ins], 3, 2, 0, Bias::Present).groups(ins)
        };
        let shortcut = ConvolutionConfig::new([ins, outs], 1, Bias::Absent);
        Ok(Self {
            norms: [
                AdaIn::load(&weights.scope("norm1"), style, ins)?,
                AdaIn::load(&weights.scope("norm2"), style, outs)?,
            ],
            convolutions: [convolution("conv1", [ins, outs])?, convolution("conv2", [outs, outs])?],
            pool: match upsamples {
                true => Some(weight_norm::transposed(weights, "pool", pool)?),
                false => None,
            },
            shortcut: match ins == outs {
                true => None,
                false => Some(weight_norm::convolution(weights, "conv1x1", shortcut)?),
            },
        })
    }

    /// `(frames, ins)` to `(frames, outs)`, or twice as many frames.
    pub(super) fn forward(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let [first, second] = &self.norms;
        let mut y = leaky_relu(&first.forward(x, style)?, SLOPE)?;
        if let Some(pool) = &self.pool {
            y = pool.forward(&y)?;
        }
        y = self.convolutions[0].forward(&y)?;
        y = leaky_relu(&second.forward(&y, style)?, SLOPE)?;
        y = self.convolutions[1].forward(&y)?;
        // Each frame of the shortcut by itself, so they may be doubled after it.
        let mut beside = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x)?,
            None => x.clone(),
        };
        if self.pool.is_some() {
            let (frames, channels) = beside.dims2()?;
            let doubled = beside.unsqueeze(1)?.broadcast_as((frames, 2, channels))?;
            beside = doubled.contiguous()?.reshape((2 * frames, channels))?;
        }
        Ok(((y + beside)? * std::f64::consts::FRAC_1_SQRT_2)?)
    }
}

/// Of variances.
const EPS: f64 = 1e-5;
/// Of leaky ReLUs.
pub(super) const SLOPE: f32 = 0.2;
