//! One configurable encoder of speech for all families that CTC models are made of.

pub mod config;

pub(crate) mod families;

mod adapter;
mod front;
mod heads;
mod layer;
mod open;
mod positions;
mod xvector;

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

pub use config::SpeechEncoderConfig;
pub(crate) use heads::{ClassifierHead, CtcHead, Head, Headed};
pub(crate) use open::open_classifier;
pub use open::open_language;
pub(crate) use xvector::SpeakerHead;

use crate::audio::AudioFeatures;
use crate::error::{Error, Result};
use crate::kernels::pool;
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::nn::attention::Positions as AttentionPositions;
use crate::nn::mlp::Mlp;
use crate::nn::norm::{Norm, normed};
use crate::nn::packed::Tokens;
use crate::nn::relative::{RelativePositions, SharedRelative};
use crate::nn::span::AttentionSpan;
use crate::nn::{Shared, Step};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::Weights;
use crate::weights::names::NameTable;
use adapter::Adapter;
use config::SpeechLayerConfig;
use families::Family;
use front::Front;
use layer::SpeechLayer;
use positions::Positions;

/// An encoder of speech, built from its [`SpeechEncoderConfig`].
#[derive(Debug)]
pub struct SpeechEncoder {
    config: SpeechEncoderConfig,
    device: Device,
    /// Of activations.
    compute: DType,
    front: Front,
    positions: Option<Positions>,
    first_norm: Option<Norm>,
    relative: Option<SharedRelative>,
    layers: Vec<SpeechLayer>,
    final_norm: Option<Norm>,
    last_mlp: Option<Mlp>,
    adapter: Option<Adapter>,
    threads: Threads,
}

/// The weights of a checkpoint, and those of one of its languages, which may be the same.
#[derive(Debug)]
pub(crate) struct OpenedWeights {
    pub(crate) model: Weights,
    pub(crate) language: Weights,
}

/// Frames that go through all layers together, for each thread: enough for products to be fast, and few
/// enough that what lies between them stays in the caches.
const FRAMES: usize = 512;

impl SpeechEncoder {
    /// Reads a model of a known family from an opened source, and returns the weights, too, from which
    /// heads may be read.
    pub(crate) fn load(
        family: &Family,
        raw: &RawConfig,
        files: &ModelFiles,
        options: &LoadOptions,
        language: Option<&str>,
    ) -> Result<(Self, OpenedWeights)> {
        let config = (family.config)(raw)?;
        let names = NameTable { base: families::NAMES, own: family.names };
        let model = Weights::open(files, names, options)?.base_model_prefix(family.prefix);
        let language = match language {
            None => model.clone(),
            Some(language) => {
                let has_languages = config.layers.iter().any(|layer| {
                    matches!(
                        layer,
                        SpeechLayerConfig::Transformer { language_adapter: Some(_), .. }
                    )
                });
                if !has_languages {
                    return Err(Error::option(
                        "language",
                        "the model has no adapters of languages",
                    ));
                }
                let stem = format!("adapter.{language}");
                Weights::open_stem(files, &stem, names, options)?.base_model_prefix(family.prefix)
            }
        };
        let weights = OpenedWeights { model, language };
        let threads = Threads::new(options.threads)?;
        Ok((Self::of(config, &weights, threads)?, weights))
    }

    fn of(config: SpeechEncoderConfig, weights: &OpenedWeights, threads: Threads) -> Result<Self> {
        let OpenedWeights { model: weights, language } = weights;
        let hidden = config.hidden_size;
        let norm = |name: &str, norm| match norm {
            Some(norm) => Norm::load(weights, name, hidden, norm).map(Some),
            None => Ok(None),
        };
        let relative: Vec<_> = config.layers.iter().filter_map(distances).collect();
        let layer = |(number, layer): (usize, &SpeechLayerConfig)| {
            let scope = |weights: &Weights| weights.scope("layers").scope(number);
            SpeechLayer::load(&scope(weights), &scope(language), hidden, layer)
        };
        Ok(Self {
            front: Front::load(weights, &config)?,
            positions: Positions::load(weights, &config.positions)?,
            first_norm: norm("first_norm", config.first_norm)?,
            relative: SharedRelative::load(weights, hidden, &relative)?,
            layers: config.layers.iter().enumerate().map(layer).collect::<Result<_>>()?,
            final_norm: norm("final_norm", config.final_norm)?,
            last_mlp: match &config.last_mlp {
                Some(mlp) => Some(Mlp::load(&weights.scope("last_mlp"), hidden, mlp)?),
                None => None,
            },
            adapter: match &config.adapter {
                Some(adapter) => Some(Adapter::load(&weights.scope("adapter"), hidden, adapter)?),
                None => None,
            },
            device: weights.device().clone(),
            compute: weights.dtype(),
            threads,
            config,
        })
    }

    /// The parts of the model.
    #[must_use]
    pub fn config(&self) -> &SpeechEncoderConfig {
        &self.config
    }

    /// Calls `work` with the hidden states of each recording, `(frames, out_size)`, computed by the threads
    /// of the model.
    fn each<T: Send>(
        &self,
        rows: &[&AudioFeatures],
        layers: Option<&[f64]>,
        work: impl Fn(&Tensor) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        if rows.is_empty() {
            return Err(Error::input("no recordings to read"));
        }
        self.threads.run_on(&self.device, || {
            let states = self.states(rows, layers)?;
            states.iter().map(work).collect()
        })
    }

    /// The hidden states of each recording after the last layer, or the sum of the inputs of all layers and
    /// the result, each times one of `layers`.
    fn states(&self, rows: &[&AudioFeatures], layers: Option<&[f64]>) -> Result<Vec<Tensor>> {
        let most = if self.device.is_cpu() { FRAMES * pool::threads() } else { usize::MAX };
        let mut states = Vec::with_capacity(rows.len());
        let mut waiting: Vec<Tensor> = Vec::new();
        let mut frames = 0;
        for (number, row) in rows.iter().enumerate() {
            let embedded = self.embedded(row).map_err(|error| match (error, rows.len()) {
                (Error::InvalidInput { reason }, 2..) => {
                    Error::input(format!("recording {number}: {reason}"))
                }
                (error, _) => error,
            })?;
            let length = embedded.dim(0)?;
            if !waiting.is_empty() && frames + length > most {
                states.extend(self.together(&std::mem::take(&mut waiting), layers)?);
                frames = 0;
            }
            frames += length;
            waiting.push(embedded);
        }
        states.extend(self.together(&waiting, layers)?);
        Ok(states)
    }

    /// What goes into the first layer, `(frames, hidden)`.
    fn embedded(&self, features: &AudioFeatures) -> Result<Tensor> {
        let width = self.config.width();
        if features.width() != width {
            let found = features.width();
            return Err(Error::input(format!(
                "frames of {found} values for a model that reads frames of {width}: make the features \
                 with the model's own feature extractor"
            )));
        }
        let frames = self.config.frames(features.length());
        if frames == 0 {
            let (found, (needed, _)) = (features.length(), self.config.seen(1));
            return Err(Error::input(format!(
                "{found} samples are too few for one frame, which takes {needed}"
            )));
        }
        // What is normed over all frames is normed over the padding, too.
        let over_all =
            self.config.front.iter().any(|layer| layer.norm == config::FrontNorm::Channels);
        let inputs = if over_all { features.frames() } else { features.length() };
        let values = &features.values()[..inputs * width];
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let (place, value) = (at / width, values[at]);
            return Err(Error::input(format!("the features hold {value} at {place}")));
        }
        let x = Tensor::from_slice(values, (inputs, width), &self.device)?;
        let x = self.front.forward(&x.to_dtype(self.compute)?, &self.config)?;
        let x = x.narrow(0, 0, frames)?;
        let x = match &self.positions {
            Some(positions) => positions.forward(&x)?,
            None => x,
        };
        normed(self.first_norm.as_ref(), x)
    }

    /// Some recordings through all layers.
    fn together(&self, rows: &[Tensor], layers: Option<&[f64]>) -> Result<Vec<Tensor>> {
        let lengths = rows.iter().map(|row| row.dim(0)).collect::<candle_core::Result<Vec<_>>>()?;
        let tokens = Tokens::of_lengths(lengths);
        let spans = [AttentionSpan::Bidirectional { window: None }];
        let relative = self.relative.as_ref();
        let shared = Shared { ropes: &[], spans: &spans, alibis: &[], relative };
        let step = Step::uncached(&tokens, shared, &self.device)?;
        let mut x = Tensor::cat(rows, 0)?;
        let mut sum: Option<Tensor> = None;
        let mut add = |number: usize, x: &Tensor| -> Result<()> {
            let Some(factor) = layers.and_then(|layers| layers.get(number)) else { return Ok(()) };
            let share = (x * *factor)?;
            sum = Some(match sum.take() {
                Some(sum) => (sum + share)?,
                None => share,
            });
            Ok(())
        };
        for (number, layer) in self.layers.iter().enumerate() {
            add(number, &x)?;
            x = layer.forward(&x, &step)?;
        }
        x = normed(self.final_norm.as_ref(), x)?;
        add(self.layers.len(), &x)?;
        let x = sum.unwrap_or(x);
        let x = match &self.last_mlp {
            Some(mlp) => (&x + (mlp.forward(&x)? * 0.5)?)?,
            None => x,
        };
        let row = |row: &Range<usize>| -> Result<Tensor> {
            let x = x.narrow(0, row.start, row.len())?;
            match &self.adapter {
                Some(adapter) => adapter.forward(&x),
                None => Ok(x),
            }
        };
        tokens.rows.iter().map(row).collect()
    }
}

/// How the attention of a layer knows distances, where it does.
fn distances(layer: &SpeechLayerConfig) -> Option<(usize, RelativePositions)> {
    let attention = match layer {
        SpeechLayerConfig::Conformer(config) => &config.attention,
        SpeechLayerConfig::Transformer { layer, .. } => &layer.attention,
    };
    match attention.positions {
        AttentionPositions::Relative(relative) => Some((attention.heads, relative)),
        _ => None,
    }
}
