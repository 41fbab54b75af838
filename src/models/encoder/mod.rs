//! One configurable encoder for all families whose tokens look both ways.

pub mod config;

pub(crate) mod families;

mod convolution;
mod embeddings;
mod heads;
mod names;

use candle_core::{DType, Device, Tensor};

pub use config::EncoderConfig;
pub(crate) use heads::{Head, Headed, MaskedHead, SequenceHead, SpanHead, TokenHead};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::kernels::pool;
use crate::models::heads::{Encoder, finite};
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::{EncoderTrace, Model, ModelLimits, TextModel};
use crate::nn::attention::Attention;
use crate::nn::globals::Globals;
use crate::nn::layer::{Layer, shared_relative};
use crate::nn::norm::{Norm, normed};
use crate::nn::packed::{Packed, Tokens};
use crate::nn::relative::SharedRelative;
use crate::nn::{Shared, Step};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::names::NameTable;
use crate::weights::{Embedding, Inventory, Weights};
use convolution::Convolution;
use embeddings::Embeddings;
use families::Family;

/// An encoder, built from its [`EncoderConfig`].
#[derive(Debug)]
pub struct TextEncoder {
    config: EncoderConfig,
    device: Device,
    embeddings: Embeddings,
    relative: Option<SharedRelative>,
    layers: Vec<Layer>,
    convolution: Option<Convolution>,
    final_norm: Option<Norm>,
    inventory: Inventory,
    threads: Threads,
}

/// Tokens that go through all layers together, for each thread: enough for products to be fast, and few
/// enough that what lies between them stays in the caches.
const TOKENS: usize = 512;

impl TextEncoder {
    /// Reads a model of a known family from an opened source, and returns the weights, too, from
    /// which heads may be read.
    pub(crate) fn load(
        family: &Family,
        raw: &RawConfig,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<(Self, Weights)> {
        let names = match files.gguf() {
            None => NameTable { base: names::BERT_NAMES, own: family.safetensors },
            Some(_) => NameTable { base: names::GGUF_NAMES, own: family.gguf },
        };
        let config = (family.config)(raw)?;
        let weights = Weights::open(files, names, options)?;
        let is_used = |prefix: &&&str| {
            let mut names = weights.stored_names().filter_map(|name| name.strip_prefix(**prefix));
            names.any(|name| name.starts_with('.'))
        };
        let weights = match family.prefixes.iter().find(is_used) {
            Some(prefix) => weights.base_model_prefix(prefix),
            None => weights,
        };
        let size = config.embeddings.size;
        let words = weights.embedding("embed.words", config.vocab_size, size)?;
        let threads = Threads::new(options.threads)?;
        Ok((Self::of(config, &weights, words, threads)?, weights))
    }

    /// Reads a model of a family of Hugging Face checkpoints from inside something larger, where the names of its
    /// tensors begin with `prefix`.
    #[cfg(feature = "audio")]
    pub(in crate::models) fn inside(
        model_type: &str,
        raw: &RawConfig,
        weights: &Weights,
        prefix: &str,
        threads: Threads,
    ) -> Result<Self> {
        let mut families = families::FAMILIES.iter();
        let family = families.find(|family| family.model_types.contains(&model_type));
        let family =
            family.ok_or_else(|| Error::unsupported(format!("no encoder {model_type:?}")))?;
        let config = (family.config)(raw)?;
        let names = NameTable { base: names::BERT_NAMES, own: family.safetensors };
        let weights = weights.named(names).base_model_prefix(prefix);
        let words = weights.embedding("embed.words", config.vocab_size, config.embeddings.size)?;
        Self::of(config, &weights, words, threads)
    }

    /// Reads a model with this config and these vectors of words from a scope of weights.
    pub(in crate::models) fn of(
        config: EncoderConfig,
        weights: &Weights,
        words: Embedding,
        threads: Threads,
    ) -> Result<Self> {
        let hidden = config.hidden_size;
        let relative = shared_relative(weights, hidden, &config.layers)?;
        let mut layers: Vec<Layer> = Vec::with_capacity(config.layers.len());
        for (number, (layer, name)) in config.layers.iter().zip(&config.layer_names).enumerate() {
            let same = config.layer_names[..number].iter().position(|other| other == name);
            layers.push(match same {
                Some(same) => layers[same].clone(),
                None => {
                    let weights = weights.scope("layers").scope(name);
                    Layer::load(&weights, hidden, layer)?
                }
            });
        }
        let convolution =
            |convolution| Convolution::load(&weights.scope("convolution"), hidden, convolution);
        Ok(Self {
            embeddings: Embeddings::load(&weights.scope("embed"), &config, words)?,
            relative,
            layers,
            convolution: config.convolution.as_ref().map(convolution).transpose()?,
            final_norm: match config.final_norm {
                Some(norm) => Some(Norm::load(weights, "final_norm", hidden, norm)?),
                None => None,
            },
            device: weights.device().clone(),
            inventory: weights.inventory(),
            threads,
            config,
        })
    }

    /// The parts of the model.
    #[must_use]
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// What layers name by number, and what they share.
    fn shared(&self) -> Shared<'_> {
        let EncoderConfig { ropes, spans, .. } = &self.config;
        Shared { ropes, spans, alibis: &[], relative: self.relative.as_ref() }
    }

    /// The batch without its padding, and its hidden vectors after the last layer,
    /// `(packed tokens, hidden)`, computed by the threads of the model.
    pub(crate) fn packed(&self, batch: &TokenBatch) -> Result<(Packed, Tensor)> {
        self.threads.run_on(&self.device, || self.hidden(batch))
    }

    /// The batch without its padding, if all of it can be read.
    fn checked(&self, batch: &TokenBatch) -> Result<Packed> {
        let vocab = self.config.vocab_size;
        if let Some(id) = batch.ids().iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::input(format!("token id {id} in a vocabulary of {vocab}")));
        }
        if self.config.layers.iter().all(|layer| layer.attention.globals != Globals::Marked) {
            batch.refuse_marked()?;
        }
        let packed = Packed::new(batch);
        let (tokens, limit) = (packed.tokens.longest(), self.config.max_positions);
        if tokens > limit {
            return Err(Error::ContextOverflow { tokens, limit });
        }
        Ok(packed)
    }

    /// As [`packed`](Self::packed), by the threads at hand.
    fn hidden(&self, batch: &TokenBatch) -> Result<(Packed, Tensor)> {
        let packed = self.checked(batch)?;
        let parts = packed.tokens.parts(self.together());
        let hidden =
            parts.iter().map(|part| self.hidden_of(part, None)).collect::<Result<Vec<_>>>()?;
        Ok((packed, Tensor::cat(&hidden, 0)?))
    }

    /// As [`packed`](Self::packed), with what the layers have computed of each row.
    pub(crate) fn traced(
        &self,
        batch: &TokenBatch,
        attentions: bool,
    ) -> Result<(Packed, Tensor, Vec<EncoderTrace>)> {
        self.threads.run_on(&self.device, || {
            let packed = self.checked(batch)?;
            let rows = packed.tokens.parts(1);
            let traced = rows.iter().map(|row| {
                let mut trace = EncoderTrace::default();
                let record = Record { attentions, trace: &mut trace };
                Ok((self.hidden_of(row, Some(record))?, trace))
            });
            let (hidden, traces): (Vec<_>, Vec<_>) =
                traced.collect::<Result<Vec<_>>>()?.into_iter().unzip();
            Ok((packed, Tensor::cat(&hidden, 0)?, traces))
        })
    }

    /// The batch without its padding, and two of its hidden vectors, `(packed tokens, hidden)`: what goes into
    /// the layer of this number, or out of the last where there is none, and what comes out of all, normed.
    #[cfg(feature = "image")]
    pub(crate) fn states_of(
        &self,
        batch: &TokenBatch,
        layer: usize,
    ) -> Result<(Packed, [Tensor; 2])> {
        self.threads.run_on(&self.device, || {
            let packed = self.checked(batch)?;
            let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
            for tokens in packed.tokens.parts(self.together()) {
                let step = Step::uncached(&tokens, self.shared(), &self.device)?;
                let note = |number: usize, x: &Tensor| {
                    if number == layer {
                        inputs.push(x.clone());
                    }
                    Ok(())
                };
                let x = self.through(&tokens, &step, note)?;
                outputs.push(normed(self.final_norm.as_ref(), x)?);
            }
            Ok((packed, [Tensor::cat(&inputs, 0)?, Tensor::cat(&outputs, 0)?]))
        })
    }

    /// Hidden vectors after the final norm.
    #[cfg(feature = "image")]
    pub(crate) fn normed(&self, x: &Tensor) -> Result<Tensor> {
        normed(self.final_norm.as_ref(), x.clone())
    }

    /// Tokens that go through all layers together.
    fn together(&self) -> usize {
        if self.device.is_cpu() { TOKENS * pool::threads() } else { usize::MAX }
    }

    /// Hidden vectors after the last layer, `(tokens, hidden)`. Only of a single row a record is kept.
    fn hidden_of(&self, tokens: &Tokens, mut record: Option<Record<'_>>) -> Result<Tensor> {
        let mut step = Step::uncached(tokens, self.shared(), &self.device)?;
        if record.as_ref().is_some_and(|record| record.attentions) {
            step = step.recording_rows();
        }
        let x = self.through(tokens, &step, |number, x| {
            match &mut record {
                // What comes out of the last is kept behind the norm.
                Some(record) if number < self.layers.len() => {
                    record.trace.hidden_states.push(kept(x)?);
                }
                _ => {}
            }
            Ok(())
        })?;
        let x = normed(self.final_norm.as_ref(), x)?;
        if let Some(record) = record {
            record.trace.hidden_states.push(kept(&x)?);
            let shares = step.shares.map(|shares| shares.own.into_inner()).unwrap_or_default();
            record.trace.attentions = shares.iter().map(kept).collect::<Result<_>>()?;
        }
        Ok(x)
    }

    /// Through all layers, before the final norm; `note` sees what goes into each, and what comes out of the last.
    fn through(
        &self,
        tokens: &Tokens,
        step: &Step,
        mut note: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<Tensor> {
        let embedded = self.embeddings.forward(tokens, &self.device)?;
        let mut x = embedded.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            note(number, &x)?;
            let attend = |attention: &Attention, x: &Tensor| attention.forward_uncached(x, step);
            let no_source =
                |_: &Attention, _: &Tensor| Err(Error::input("an encoder has no source"));
            x = layer.forward(&x, step, attend, no_source)?;
            if let (0, Some(convolution)) = (number, &self.convolution) {
                x = convolution.forward(&embedded, &x, step)?;
            }
        }
        note(self.layers.len(), &x)?;
        Ok(x)
    }
}

/// What is to be written down of a row.
struct Record<'a> {
    attentions: bool,
    trace: &'a mut EncoderTrace,
}

fn kept(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)?)
}

impl Model for TextEncoder {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

impl TextModel for TextEncoder {
    fn limits(&self) -> ModelLimits {
        ModelLimits { vocab: self.config.vocab_size, context: self.config.max_positions }
    }
}

impl Encoder for TextEncoder {
    fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }

    fn encode(&self, batch: &TokenBatch) -> Result<Tensor> {
        self.threads.run_on(&self.device, || {
            let (packed, hidden) = self.hidden(batch)?;
            finite(packed.unpack(&hidden)?)
        })
    }

    fn encode_layers(&self, batch: &TokenBatch) -> Result<Vec<Tensor>> {
        let (packed, _, rows) = self.traced(batch, false)?;
        let layers = self.layers.len() + 1;
        let layer = |number: usize| {
            let states: Vec<_> = rows.iter().map(|row| &row.hidden_states[number]).collect();
            finite(packed.unpack(&Tensor::cat(&states, 0)?)?)
        };
        (0..layers).map(layer).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::batch::PaddingSide;
    use crate::source::ModelSource;
    use families::FAMILIES;

    /// What runs on other devices gives what the kernel does, and rows in parts what they do together.
    #[test]
    fn row_by_row_is_as_by_the_kernel() -> Result<()> {
        for name in [
            "albert-relative-tiny",
            "bert-relative-tiny",
            "bert-tiny",
            "deberta-v2-tiny",
            "deberta-v3-tiny",
            "modernbert-tiny",
            "mpnet-tiny",
        ] {
            let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/encoders");
            let files = ModelSource::directory(goldens.join(name)).open()?;
            let raw = RawConfig::read(&files)?;
            let model_type = raw.model_type()?;
            let family = FAMILIES.iter().find(|family| family.model_types.contains(&model_type));
            let (model, weights) =
                TextEncoder::load(family.unwrap(), &raw, &files, &LoadOptions::default())?;
            let rows: Vec<Vec<u32>> = [40, 7, 1].map(|tokens| (5..5 + tokens).collect()).to_vec();
            let packed = Packed::new(&TokenBatch::padded(&rows, 0, PaddingSide::Right)?);
            let tokens = &packed.tokens;
            let step = Step::uncached(tokens, model.shared(), &model.device)?;
            let hidden = model.config.hidden_size;
            let x = Tensor::randn(0.0_f32, 1.0, (48, hidden), &model.device)?;
            for (layer, number) in model.config.layers.iter().zip(&model.config.layer_names) {
                let scope = weights.scope("layers").scope(number).scope("attn");
                let attention = Attention::load(&scope, hidden, &layer.attention)?;
                let one = attention.by_kernel(&x, &step)?;
                let other = attention.row_by_row(&x, &step)?;
                let most = (one - other)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(most < 1e-4, "{name}, layer {number}: {most}");
            }
            let whole = model.hidden_of(tokens, None)?;
            let parts = tokens.parts(16);
            assert_eq!(parts.len(), 2);
            let parts =
                parts.iter().map(|part| model.hidden_of(part, None)).collect::<Result<Vec<_>>>()?;
            let most = (whole - Tensor::cat(&parts, 0)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(most < 1e-4, "{name}, in parts: {most}");
        }
        Ok(())
    }
}
