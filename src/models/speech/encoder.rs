//! An encoder of sound for all families whose features go through convolutions into layers.

use std::fmt;

use candle_core::{DType, Device, Tensor};

use crate::audio::AudioFeatures;
use crate::error::{Error, Result};
use crate::models::heads::finite;
use crate::models::speech::config::AudioEncoderConfig;
use crate::models::speech::convolution::Convolution;
use crate::models::threads::Threads;
use crate::nn::attention::Attention;
use crate::nn::layer::Layer;
use crate::nn::norm::{Norm, normed};
use crate::nn::packed::Tokens;
use crate::nn::positions::PositionTable;
use crate::nn::{Shared, Step};
use crate::weights::Weights;

/// The half of an encoder-decoder that hears.
pub(crate) trait AudioEncoder: fmt::Debug + Send + Sync {
    /// The hidden states of each recording, `(frames, hidden)`, in the dtype of activations.
    fn encode(&self, rows: &[&AudioFeatures]) -> Result<Vec<Tensor>>;
}

/// An encoder of sound, built from its [`AudioEncoderConfig`].
#[derive(Debug)]
pub struct ConvolutionalEncoder {
    config: AudioEncoderConfig,
    device: Device,
    /// Of activations.
    compute: DType,
    convolutions: Vec<Convolution>,
    positions: Option<PositionTable>,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
    threads: Threads,
}

impl ConvolutionalEncoder {
    /// Reads `convolutions.*`, `embed.positions`, `layers.*` and `final_norm` from a scope.
    pub(super) fn load(
        config: AudioEncoderConfig,
        weights: &Weights,
        threads: Threads,
    ) -> Result<Self> {
        let hidden = config.hidden_size;
        let mut convolutions = Vec::with_capacity(config.convolutions.len());
        let mut inputs = config.width;
        for (number, &convolution) in config.convolutions.iter().enumerate() {
            let name = format!("convolutions.{number}");
            convolutions.push(Convolution::load(weights, &name, inputs, convolution)?);
            inputs = convolution.channels;
        }
        let scope = weights.scope("layers");
        let layer = |(i, layer)| Layer::load(&scope.scope(i), hidden, layer);
        Ok(Self {
            convolutions,
            positions: PositionTable::load(weights, "embed.positions", hidden, config.positions)?,
            layers: config.layers.iter().enumerate().map(layer).collect::<Result<_>>()?,
            final_norm: match config.final_norm {
                Some(norm) => Some(Norm::load(weights, "final_norm", hidden, norm)?),
                None => None,
            },
            device: weights.device().clone(),
            compute: weights.dtype(),
            threads,
            config,
        })
    }

    /// The parts of the encoder.
    #[must_use]
    pub fn config(&self) -> &AudioEncoderConfig {
        &self.config
    }

    /// The features, if they are what the model reads.
    fn checked(&self, features: &AudioFeatures) -> Result<Tensor> {
        let AudioEncoderConfig { width, max_positions, .. } = self.config;
        let (frames, found) = (features.frames(), features.width());
        if found != width {
            return Err(Error::input(format!(
                "frames of {found} values for a model that reads frames of {width}: make the features \
                 with the model's own feature extractor"
            )));
        }
        let (stride, states) = (self.config.stride(), self.config.frames(frames));
        if self.positions.is_none() && (states == 0 || features.length() == 0) {
            return Err(Error::input(format!("{frames} samples are too few for one frame")));
        }
        let is_window = states <= max_positions && frames.is_multiple_of(stride);
        if self.positions.is_some() && (states == 0 || !is_window) {
            let most = max_positions * stride;
            return Err(Error::input(format!(
                "{frames} frames of features for a model that reads {most} at a time, or fewer in a \
                 multiple of {stride}: cut the recording into windows"
            )));
        }
        if let Some(at) = features.values().iter().position(|value| !value.is_finite()) {
            let value = features.values()[at];
            return Err(Error::input(format!(
                "frame {} of the features holds {value}",
                at / width
            )));
        }
        let features = Tensor::from_slice(features.values(), (frames, width), &self.device)?;
        Ok(features.to_dtype(self.compute)?)
    }

    /// What goes into the first layer, `(frames, hidden)`.
    fn embedded(&self, features: &AudioFeatures) -> Result<Tensor> {
        let mut x = self.checked(features)?;
        for convolution in &self.convolutions {
            x = convolution.forward(&x)?;
        }
        let frames = x.dim(0)?;
        let Some(positions) = &self.positions else {
            // What is attended to does not begin in the padding.
            let heard = features.length().div_ceil(self.config.stride());
            return Ok(x.narrow(0, 0, heard.min(frames))?);
        };
        let places: Vec<u32> = (0..frames as u32).collect();
        Ok((x + positions.forward(&vec![0; frames], &places, &self.device)?)?)
    }

    /// Hidden states of some recordings, `(frames, hidden)` each, by the threads at hand.
    fn states(&self, rows: &[&AudioFeatures]) -> Result<Vec<Tensor>> {
        let embedded = rows.iter().map(|row| self.embedded(row)).collect::<Result<Vec<_>>>()?;
        let lengths =
            embedded.iter().map(|row| row.dim(0)).collect::<candle_core::Result<Vec<_>>>()?;
        let tokens = Tokens::of_lengths(lengths);
        let AudioEncoderConfig { ropes, spans, .. } = &self.config;
        let shared = Shared { ropes, spans, alibis: &[], relative: None };
        let step = Step::uncached(&tokens, shared, &self.device)?;
        let mut x = Tensor::cat(&embedded, 0)?;
        for layer in &self.layers {
            x = layer.forward(
                &x,
                &step,
                |attention: &Attention, x| attention.forward_uncached(x, &step),
                |_, _| Err(Error::input("an encoder has no source")),
            )?;
        }
        let x = normed(self.final_norm.as_ref(), x)?;
        tokens.rows.iter().map(|row| Ok(x.narrow(0, row.start, row.len())?)).collect()
    }
}

/// Windows of sound are long: on the CPU each goes through all layers by itself, so that what lies
/// between them stays in the caches; on other devices they go together.
impl AudioEncoder for ConvolutionalEncoder {
    fn encode(&self, rows: &[&AudioFeatures]) -> Result<Vec<Tensor>> {
        if rows.is_empty() {
            return Err(Error::input("no recordings to encode"));
        }
        self.threads.run_on(&self.device, || {
            let at_once = if self.device.is_cpu() { 1 } else { rows.len() };
            let mut states = Vec::with_capacity(rows.len());
            for rows in rows.chunks(at_once) {
                states.extend(self.states(rows)?);
            }
            Ok(states)
        })
    }
}

/// The hidden states in f32, if they are numbers.
pub(super) fn wide(states: Vec<Tensor>) -> Result<Vec<Tensor>> {
    states.into_iter().map(|states| finite(states.to_dtype(DType::F32)?)).collect()
}
