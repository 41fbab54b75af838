//! CLAP (<https://arxiv.org/abs/2211.06687>): sounds and texts in one space. Sounds are read by HTSAT, a
//! Swin transformer over the spectrogram, and texts by RoBERTa.
//!
//! `modeling_clap.py` of transformers.

mod config;
mod embed;
mod encoder;
mod names;
mod picture;
mod window;

use candle_core::{D, DType, Device, Tensor};

use crate::audio::AudioFeatures;
use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::encoder::TextEncoder;
use crate::models::encoder::families::roberta_config;
use crate::models::heads::finite;
use crate::models::raw_config::RawConfig;
use crate::models::speech::traits::{AudioTextModel, LogitScales};
use crate::models::threads::Threads;
use crate::models::traits::{Model, ModelLimits, TextModel};
use crate::nn::activation::Activation;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::names::NameTable;
use crate::weights::{Bias, Inventory, Linear, Weights};
use config::{AudioConfig, ProjectionConfig};
use encoder::AudioTower;

/// The type of its models in config.json.
pub(super) const MODEL_TYPE: &str = "clap";

/// CLAP.
#[derive(Debug)]
pub(super) struct ClapModel {
    audio: AudioTower,
    audio_projection: Projection,
    text: TextEncoder,
    /// Of the first token.
    pooler: Linear,
    text_projection: Projection,
    scales: LogitScales,
    size: usize,
    device: Device,
    inventory: Inventory,
    threads: Threads,
}

/// Two layers from one half to the space of both.
#[derive(Debug)]
struct Projection {
    first: Linear,
    activation: Activation,
    second: Linear,
}

impl ClapModel {
    pub(super) fn load(raw: &RawConfig, files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let section = |name: &str| raw.section(name)?.ok_or_else(|| raw.missing(name));
        let (of_audio, of_text) = (section("audio_config")?, section("text_config")?);
        let audio = AudioConfig::read(&of_audio)?;
        let width = of_audio.optional_size("hidden_size")?.unwrap_or(768);
        if width != audio.width() {
            let reason = format!("the last stage is {} wide", audio.width());
            return Err(of_audio.refuse("hidden_size", reason));
        }
        let text = roberta_config(
            &of_text
                .with_default("type_vocab_size", 1)
                .with_default("max_position_embeddings", 514),
        )?;
        let projection = ProjectionConfig::read(raw)?;
        let names = NameTable { base: names::NAMES, own: &[] };
        let weights = Weights::open(files, names, options)?;
        let threads = Threads::new(options.threads)?;
        let text_weights = weights.scope("text");
        let (hidden, size) = (text.hidden_size, text.embeddings.size);
        let words = text_weights.embedding("embed.words", text.vocab_size, size)?;
        let number = |name: &str| -> Result<f32> {
            Ok(weights.tensor(name, &[])?.to_dtype(DType::F32)?.to_scalar::<f32>()?.exp())
        };
        let projected = |name: &str, from| Projection::load(&weights.scope(name), from, projection);
        Ok(Self {
            audio: AudioTower::load(&weights.scope("audio"), audio)?,
            audio_projection: projected("audio_projection", width)?,
            text: TextEncoder::of(text, &text_weights, words, threads.clone())?,
            pooler: text_weights.linear("pooler", hidden, hidden, Bias::Present)?,
            text_projection: projected("text_projection", hidden)?,
            scales: LogitScales { audio: number("logit_scale_a")?, text: number("logit_scale_t")? },
            size: projection.size,
            device: weights.device().clone(),
            inventory: weights.inventory(),
            threads,
        })
    }
}

impl Model for ClapModel {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl TextModel for ClapModel {
    fn limits(&self) -> ModelLimits {
        self.text.limits()
    }
}

impl AudioTextModel for ClapModel {
    fn embedding_size(&self) -> usize {
        self.size
    }

    fn audio_features(&self, rows: &[&AudioFeatures]) -> Result<Tensor> {
        if rows.is_empty() {
            return Err(Error::input("no recordings to read"));
        }
        self.threads.run_on(&self.device, || {
            let pooled = rows.iter().map(|row| self.audio.forward(row));
            let pooled = Tensor::cat(&pooled.collect::<Result<Vec<_>>>()?, 0)?;
            self.audio_projection.forward(&pooled)
        })
    }

    fn text_features(&self, batch: &TokenBatch) -> Result<Tensor> {
        let (packed, hidden) = self.text.packed(batch)?;
        self.threads.run_on(&self.device, || {
            let pooled = self.pooler.forward(&packed.firsts(&hidden)?)?.tanh()?;
            self.text_projection.forward(&pooled)
        })
    }

    fn logit_scales(&self) -> LogitScales {
        self.scales
    }
}

impl Projection {
    /// Reads `first` and `second`.
    fn load(weights: &Weights, from: usize, config: ProjectionConfig) -> Result<Self> {
        let ProjectionConfig { size, activation } = config;
        Ok(Self {
            first: weights.linear("first", from, size, Bias::Present)?,
            activation,
            second: weights.linear("second", size, size, Bias::Present)?,
        })
    }

    /// Vectors of length 1, `(rows, size)` in f32.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.activation.forward(&self.first.forward(x)?)?;
        let x = self.second.forward(&x)?.to_dtype(DType::F32)?;
        finite(x.broadcast_div(&x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?)?)
    }
}
