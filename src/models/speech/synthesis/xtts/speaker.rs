//! The speaker encoder: a ResNet over a spectrogram that says whose voice it is. <https://arxiv.org/abs/2009.14153>

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops;

use crate::audio::MelSpectrogram;
use crate::error::{Error, Result};
use crate::nn::batch_norm::BatchNorm;
use crate::nn::convolution2d::{Convolution2d, SquareConfig};
use crate::nn::picture::Picture;
use crate::weights::{Bias, Linear, Weights};

/// From sound to a speaker's embedding: `ResNetSpeakerEncoder` of Coqui.
#[derive(Debug)]
pub(super) struct SpeakerEncoder {
    mels: MelSpectrogram,
    first: Convolution2d,
    first_norm: BatchNorm,
    blocks: Vec<Block>,
    attention: [Linear; 2],
    attention_norm: BatchNorm,
    out: Linear,
    device: Device,
    dtype: DType,
}

#[derive(Debug)]
struct Block {
    convolutions: [Convolution2d; 2],
    norms: [BatchNorm; 2],
    /// A gate for each channel, by its mean: squeeze and excitation. <https://arxiv.org/abs/1709.01507>
    gates: [Linear; 2],
    shortcut: Option<(Convolution2d, BatchNorm)>,
}

impl SpeakerEncoder {
    pub(super) fn load(weights: &Weights, size: usize) -> Result<Self> {
        let mels = MelSpectrogram::of_xtts_speaker();
        let mut channels = outs(weights, "conv1")?;
        let first = Convolution2d::load_dense(
            weights,
            "conv1",
            [1, channels],
            SquareConfig::THREE,
            Bias::Present,
        )?;
        let first_norm = BatchNorm::load(weights, "bn1", channels)?;
        let mut blocks = Vec::new();
        for stage in 0..STAGES {
            let stage_weights = weights.scope(format!("layer{}", stage + 1));
            let mut number = 0;
            while stage_weights.scope(number).contains("conv1") {
                if number == MOST_BLOCKS {
                    return Err(Error::unsupported("a speaker encoder of very many layers"));
                }
                let stride = if number == 0 && stage > 0 { 2 } else { 1 };
                let block = Block::load(&stage_weights.scope(number), channels, stride)?;
                channels = block.1;
                blocks.push(block.0);
                number += 1;
            }
        }
        // Each stage but the first halves the picture's sides.
        let wide = channels * (mels.width() >> (STAGES - 1));
        let scope = weights.scope("attention");
        let narrow = outs(&scope, "0")?;
        Ok(Self {
            first,
            first_norm,
            blocks,
            attention: [
                scope.linear("0", wide, narrow, Bias::Present)?,
                scope.linear("3", narrow, wide, Bias::Present)?,
            ],
            attention_norm: BatchNorm::load(&scope, "2", narrow)?,
            out: weights.linear("fc", 2 * wide, size, Bias::Present)?,
            device: weights.device().clone(),
            dtype: weights.dtype(),
            mels,
        })
    }

    /// The embedding of a recording of 16,000 samples per second, of length 1.
    pub(super) fn forward(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let (values, height) = (self.mels.frames(samples)?, self.mels.width());
        let width = values.len() / height;
        // Each mel value over time has mean 0 and deviation 1.
        let x = Tensor::from_vec(values, (width, height), &self.device)?.t()?.contiguous()?;
        let x = x.broadcast_sub(&x.mean_keepdim(1)?)?;
        let deviation = (x.sqr()?.mean_keepdim(1)? + EPSILON)?.sqrt()?;
        let x = x.broadcast_div(&deviation)?.to_dtype(self.dtype)?;
        let picture = Picture::new(x.reshape((height * width, 1))?, height, width)?;
        let x = self.first.forward(&picture)?;
        let mut x = x.with(self.first_norm.forward(&x.x.relu()?)?);
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        // Moments of time with the channels of each row, as PyTorch lays them out: `(time, channels, rows)`.
        let channels = x.channels()?;
        let frames = x.x.reshape((x.height, x.width, channels))?.permute((1, 2, 0))?;
        let frames = frames.contiguous()?.flatten_from(1)?;
        let [narrow, wide] = &self.attention;
        let y = self.attention_norm.forward(&narrow.forward(&frames)?.relu()?)?;
        let shares = wide.forward(&y)?.to_dtype(DType::F32)?.t()?.contiguous()?;
        let shares = ops::softmax_last_dim(&shares)?;
        let frames = frames.to_dtype(DType::F32)?.t()?.contiguous()?;
        let mean = (&frames * &shares)?.sum(1)?;
        let square = (frames.sqr()? * shares)?.sum(1)?;
        let deviation = (square - mean.sqr()?)?.clamp(EPSILON, f64::MAX)?.sqrt()?;
        let both = Tensor::cat(&[mean, deviation], 0)?.unsqueeze(0)?.to_dtype(self.dtype)?;
        let out = self.out.forward(&both)?.to_dtype(DType::F32)?;
        let length = out.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.clamp(1e-12, f32::MAX)?;
        Ok(out.broadcast_div(&length)?.flatten_all()?.to_vec1()?)
    }
}

impl Block {
    /// A block and how many channels come out.
    fn load(weights: &Weights, ins: usize, stride: usize) -> Result<(Self, usize)> {
        let outs_of = outs(weights, "conv1")?;
        let convolution = |name: &str, ins: usize, shape: SquareConfig| {
            Convolution2d::load_dense(weights, name, [ins, outs_of], shape, Bias::Absent)
        };
        let first = SquareConfig { stride, ..SquareConfig::THREE };
        let shortcut = match weights.contains("downsample.0") {
            false if stride == 1 && ins == outs_of => None,
            _ => Some((
                convolution("downsample.0", ins, SquareConfig { stride, ..SquareConfig::ONE })?,
                BatchNorm::load(weights, "downsample.1", outs_of)?,
            )),
        };
        let narrow = outs(weights, "se.fc.0")?;
        let block = Self {
            convolutions: [
                convolution("conv1", ins, first)?,
                convolution("conv2", outs_of, SquareConfig::THREE)?,
            ],
            norms: [
                BatchNorm::load(weights, "bn1", outs_of)?,
                BatchNorm::load(weights, "bn2", outs_of)?,
            ],
            gates: [
                weights.linear("se.fc.0", outs_of, narrow, Bias::Present)?,
                weights.linear("se.fc.2", narrow, outs_of, Bias::Present)?,
            ],
            shortcut,
        };
        Ok((block, outs_of))
    }

    fn forward(&self, picture: &Picture) -> Result<Picture> {
        let [first, second] = &self.convolutions;
        let [first_norm, second_norm] = &self.norms;
        let y = first.forward(picture)?;
        let y = y.with(first_norm.forward(&y.x.relu()?)?);
        let y = second.forward(&y)?;
        let y = y.with(second_norm.forward(&y.x)?);
        let [narrow, wide] = &self.gates;
        let gates = wide.forward(&narrow.forward(&y.x.mean_keepdim(0)?)?.relu()?)?;
        let gated = y.x.broadcast_mul(&ops::sigmoid(&gates)?)?;
        let rest = match &self.shortcut {
            None => picture.x.clone(),
            Some((convolution, norm)) => norm.forward(&convolution.forward(picture)?.x)?,
        };
        Ok(y.with((gated + rest)?.relu()?))
    }
}

/// The results of a layer, by the shape of its weight.
fn outs(weights: &Weights, name: &str) -> Result<usize> {
    let shape = weights.shape(&format!("{name}.weight"));
    let outs = shape.and_then(|shape| shape.first().copied()).filter(|outs| *outs > 0);
    outs.ok_or_else(|| Error::unsupported(format!("a speaker encoder without the layer `{name}`")))
}

/// Stages of the network; Coqui's code fixes them.
const STAGES: usize = 4;
/// Layers of a stage: 3, 4, 6 and 3 in Coqui's.
const MOST_BLOCKS: usize = 64;
/// Added to variances, and the least of them.
const EPSILON: f64 = 1e-5;
