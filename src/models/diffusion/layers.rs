//! What the models that paint are built of.

use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::nn::activation::Activation;
use crate::nn::convolution2d::{Convolution2d, SquareConfig};
use crate::nn::group_norm::GroupNorm;
use crate::nn::picture::Picture;
use crate::nn::residual::join;
use crate::weights::{Bias, Linear, Weights};

/// `ResnetBlock2D` of diffusers: two convolutions, each behind a norm and SiLU, with the embedded time between them.
#[derive(Debug, Clone)]
pub(super) struct Resnet {
    norms: [GroupNorm; 2],
    convolutions: [Convolution2d; 2],
    time: Option<Linear>,
    shortcut: Option<Linear>,
}

/// The groups of a norm and what is added to the variance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Groups {
    pub(super) count: usize,
    pub(super) eps: f64,
}

impl Resnet {
    pub(super) fn load(
        weights: &Weights,
        [inputs, outputs]: [usize; 2],
        time: Option<usize>,
        groups: Groups,
    ) -> Result<Self> {
        let norm = |name: &str, channels| {
            GroupNorm::load(weights, name, channels, groups.count, groups.eps)
        };
        let convolution = |name: &str, channels| {
            Convolution2d::load(weights, name, channels, SquareConfig::THREE, Bias::Present)
        };
        Ok(Self {
            norms: [norm("norm1", inputs)?, norm("norm2", outputs)?],
            convolutions: [
                convolution("conv1", [inputs, outputs])?,
                convolution("conv2", [outputs, outputs])?,
            ],
            time: match time {
                Some(size) => {
                    Some(weights.linear("time_emb_proj", size, outputs, Bias::Present)?)
                }
                None => None,
            },
            shortcut: match inputs == outputs {
                true => None,
                false => Some(weights.linear("conv_shortcut", inputs, outputs, Bias::Present)?),
            },
        })
    }

    /// `time`: the embedded time behind SiLU, `(1, size)`.
    pub(super) fn forward(&self, picture: &Picture, time: Option<&Tensor>) -> Result<Picture> {
        let half = |number: usize, x: &Picture, shift: Option<&Tensor>| -> Result<Picture> {
            let x = x.with(self.norms[number].forward_silu(&x.x)?);
            self.convolutions[number].forward_shifted(&x, shift)
        };
        let shift = match (&self.time, time) {
            (Some(linear), Some(time)) => Some(linear.forward(time)?.squeeze(0)?),
            _ => None,
        };
        let inner = half(1, &half(0, picture, shift.as_ref())?, None)?;
        let x = match &self.shortcut {
            Some(shortcut) => &shortcut.forward(&picture.x)?,
            None => &picture.x,
        };
        Ok(picture.with(join(x, inner.x, None)?))
    }
}

/// Reads the norm and the convolution at the end of a model.
#[derive(Debug, Clone)]
pub(super) struct Last {
    norm: GroupNorm,
    convolution: Convolution2d,
}

impl Last {
    pub(super) fn load(weights: &Weights, channels: [usize; 2], groups: Groups) -> Result<Self> {
        let norm =
            GroupNorm::load(weights, "conv_norm_out", channels[0], groups.count, groups.eps)?;
        Ok(Self { norm, convolution: three(weights, "conv_out", channels)? })
    }

    pub(super) fn forward(&self, picture: &Picture) -> Result<Picture> {
        self.convolution.forward(&picture.with(self.norm.forward_silu(&picture.x)?))
    }
}

/// A convolution of a pixel and its neighbours.
pub(super) fn three(weights: &Weights, name: &str, channels: [usize; 2]) -> Result<Convolution2d> {
    Convolution2d::load(weights, name, channels, SquareConfig::THREE, Bias::Present)
}

/// `TimestepEmbedding` of diffusers: two layers with SiLU between them.
#[derive(Debug, Clone)]
pub(super) struct TwoLayers {
    first: Linear,
    second: Linear,
    /// Of what is added to the input: `time_cond_proj_dim` of models made by latent consistency distillation.
    condition: Option<Linear>,
}

impl TwoLayers {
    /// Reads `linear_1` and `linear_2`, and `cond_proj` of `condition` features.
    pub(super) fn load(
        weights: &Weights,
        inputs: usize,
        size: usize,
        condition: Option<usize>,
    ) -> Result<Self> {
        Ok(Self {
            first: weights.linear("linear_1", inputs, size, Bias::Present)?,
            second: weights.linear("linear_2", size, size, Bias::Present)?,
            condition: match condition {
                Some(width) => Some(weights.linear("cond_proj", width, inputs, Bias::Absent)?),
                None => None,
            },
        })
    }

    pub(super) fn forward(&self, x: &Tensor, condition: Option<&Tensor>) -> Result<Tensor> {
        let x = match (&self.condition, condition) {
            (Some(linear), Some(condition)) => (x + linear.forward(condition)?)?,
            _ => x.clone(),
        };
        self.second.forward(&Activation::Silu.forward(&self.first.forward(&x)?)?)
    }
}

/// The order of sines and cosines, and by how much the lowest frequency is shifted: `Timesteps` of diffusers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waves {
    pub(super) cosines_first: bool,
    pub(super) shift: f64,
}

impl Waves {
    /// What most models have.
    pub(super) const PLAIN: Self = Self { cosines_first: true, shift: 0.0 };

    /// `get_timestep_embedding` of diffusers, of each of some numbers: `(numbers, size)` in f32.
    pub(super) fn of(self, numbers: &[f32], size: usize, device: &Device) -> Result<Tensor> {
        let half = size / 2;
        let step = -(10_000_f64.ln());
        let frequency = |at: usize| {
            // In f32, as there.
            let exponent = step as f32 * at as f32 / (half as f64 - self.shift) as f32;
            exponent.exp()
        };
        let frequencies: Vec<f32> = (0..half).map(frequency).collect();
        let mut waves = Vec::with_capacity(numbers.len() * size);
        for number in numbers {
            let angles = || frequencies.iter().map(|frequency| number * frequency);
            let (sines, cosines) = (angles().map(f32::sin), angles().map(f32::cos));
            match self.cosines_first {
                true => waves.extend(cosines.chain(sines)),
                false => waves.extend(sines.chain(cosines)),
            }
            waves.resize(waves.len() + size % 2, 0.0);
        }
        Ok(Tensor::from_vec(waves, (numbers.len(), size), device)?.to_dtype(DType::F32)?)
    }
}
