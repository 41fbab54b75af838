//! One configurable encoder for all families whose tokens look both ways.

pub mod config;

pub(crate) mod families;

mod attention;
mod convolution;
mod embeddings;
mod heads;
mod layer;
mod names;
mod packed;
mod pass;
mod relative;

use candle_core::{Device, Tensor};

pub use config::EncoderConfig;
pub(crate) use heads::{Head, Headed, MaskedHead, SequenceHead, SpanHead, TokenHead};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::kernels::pool;
use crate::models::heads::{Encoder, finite};
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::{Model, ModelLimits, TextModel};
use crate::nn::norm::Norm;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::names::NameTable;
use crate::weights::{Inventory, Weights};
use config::RelativePositions;
use convolution::Convolution;
use embeddings::Embeddings;
use families::Family;
use layer::Layer;
use packed::{Packed, Tokens};
use pass::{Pass, Relative};
use relative::{Buckets, DistanceVectors};

/// An encoder, made of what its [`EncoderConfig`] says.
#[derive(Debug)]
pub struct TextEncoder {
    config: EncoderConfig,
    device: Device,
    embeddings: Embeddings,
    relative: Relative,
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
    /// Reads a model of a known family from an opened source; the weights, which heads may be read
    /// from, come with it.
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
        let hidden = config.hidden_size;
        let relative = match &config.relative {
            RelativePositions::None => Relative::None,
            RelativePositions::OfLayers(_) => Relative::OfLayers,
            RelativePositions::Buckets { buckets, max_distance } => {
                let heads = config.layers.first().map_or(0, |layer| layer.attention.heads);
                Relative::Buckets(Buckets::load(&weights, heads, *buckets, *max_distance)?)
            }
            RelativePositions::Disentangled(relative) => {
                Relative::Disentangled(DistanceVectors::load(&weights, &config, relative)?)
            }
        };
        let mut layers: Vec<Layer> = Vec::with_capacity(config.layers.len());
        for (number, layer) in config.layers.iter().enumerate() {
            let same = config.layers[..number].iter().position(|other| other.scope == layer.scope);
            layers.push(match same {
                Some(same) => layers[same].clone(),
                None => {
                    let scope = weights.scope("layers").scope(&layer.scope);
                    Layer::load(&scope, hidden, layer, &config.relative)?
                }
            });
        }
        let convolution =
            |convolution| Convolution::load(&weights.scope("convolution"), hidden, convolution);
        let model = Self {
            embeddings: Embeddings::load(&weights.scope("embed"), &config)?,
            relative,
            layers,
            convolution: config.convolution.as_ref().map(convolution).transpose()?,
            final_norm: match config.final_norm {
                Some(norm) => Some(Norm::load(&weights, "final_norm", hidden, norm)?),
                None => None,
            },
            device: weights.device().clone(),
            inventory: weights.inventory(),
            threads: Threads::new(options.threads)?,
            config,
        };
        Ok((model, weights))
    }

    /// What the model is made of.
    #[must_use]
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The batch without its padding, and its hidden vectors after the last layer,
    /// `(packed tokens, hidden)`.
    fn hidden(&self, batch: &TokenBatch) -> Result<(Packed, Tensor)> {
        let vocab = self.config.vocab_size;
        if let Some(id) = batch.ids().iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::input(format!("token id {id} in a vocabulary of {vocab}")));
        }
        let packed = Packed::new(batch);
        let (tokens, limit) = (packed.tokens.longest(), self.config.max_positions);
        if tokens > limit {
            return Err(Error::ContextOverflow { tokens, limit });
        }
        let most = if self.device.is_cpu() { TOKENS * pool::threads() } else { usize::MAX };
        let parts = packed.tokens.parts(most);
        let hidden = parts.iter().map(|part| self.hidden_of(part)).collect::<Result<Vec<_>>>()?;
        Ok((packed, Tensor::cat(&hidden, 0)?))
    }

    /// Hidden vectors after the last layer, `(tokens, hidden)`.
    fn hidden_of(&self, tokens: &Tokens) -> Result<Tensor> {
        let pass = Pass::new(tokens, &self.config, &self.relative, &self.device)?;
        let embedded = self.embeddings.forward(tokens, &self.device)?;
        let mut x = embedded.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, &pass)?;
            if let (0, Some(convolution)) = (number, &self.convolution) {
                x = convolution.forward(&embedded, &x, &pass)?;
            }
        }
        if let Some(norm) = &self.final_norm {
            x = norm.forward(&x)?;
        }
        Ok(x)
    }
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
}
