//! HTSAT: stages of layers that attend within windows, over a grid that becomes smaller and wider.

use candle_core::{DType, Tensor};

use crate::audio::AudioFeatures;
use crate::error::{Error, Result};
use crate::models::speech::clap::config::{AudioConfig, LayerShape, StageConfig};
use crate::models::speech::clap::embed::Embed;
use crate::models::speech::clap::picture::Pictures;
use crate::models::speech::clap::window::{WindowAttention, Windows};
use crate::models::speech::patches::Place;
use crate::nn::mlp::{Mlp, MlpConfig};
use crate::nn::norm::{Norm, NormConfig};
use crate::weights::{Bias, Linear, Weights};

/// The half that hears.
#[derive(Debug)]
pub(super) struct AudioTower {
    config: AudioConfig,
    place: Place,
    pictures: Pictures,
    embed: Embed,
    stages: Vec<Stage>,
    norm: Norm,
}

#[derive(Debug)]
struct Stage {
    layers: Vec<SwinLayer>,
    /// Windows as they are, and moved by half.
    windows: [Windows; 2],
    merging: Option<Merging>,
}

#[derive(Debug)]
struct SwinLayer {
    attention_norm: Norm,
    attention: WindowAttention,
    mlp_norm: Norm,
    mlp: Mlp,
}

/// Four neighbours become one vector of twice the width.
#[derive(Debug)]
struct Merging {
    norm: Norm,
    linear: Linear,
    /// The vectors that go together, four by four.
    order: Tensor,
}

impl AudioTower {
    pub(super) fn load(weights: &Weights, config: AudioConfig) -> Result<Self> {
        let count = config.stages.len();
        let stages = config.stages.iter().enumerate().map(|(number, stage)| {
            let weights = weights.scope("stages").scope(number);
            Stage::load(&weights, stage, config.window, config.layer, number + 1 < count)
        });
        Ok(Self {
            place: Place::of(weights),
            pictures: Pictures::load(weights, &config)?,
            embed: Embed::load(weights, &config)?,
            stages: stages.collect::<Result<_>>()?,
            norm: Norm::load(weights, "norm", config.width(), NORM)?,
            config,
        })
    }

    /// The mean of what comes out of the last stage, `(1, width)`.
    pub(super) fn forward(&self, features: &AudioFeatures) -> Result<Tensor> {
        let pictures = self.views(features)?;
        let pictures =
            pictures.into_iter().map(|view| self.pictures.of(view)).collect::<Result<Vec<_>>>()?;
        let mut x = self.embed.forward(&pictures, &self.place)?;
        for stage in &self.stages {
            x = stage.forward(x)?;
        }
        Ok(self.norm.forward(&x)?.to_dtype(DType::F32)?.mean_keepdim(0)?)
    }

    /// The views of a recording that are read: one, or all four where it counts as long.
    fn views<'a>(&self, features: &'a AudioFeatures) -> Result<Vec<&'a [f32]>> {
        let (mels, most) = (self.config.mels, self.config.most_frames());
        if features.width() != mels {
            let found = features.width();
            return Err(Error::input(format!(
                "frames of {found} values for a model that reads frames of {mels}: make the features with \
                 the model's own feature extractor"
            )));
        }
        let (values, frames) = (features.values(), features.frames());
        if !self.embed.fuses() {
            return Ok(vec![values]);
        }
        if !frames.is_multiple_of(VIEWS) || frames / VIEWS > most {
            return Err(Error::input(format!(
                "{frames} frames of features for a model that reads {VIEWS} views of up to {most} frames: its \
                 feature extractor makes them where `truncation` is \"fusion\""
            )));
        }
        let views = values.chunks(values.len() / VIEWS);
        Ok(if features.length() == frames { views.collect() } else { views.take(1).collect() })
    }
}

impl Stage {
    fn load(
        weights: &Weights,
        config: &StageConfig,
        window: usize,
        shape: LayerShape,
        merges: bool,
    ) -> Result<Self> {
        let StageConfig { grid, width, depth, heads } = *config;
        let device = weights.device();
        // One window alone is not moved.
        let shift = if grid[0].min(grid[1]) <= window { 0 } else { window / 2 };
        let layer = |number: usize| {
            let weights = weights.scope("layers").scope(number);
            SwinLayer::load(&weights, width, heads, window, shape)
        };
        Ok(Self {
            layers: (0..depth).map(layer).collect::<Result<_>>()?,
            windows: [
                Windows::new(grid, window, 0, device)?,
                Windows::new(grid, window, shift, device)?,
            ],
            merging: match merges {
                true => Some(Merging::load(weights, grid, width)?),
                false => None,
            },
        })
    }

    fn forward(&self, mut x: Tensor) -> Result<Tensor> {
        for (number, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, &self.windows[number % 2])?;
        }
        match &self.merging {
            Some(merging) => merging.forward(&x),
            None => Ok(x),
        }
    }
}

impl SwinLayer {
    fn load(
        weights: &Weights,
        width: usize,
        heads: usize,
        window: usize,
        shape: LayerShape,
    ) -> Result<Self> {
        let LayerShape { norm, mlp_ratio, activation, has_qkv_bias } = shape;
        let hidden = (mlp_ratio * width as f64) as usize;
        let (bias, attention) = (Bias::from(has_qkv_bias), weights.scope("attn"));
        let mlp = MlpConfig::Plain { hidden, activation, bias: Bias::Present };
        Ok(Self {
            attention_norm: Norm::load(weights, "attn_norm", width, norm)?,
            attention: WindowAttention::load(&attention, width, heads, window, bias)?,
            mlp_norm: Norm::load(weights, "mlp_norm", width, norm)?,
            mlp: Mlp::load(&weights.scope("mlp"), width, &mlp)?,
        })
    }

    fn forward(&self, x: &Tensor, windows: &Windows) -> Result<Tensor> {
        let attended = self.attention.forward(&self.attention_norm.forward(x)?, windows)?;
        let x = (x + attended)?;
        let fed = self.mlp.forward(&self.mlp_norm.forward(&x)?)?;
        Ok((x + fed)?)
    }
}

impl Merging {
    /// Reads `merge_norm` and `merge`.
    fn load(weights: &Weights, [rows, columns]: [usize; 2], width: usize) -> Result<Self> {
        let linear = weights.linear("merge", 4 * width, 2 * width, Bias::Absent)?;
        let order = (0..rows * columns).map(|at| {
            let (to, of_four) = (at / 4, at % 4);
            let row = to / (columns / 2) * 2 + of_four % 2;
            let column = to % (columns / 2) * 2 + of_four / 2;
            (row * columns + column) as u32
        });
        Ok(Self {
            norm: Norm::load(weights, "merge_norm", 4 * width, NORM)?,
            linear,
            order: Tensor::from_iter(order, weights.device())?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (count, width) = x.dims2()?;
        let x = x.index_select(&self.order, 0)?.reshape((count / 4, 4 * width))?;
        self.linear.forward(&self.norm.forward(&x)?)
    }
}

/// Of norms beside the layers'.
const NORM: NormConfig = NormConfig::Layer { eps: 1e-5 };
/// Of a recording, where they are fused: all of it and three parts.
const VIEWS: usize = 4;
