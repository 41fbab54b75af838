//! How long each phoneme is heard, and the melody: `ProsodyPredictor`.

use candle_core::{D, DType, Tensor};

use crate::error::Result;
use crate::models::speech::synthesis::kokoro::adaptive::{AdaLayerNorm, AdainBlock};
use crate::models::speech::synthesis::kokoro::config::KokoroConfig;
use crate::models::speech::synthesis::kokoro::text::both_ways;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::lstm::Lstm;
use crate::weights::{Bias, Linear, Weights};

#[derive(Debug)]
pub(super) struct ProsodyPredictor {
    /// The encoder of durations.
    layers: Vec<(Lstm, AdaLayerNorm)>,
    lstm: Lstm,
    durations: Linear,
    shared: Lstm,
    pitch: Curve,
    energy: Curve,
}

/// A number for each half of a frame.
#[derive(Debug)]
struct Curve {
    blocks: [AdainBlock; 3],
    projection: Convolution,
}

impl ProsodyPredictor {
    pub(super) fn load(weights: &Weights, config: &KokoroConfig) -> Result<Self> {
        let (hidden, style) = (config.hidden_dim, config.style_dim);
        let lstm = |scope: &Weights, name: &str| {
            Lstm::load(scope, name, both_ways(hidden + style, hidden))
        };
        let layer = |number: usize| {
            let scope = weights.scope("text_encoder.lstms");
            let norm = AdaLayerNorm::load(&scope.scope(2 * number + 1), style, hidden)?;
            Ok((lstm(&scope, &(2 * number).to_string())?, norm))
        };
        Ok(Self {
            layers: (0..config.n_layer).map(layer).collect::<Result<_>>()?,
            lstm: lstm(weights, "lstm")?,
            durations: weights.linear(
                "duration_proj.linear_layer",
                hidden,
                config.max_dur,
                Bias::Present,
            )?,
            shared: lstm(weights, "shared")?,
            pitch: Curve::load(weights, "F0", config)?,
            energy: Curve::load(weights, "N", config)?,
        })
    }

    /// What PL-BERT says of the ids, `(ids, hidden)`, with the style `(1, style)`: `(ids, hidden + style)`.
    pub(super) fn encode(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let styled = |x: &Tensor| -> Result<Tensor> {
            let style = style.broadcast_as((x.dim(0)?, style.dim(1)?))?.contiguous()?;
            Ok(Tensor::cat(&[x, &style], 1)?)
        };
        let mut x = styled(x)?;
        for (lstm, norm) in &self.layers {
            x = styled(&norm.forward(&lstm.forward(&x)?, style)?)?;
        }
        Ok(x)
    }

    /// The frames of each id at a speed, not rounded yet.
    pub(super) fn durations(&self, encoded: &Tensor, speed: f32) -> Result<Vec<f32>> {
        let x = self.durations.forward(&self.lstm.forward(encoded)?)?;
        let sums = candle_nn::ops::sigmoid(&x.to_dtype(DType::F32)?)?.sum(D::Minus1)?;
        let sums = sums.to_vec1::<f32>()?;
        Ok(sums.into_iter().map(|sum| sum / speed).collect())
    }

    /// The pitch and the energy of what is heard in each frame, `(frames, hidden + style)`: two numbers for each
    /// frame.
    pub(super) fn melody(&self, x: &Tensor, style: &Tensor) -> Result<[Vec<f32>; 2]> {
        let x = self.shared.forward(x)?;
        Ok([self.pitch.forward(&x, style)?, self.energy.forward(&x, style)?])
    }
}

impl Curve {
    fn load(weights: &Weights, name: &str, config: &KokoroConfig) -> Result<Self> {
        let (hidden, half, style) = (config.hidden_dim, config.hidden_dim / 2, config.style_dim);
        let scope = weights.scope(name);
        let block = |number: usize, channels: [usize; 2]| {
            AdainBlock::load(&scope.scope(number), channels, style, number == 1)
        };
        let projection = ConvolutionConfig::new([half, 1], 1, Bias::Present);
        Ok(Self {
            blocks: [block(0, [hidden; 2])?, block(1, [hidden, half])?, block(2, [half; 2])?],
            projection: Convolution::load(weights, &format!("{name}_proj"), projection)?,
        })
    }

    fn forward(&self, x: &Tensor, style: &Tensor) -> Result<Vec<f32>> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&x, style)?;
        }
        Ok(self.projection.forward(&x)?.squeeze(1)?.to_dtype(DType::F32)?.to_vec1()?)
    }
}
