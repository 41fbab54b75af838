//! One configurable decoder for all decoder-only families.

pub mod config;

pub(crate) mod families;

mod autoregressive;
mod family;
mod names;
mod record;
pub(in crate::models) mod rope_config;
mod states;

use std::iter;

use candle_core::{DType, Device, Tensor};

pub use config::{DecoderConfig, HeadWeights};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::models::heads::{Encoder, finite};
use crate::models::memory::Memory;
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::{CausalLm, Checkpoint, LogitsAt, Model, ModelLimits, TextModel};
use crate::nn::attention::soft_cap;
use crate::nn::cache::{CacheLayer, KvCache, Segment};
use crate::nn::layer::{Layer, LayerConfig, shared_relative};
use crate::nn::norm::{Norm, NormConfig, normed};
use crate::nn::packed::{Packed, select};
use crate::nn::positions::PositionTable;
use crate::nn::relative::SharedRelative;
use crate::nn::{Shared, Step};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::{Bias, Embedding, Inventory, Linear, Weights};
pub(crate) use family::{Dialect, Family};
use record::Record;

/// A decoder-only language model, built from its [`DecoderConfig`]. A clone shares the weights.
#[derive(Debug, Clone)]
pub struct Decoder {
    config: DecoderConfig,
    device: Device,
    /// Of keys and values.
    cache_dtype: DType,
    embedding: Embedding,
    positions: Option<PositionTable>,
    embedding_norm: Option<Norm>,
    relative: Option<SharedRelative>,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
    head: Linear,
    inventory: Inventory,
    /// Of config and weights: tells files of the cache from those of other models.
    fingerprint: String,
    threads: Threads,
}

/// What a decoder is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Its hidden states: a checkpoint without a head will do.
    HiddenStates,
    /// The logits of the next token.
    Logits,
}

impl Decoder {
    /// Reads a model of a known family from an opened source, and returns the weights, too, from
    /// which heads may be read.
    pub(crate) fn load(
        family: &Family,
        raw: &RawConfig,
        files: &ModelFiles,
        options: &LoadOptions,
        purpose: Purpose,
    ) -> Result<(Self, Weights)> {
        let (config, weights) = opened(family, raw, files, options)?;
        if purpose == Purpose::Logits && config.looks_ahead() {
            return Err(Error::unsupported(format!(
                "{}: its tokens attend to those after them, so it embeds texts and cannot continue one; \
                 use it for feature-extraction or sentence-similarity",
                raw.origin().display()
            )));
        }
        let embedding = Self::embedding(&config, &weights, "embed", purpose)?;
        let threads = Threads::new(options.threads)?;
        Ok((Self::of(config, &weights, embedding, threads, purpose)?, weights))
    }

    /// The table of vectors of that name, which may be the output head, too.
    pub(in crate::models) fn embedding(
        config: &DecoderConfig,
        weights: &Weights,
        name: &str,
        purpose: Purpose,
    ) -> Result<Embedding> {
        let DecoderConfig { vocab_size, hidden_size, head, .. } = *config;
        match (purpose, head) {
            (Purpose::Logits, HeadWeights::TiedToEmbedding) => {
                weights.tied_embedding(name, vocab_size, hidden_size)
            }
            _ => weights.embedding(name, vocab_size, hidden_size),
        }
    }

    /// Reads a model with this config and this embedding from a scope of weights.
    pub(in crate::models) fn of(
        config: DecoderConfig,
        weights: &Weights,
        embedding: Embedding,
        threads: Threads,
        purpose: Purpose,
    ) -> Result<Self> {
        let DecoderConfig { vocab_size, hidden_size, .. } = config;
        let head = match config.head {
            _ if purpose == Purpose::HiddenStates => embedding.as_linear(),
            HeadWeights::Own | HeadWeights::OwnOf { .. } => {
                weights.output_head("head", hidden_size, config.logits(), config.head_bias)?
            }
            HeadWeights::TiedToEmbedding => match config.head_bias {
                Bias::Absent => embedding.as_linear(),
                Bias::IfStored if !weights.contains("head.bias") => embedding.as_linear(),
                _ => embedding.as_linear().with_bias(weights.tensor("head.bias", &[vocab_size])?),
            },
        };
        let positions = PositionTable::load(weights, "positions", hidden_size, config.positions)?;
        let relative = shared_relative(weights, hidden_size, &config.layers)?;
        let norm = |name: &str, norm: Option<NormConfig>| {
            norm.map(|norm| Norm::load(weights, name, hidden_size, norm)).transpose()
        };
        let embedding_norm = norm("embed_norm", config.embedding_norm)?;
        let scope = weights.scope("layers");
        let layer = |(i, layer)| Layer::load(&scope.scope(i), hidden_size, layer);
        let layers = config.layers.iter().enumerate().map(layer).collect::<Result<_>>()?;
        let final_norm = norm("final_norm", config.final_norm)?;
        let inventory = weights.inventory();
        Ok(Self {
            fingerprint: fingerprint_of(&config, &inventory, weights.sample()),
            config,
            device: weights.device().clone(),
            cache_dtype: weights.cache_dtype(),
            embedding,
            positions,
            embedding_norm,
            relative,
            layers,
            final_norm,
            head,
            inventory,
            threads,
        })
    }

    /// The parts of the model.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The batch without its padding, if it may follow what is cached.
    fn checked(&self, batch: &TokenBatch, cache: &KvCache) -> Result<Packed> {
        if self.config.has_source() && cache.rows() == 0 {
            return Err(Error::input(
                "the cache holds no sources: what the encoder reads comes first, by `encode`",
            ));
        }
        if cache.rows() != 0 && cache.rows() != batch.rows() {
            let (rows, cached) = (batch.rows(), cache.rows());
            let reason = format!("a batch of {rows} rows for a cache of {cached}");
            return Err(Error::input(reason));
        }
        let (vocab, limit) = (self.config.vocab_size, self.config.max_positions);
        if let Some(id) = batch.ids().iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::input(format!("token id {id} in a vocabulary of {vocab}")));
        }
        batch.refuse_marked()?;
        let packed = Packed::new(batch);
        let tokens = lengths(&packed.row_ids(), cache).into_iter().max().unwrap_or(0);
        if tokens > limit {
            return Err(Error::ContextOverflow { tokens, limit });
        }
        Ok(packed)
    }

    /// A forward pass that leaves the cache as it was where it fails.
    fn pass(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        at: LogitsAt,
        checkpoint: &Checkpoint<'_>,
        record: Option<&mut Record<'_>>,
    ) -> Result<Tensor> {
        let packed = self.checked(batch, cache)?;
        let new = packed.row_ids();
        if self.is_outdated(cache, &lengths(&new, cache)) {
            let all = new
                .iter()
                .enumerate()
                .map(|(row, new)| [cache.row_ids(row).unwrap_or_default(), new].concat());
            let all: Vec<_> = all.collect();
            let all: Vec<_> = all.iter().map(Vec::as_slice).collect();
            let mut fresh = self.new_cache();
            fresh.reserve(cache.reserved());
            let logits = self.forward_packed(&packed, &all, &mut fresh, at, checkpoint, record)?;
            *cache = fresh;
            return Ok(logits);
        }
        let before = cache.row_lengths();
        let outcome = self.forward_packed(&packed, &new, cache, at, checkpoint, record);
        if outcome.is_err() {
            match before.is_empty() {
                true => cache.clear(),
                false => cache.truncate_rows(&before)?,
            }
        }
        outcome
    }

    /// The forward pass of a checked batch; `rows` are the ids that have to be computed, of which the
    /// batch's are the last of each row.
    fn forward_packed(
        &self,
        packed: &Packed,
        rows: &[&[u32]],
        cache: &mut KvCache,
        at: LogitsAt,
        checkpoint: &Checkpoint<'_>,
        mut record: Option<&mut Record<'_>>,
    ) -> Result<Tensor> {
        let (hidden, places) =
            self.through_layers(rows, None, cache, checkpoint, record.as_deref_mut())?;
        let places = |at: LogitsAt| -> Vec<u32> {
            let rows = packed.tokens.rows.iter().zip(&places).flat_map(|(new, places)| {
                let count = if at == LogitsAt::LastToken { 1 } else { new.len() };
                &places[places.len() - count..]
            });
            rows.copied().collect()
        };
        let last = |at| normed(self.final_norm.as_ref(), select(&hidden, &places(at))?);
        let mut logits = self.head.forward(&last(at)?)?.to_dtype(DType::F32)?;
        if let Some(scale) = self.config.logit_scale {
            logits = (logits * scale)?;
        }
        if let Some(cap) = self.config.logit_cap {
            logits = soft_cap(&logits, cap)?;
        }
        if let Some(record) = record {
            let computed: Vec<usize> = rows.iter().map(|row| row.len()).collect();
            let at = record.request.hidden_at;
            record.finish(packed, &places(at), &last(at)?, &computed, &cache.row_lengths())?;
        }
        match at {
            LogitsAt::EveryToken => packed.unpack(&logits),
            LogitsAt::LastToken => Ok(logits),
        }
    }

    /// What comes out of the last layer, `(tokens, hidden)`, and where in it each row's tokens are. `vectors`,
    /// `(tokens, hidden)` of all rows, stand in place of those of the ids.
    /// Rows go through the layers in chunks, so that what lies between them takes memory in proportion
    /// to a chunk; all at once where tokens see those after them.
    fn through_layers(
        &self,
        rows: &[&[u32]],
        vectors: Option<&Tensor>,
        cache: &mut KvCache,
        checkpoint: &Checkpoint<'_>,
        mut record: Option<&mut Record<'_>>,
    ) -> Result<(Tensor, Vec<Vec<u32>>)> {
        let tokens = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let attends = record.as_ref().is_some_and(|record| record.request.attentions);
        let is_recorded_whole = record.as_ref().is_some_and(|record| record.is_of_whole());
        let whole = is_recorded_whole || self.config.looks_ahead();
        let chunk = if whole { tokens } else { CHUNK };
        let lengths = lengths(rows, cache);
        let mut before = cache.row_lengths();
        before.resize(rows.len(), 0);
        cache.reserve(lengths.iter().copied().max().unwrap_or(0));
        let mut outputs = Vec::with_capacity(tokens.div_ceil(chunk));
        let (mut places, mut place) = (vec![Vec::new(); rows.len()], 0);
        for from in (0..tokens).step_by(chunk) {
            if from > 0 {
                checkpoint()?;
            }
            let part = |row: &&'_ [u32]| from.min(row.len())..row.len().min(from + chunk);
            let parts: Vec<_> = rows.iter().map(|row| &row[part(row)]).collect();
            for (places, part) in places.iter_mut().zip(&parts) {
                places.extend(place..place + part.len() as u32);
                place += part.len() as u32;
            }
            cache.extend_rows(parts.iter().copied());
            let DecoderConfig { ropes, spans, alibis, .. } = &self.config;
            let shared = Shared { ropes, spans, alibis, relative: self.relative.as_ref() };
            let step = Step::new(cache, &lengths, shared, &self.device)?;
            let step = match attends {
                true => step.recording(&self.device)?,
                false => step,
            };
            let ids = parts.concat();
            let mut x = match vectors {
                None => self.embedding.forward(&Tensor::new(ids.as_slice(), &self.device)?)?,
                Some(vectors) => {
                    let mut start = 0;
                    let places = rows.iter().flat_map(|row| {
                        let part = part(row);
                        start += row.len();
                        start - row.len() + part.start..start - row.len() + part.end
                    });
                    select(vectors, &places.map(|place| place as u32).collect::<Vec<_>>())?
                }
            };
            if let Some(scale) = self.config.embedding_scale {
                x = (x * scale)?;
            }
            if let Some(positions) = &self.positions {
                let at: Vec<u32> = step.segments.iter().flat_map(Segment::positions).collect();
                x = (x + positions.forward(&ids, &at, &self.device)?)?;
            }
            x = normed(self.embedding_norm.as_ref(), x)?;
            for (number, layer) in self.layers.iter().enumerate() {
                if let Some(record) = &mut record {
                    record.note_input(number, &x);
                }
                let (mut own, source) = cache.layer_and_source(number);
                x = layer.forward(
                    &x,
                    &step,
                    |attention, x| attention.forward(x, &step, &mut own),
                    |cross, x| {
                        let source = source
                            .as_ref()
                            .ok_or_else(|| Error::input("a cache without sources"))?;
                        if let Some(record) = &mut record {
                            record.note_source(number, cross, x, &step, source)?;
                        }
                        cross.forward_source(x, &step, source)
                    },
                )?;
            }
            if let (Some(record), Some(shares)) = (&mut record, step.shares) {
                record.attentions = shares.own.into_inner();
                record.source_attentions = shares.of_sources.into_inner();
            }
            cache.let_go(&before);
            outputs.push(x);
        }
        cache.note_computed(&lengths);
        cache.let_go(&lengths);
        Ok((Tensor::cat(&outputs, 0)?, places))
    }
}

impl Model for Decoder {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn memory(&self) -> Memory {
        Memory::new(&self.inventory, self.cache_bytes_per_token())
    }
}

impl TextModel for Decoder {
    fn limits(&self) -> ModelLimits {
        ModelLimits { vocab: self.config.logits(), context: self.config.max_positions }
    }

    fn cache_bytes_per_token(&self) -> usize {
        self.new_cache().bytes_per_token()
    }
}

/// Its hidden states, each of which has seen the tokens before it: Qwen3-Embedding, E5-Mistral.
impl Encoder for Decoder {
    fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }

    fn encode(&self, batch: &TokenBatch) -> Result<Tensor> {
        let (packed, hidden) = self.states(batch, &mut self.new_cache())?;
        finite(packed.unpack(&hidden)?)
    }
}

impl Decoder {
    /// Whether what is cached is not what rows of these lengths need: all that was told so far has to
    /// be computed again.
    fn is_outdated(&self, cache: &KvCache, lengths: &[usize]) -> bool {
        let Some(limit) = self.config.recomputed_beyond else { return false };
        let is_long = |length: usize| length > limit;
        let mut rows = cache.computed_at().zip(lengths);
        rows.any(|(before, &now)| before.iter().any(|&before| is_long(before) != is_long(now)))
    }
}

/// What tells a model from others: of its config, of the names, shapes and formats of its weights, and of a
/// `sample` of their numbers, as all of them would have to be read.
fn fingerprint_of(config: &DecoderConfig, inventory: &Inventory, sample: u64) -> String {
    let config = serde_json::to_string(config).unwrap_or_default();
    let weights = inventory.items().iter().fold(sample, |hash, item| {
        let text = format!("{} {:?} {}", item.name, item.shape, item.precision);
        fingerprint(hash, text.as_bytes())
    });
    format!("{:016x}{weights:016x}", fingerprint(0, config.as_bytes()))
}

impl CausalLm for Decoder {
    fn new_cache(&self) -> KvCache {
        let layer = |layer: &LayerConfig| {
            let attention = &layer.attention;
            let span = self.config.spans[attention.span];
            let window = span.window().filter(|_| !span.looks_ahead());
            CacheLayer::new(attention.kv_heads, attention.head_dim).window(window)
        };
        let cache = KvCache::new(self.config.layers.iter().map(layer), self.cache_dtype);
        let cache = cache.of_model(self.fingerprint.as_str());
        if self.config.has_source() { cache.awaiting_sources(self.new_sources()) } else { cache }
    }
}

/// The config of a model of a known family, and its weights, of which nothing is read yet.
pub(crate) fn opened(
    family: &Family,
    raw: &RawConfig,
    files: &ModelFiles,
    options: &LoadOptions,
) -> Result<(DecoderConfig, Weights)> {
    let dialect = family.dialect(files.gguf().is_some());
    let config = family.read(dialect, raw)?;
    let names = dialect.name_table();
    // Checkpoints of a base model leave out the prefix that those with a head have.
    let prefix = names.resolve("embed", |_| false).name;
    let prefix = prefix.split('.').next().unwrap_or_default();
    let mut weights = Weights::open(files, names, options)?.base_model_prefix(prefix);
    if raw.section("text_config")?.is_some() {
        weights = weights.inside_multimodal("language_model");
    }
    Ok((config, weights))
}

/// For passes that nobody gives up.
const NO_CHECKPOINT: &Checkpoint<'_> = &|| Ok(());

/// Tokens that go through the layers together: enough to fill the matrix kernels.
const CHUNK: usize = 512;

/// The tokens of each row once the given ones are in the cache.
fn lengths(rows: &[&[u32]], cache: &KvCache) -> Vec<usize> {
    let before = cache.row_lengths().into_iter().chain(iter::repeat(0));
    rows.iter().zip(before).map(|(new, before)| before + new.len()).collect()
}
