//! What conditions the GPT on a voice: an encoder of mel values, and a resampler that sums it up in a few vectors.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops;

use crate::audio::MelSpectrogram;
use crate::error::{Error, Result};
use crate::nn::activation::Activation;
use crate::nn::attention::{Attention, AttentionConfig};
use crate::nn::group_norm::GroupNorm;
use crate::nn::packed::Tokens;
use crate::nn::span::AttentionSpan;
use crate::nn::{Shared, Step};
use crate::weights::{Bias, Linear, Weights};

/// From sound to the vectors that stand before a text. `ConditioningEncoder` and `PerceiverResampler` of Coqui.
#[derive(Debug)]
pub(super) struct StyleEncoder {
    mels: MelSpectrogram,
    /// What each value of a frame is divided by, `(mels)`.
    mel_norms: Tensor,
    first: Linear,
    layers: Vec<(GroupNorm, Attention)>,
    resampler: Resampler,
    device: Device,
    dtype: DType,
}

/// Vectors that attend to frames: a perceiver. <https://arxiv.org/abs/2204.14198>
#[derive(Debug)]
struct Resampler {
    /// `(vectors, hidden)`.
    latents: Tensor,
    layers: Vec<ResamplerLayer>,
    /// `(hidden)`.
    gamma: Tensor,
}

#[derive(Debug)]
struct ResamplerLayer {
    query: Linear,
    key_value: Linear,
    out: Linear,
    up: Linear,
    down: Linear,
}

impl StyleEncoder {
    /// Reads `mel_stats`, `style.*` of our names and `gpt.conditioning_*` of the checkpoint's.
    pub(super) fn load(
        named: &Weights,
        stored: &Weights,
        hidden: usize,
        heads: usize,
    ) -> Result<Self> {
        let mels = MelSpectrogram::of_xtts_style();
        let scope = stored.scope("gpt.conditioning_encoder");
        let groups = groups(hidden)?;
        let config = AttentionConfig::plain(heads, hidden / heads, Bias::Present);
        let layer = |number: usize| -> Result<(GroupNorm, Attention)> {
            let norm = scope.scope("attn").scope(number);
            let attention = named.scope("style").scope("layers").scope(number).scope("attn");
            Ok((
                GroupNorm::load(&norm, "norm", hidden, groups, 1e-5)?,
                Attention::load(&attention, hidden, &config)?,
            ))
        };
        Ok(Self {
            mel_norms: stored.tensor("mel_stats", &[mels.width()])?,
            first: scope.linear("init", mels.width(), hidden, Bias::Present)?,
            layers: (0..LAYERS).map(layer).collect::<Result<_>>()?,
            resampler: Resampler::load(&stored.scope("gpt.conditioning_perceiver"), hidden)?,
            device: stored.device().clone(),
            dtype: stored.dtype(),
            mels,
        })
    }

    /// The vectors of a piece of sound of 22,050 samples per second, `(vectors, hidden)`.
    pub(super) fn forward(&self, samples: &[f32]) -> Result<Tensor> {
        let x = self.mel(samples)?.to_dtype(self.dtype)?;
        let tokens = Tokens::of_lengths([x.dim(0)?]);
        let spans = [AttentionSpan::Bidirectional { window: None }];
        let shared = Shared { ropes: &[], spans: &spans, alibis: &[], relative: None };
        let step = Step::uncached(&tokens, shared, &self.device)?;
        let mut x = self.first.forward(&x)?;
        for (norm, attention) in &self.layers {
            // What is added to is normed, too.
            let normed = norm.forward(&x)?;
            x = (&normed + attention.forward_uncached(&normed, &step)?)?;
        }
        self.resampler.forward(&x)
    }

    /// The values of all frames, `(frames, mels)` in f32.
    pub(super) fn mel(&self, samples: &[f32]) -> Result<Tensor> {
        let (values, width) = (self.mels.frames(samples)?, self.mels.width());
        let frames = values.len() / width;
        let x = Tensor::from_vec(values, (frames, width), &self.device)?;
        Ok(x.broadcast_div(&self.mel_norms.to_dtype(DType::F32)?)?)
    }
}

impl Resampler {
    fn load(weights: &Weights, hidden: usize) -> Result<Self> {
        let shape = |name: &str| -> Result<Vec<usize>> {
            let shape = weights.shape(name).filter(|shape| shape.len() == 2);
            shape.map(<[usize]>::to_vec).ok_or_else(|| {
                Error::unsupported(format!("gpt.conditioning_perceiver lacks the matrix {name}"))
            })
        };
        let vectors = shape("latents")?[0];
        let layer = |number: usize| -> Result<ResamplerLayer> {
            let name = format!("layers.{number}");
            let inner = shape(&format!("{name}.0.to_q.weight"))?[0];
            let narrow = shape(&format!("{name}.1.2.weight"))?[1];
            if inner == 0 || !inner.is_multiple_of(HEADS) {
                return Err(Error::unsupported(format!("{name} has no {HEADS} heads")));
            }
            let weights = weights.scope(name);
            let linear = |name: &str, from: usize, to: usize, bias: Bias| {
                weights.linear(name, from, to, bias)
            };
            Ok(ResamplerLayer {
                query: linear("0.to_q", hidden, inner, Bias::Absent)?,
                key_value: linear("0.to_kv", hidden, 2 * inner, Bias::Absent)?,
                out: linear("0.to_out", inner, hidden, Bias::Absent)?,
                up: linear("1.0", hidden, 2 * narrow, Bias::Present)?,
                down: linear("1.2", narrow, hidden, Bias::Present)?,
            })
        };
        Ok(Self {
            latents: weights.tensor("latents", &[vectors, hidden])?,
            layers: (0..RESAMPLER_LAYERS).map(layer).collect::<Result<_>>()?,
            gamma: weights.tensor("norm.gamma", &[hidden])?,
        })
    }

    fn forward(&self, frames: &Tensor) -> Result<Tensor> {
        let mut x = self.latents.clone();
        for layer in &self.layers {
            x = (&x + layer.attend(&x, frames)?)?;
            let [values, gates] = halves(&layer.up.forward(&x)?)?;
            let gated = (values * Activation::Gelu.forward(&gates)?)?;
            x = (&x + layer.down.forward(&gated)?)?;
        }
        let wide = x.to_dtype(DType::F32)?;
        let length = wide.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.clamp(1e-12, f32::MAX)?;
        let scale = (x.dim(1)? as f64).sqrt();
        let x = (wide.broadcast_div(&length)? * scale)?.to_dtype(x.dtype())?;
        Ok(x.broadcast_mul(&self.gamma)?)
    }
}

impl ResamplerLayer {
    /// The vectors attend to themselves and to the frames.
    fn attend(&self, x: &Tensor, frames: &Tensor) -> Result<Tensor> {
        let split = |x: &Tensor| -> Result<Tensor> {
            let (tokens, inner) = x.dims2()?;
            let x = x.reshape((tokens, HEADS, inner / HEADS))?.transpose(0, 1)?;
            Ok(x.to_dtype(DType::F32)?.contiguous()?)
        };
        let seen = Tensor::cat(&[x, frames], 0)?;
        let [keys, values] = halves(&self.key_value.forward(&seen)?)?;
        let (queries, keys, values) =
            (split(&self.query.forward(x)?)?, split(&keys)?, split(&values)?);
        let scale = (queries.dim(2)? as f64).powf(-0.5);
        let scores = (queries.matmul(&keys.t()?.contiguous()?)? * scale)?;
        let y = ops::softmax_last_dim(&scores)?.matmul(&values)?;
        let y = y.transpose(0, 1)?.flatten_from(1)?.to_dtype(x.dtype())?;
        self.out.forward(&y)
    }
}

/// The first and the last half of the channels.
fn halves(x: &Tensor) -> Result<[Tensor; 2]> {
    let half = x.dim(1)? / 2;
    Ok([x.narrow(1, 0, half)?.contiguous()?, x.narrow(1, half, half)?.contiguous()?])
}

/// `normalization` of Coqui's `arch_utils.py`.
fn groups(channels: usize) -> Result<usize> {
    let mut groups = match channels {
        ..=16 => 8,
        17..=64 => 16,
        _ => 32,
    };
    while !channels.is_multiple_of(groups) {
        groups /= 2;
    }
    match groups > 2 {
        true => Ok(groups),
        false => Err(Error::unsupported(format!("{channels} channels for group norms of XTTS"))),
    }
}

/// Coqui's code fixes them.
const LAYERS: usize = 6;
const RESAMPLER_LAYERS: usize = 2;
const HEADS: usize = 8;
