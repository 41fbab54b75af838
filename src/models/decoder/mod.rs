//! One configurable decoder for all decoder-only families.

pub mod config;

pub(crate) mod families;

mod family;
mod names;
mod rope_config;

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

pub use config::{DecoderConfig, HeadWeights};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::heads::{Encoder, finite};
use crate::models::memory::Memory;
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::{
    Autoregressive, CausalLm, Checkpoint, LogitsAt, Model, ModelLimits, TextModel, Trace,
};
use crate::nn::Step;
use crate::nn::attention::soft_cap;
use crate::nn::cache::{KvCache, vector_bytes};
use crate::nn::layer::{Layer, LayerConfig};
use crate::nn::norm::Norm;
use crate::nn::positions::PositionTable;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::{Bias, Embedding, Inventory, Linear, Weights};
pub(crate) use family::{Dialect, Family};

/// A decoder-only language model, built from its [`DecoderConfig`].
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    device: Device,
    /// Of keys and values.
    cache_dtype: DType,
    embedding: Embedding,
    positions: Option<PositionTable>,
    layers: Vec<Layer>,
    final_norm: Norm,
    head: Linear,
    inventory: Inventory,
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
    /// Reads a model of a known family from an opened source; the weights, which heads may be read
    /// from, come with it.
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
        let DecoderConfig { vocab_size, hidden_size, .. } = config;
        let embedding = weights.embedding("embed", vocab_size, hidden_size)?;
        let head = match config.head {
            _ if purpose == Purpose::HiddenStates => embedding.as_linear(),
            HeadWeights::Own => {
                weights.output_head("head", hidden_size, vocab_size, config.head_bias)?
            }
            HeadWeights::TiedToEmbedding => match config.head_bias {
                Bias::Absent => embedding.as_linear(),
                Bias::IfStored | Bias::Present => {
                    embedding.as_linear().with_bias(weights.tensor("head.bias", &[vocab_size])?)
                }
            },
        };
        let positions = PositionTable::load(&weights, "positions", hidden_size, config.positions)?;
        let scope = weights.scope("layers");
        let layer = |(i, layer)| Layer::load(&scope.scope(i), hidden_size, layer);
        let layers = config.layers.iter().enumerate().map(layer).collect::<Result<_>>()?;
        let final_norm = Norm::load(&weights, "final_norm", hidden_size, config.final_norm)?;
        let model = Self {
            config,
            device: weights.device().clone(),
            cache_dtype: weights.cache_dtype(),
            embedding,
            positions,
            layers,
            final_norm,
            head,
            inventory: weights.inventory(),
            threads: Threads::new(options.threads)?,
        };
        Ok((model, weights))
    }

    /// The parts of the model.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    fn check(&self, batch: &TokenBatch, cache: &KvCache) -> Result<()> {
        if cache.rows() != 0 && cache.rows() != batch.rows() {
            let (rows, cached) = (batch.rows(), cache.rows());
            let reason = format!("a batch of {rows} rows for a cache of {cached}");
            return Err(Error::input(reason));
        }
        let (vocab, limit) = (self.config.vocab_size, self.config.max_positions);
        if let Some(id) = batch.ids().iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::input(format!("token id {id} in a vocabulary of {vocab}")));
        }
        let tokens = lengths(batch, cache).into_iter().max().unwrap_or(0);
        if tokens > limit {
            return Err(Error::ContextOverflow { tokens, limit });
        }
        Ok(())
    }

    /// A forward pass that leaves the cache as it was where it fails.
    fn pass(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        at: LogitsAt,
        checkpoint: &Checkpoint<'_>,
        mut record: Option<&mut Record>,
    ) -> Result<Tensor> {
        self.check(batch, cache)?;
        if let Some(whole) = self.whole(batch, cache)? {
            let mut fresh = self.new_cache();
            fresh.reserve(cache.capacity());
            let logits = self.pass(&whole, &mut fresh, at, checkpoint, record.as_deref_mut())?;
            *cache = fresh;
            let (told, new) = (whole.tokens() - batch.tokens(), batch.tokens());
            if let Some(record) = record {
                record.leave_out(told)?;
            }
            return Ok(match at {
                LogitsAt::LastToken => logits,
                LogitsAt::EveryToken => logits.narrow(1, told, new)?,
            });
        }
        let before = cache.tokens();
        let outcome = self.forward_checked(batch, cache, at, checkpoint, record);
        if outcome.is_err() {
            cache.truncate(before)?;
        }
        outcome
    }

    /// The forward pass of a checked batch.
    fn forward_checked(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        at: LogitsAt,
        checkpoint: &Checkpoint<'_>,
        mut record: Option<&mut Record>,
    ) -> Result<Tensor> {
        let hidden = self.through_layers(batch, cache, checkpoint, record.as_deref_mut())?;
        let hidden = match at {
            LogitsAt::EveryToken => hidden,
            LogitsAt::LastToken => last_tokens(&hidden, batch)?,
        };
        let hidden = self.final_norm.forward(&hidden)?;
        let logits = self.head.forward(&hidden)?;
        if let Some(record) = record {
            record.hidden_states.push(hidden);
        }
        let mut logits = logits.to_dtype(DType::F32)?;
        if let Some(scale) = self.config.logit_scale {
            logits = (logits * scale)?;
        }
        if let Some(cap) = self.config.logit_cap {
            logits = soft_cap(&logits, cap)?;
        }
        Ok(logits)
    }

    /// What comes out of the last layer, `(batch, tokens, hidden)`. Tokens go through the layers in
    /// chunks, so that scores take memory in proportion to the context and not to its square; all at
    /// once where they see those after them.
    fn through_layers(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        checkpoint: &Checkpoint<'_>,
        mut record: Option<&mut Record>,
    ) -> Result<Tensor> {
        let whole = record.is_some() || self.config.looks_ahead();
        let chunk = if whole { batch.tokens() } else { CHUNK };
        let (rows, tokens) = (batch.rows(), batch.tokens());
        let start = cache.tokens();
        cache.reserve(start + tokens);
        let lengths = lengths(batch, cache);
        let mut outputs = Vec::with_capacity(tokens.div_ceil(chunk));
        for from in (0..tokens).step_by(chunk) {
            if from > 0 {
                checkpoint()?;
            }
            let to = (from + chunk).min(tokens);
            let ids = columns(batch.ids(), tokens, from..to);
            cache.extend(rows, &ids, &columns(batch.attention_mask(), tokens, from..to));
            let DecoderConfig { ropes, spans, alibis, .. } = &self.config;
            let step = Step::new(cache, to - from, &lengths, ropes, spans, alibis, &self.device)?;
            let step = match &record {
                Some(_) => step.recording(cache, spans, &self.device)?,
                None => step,
            };
            let shape = (rows, to - from);
            let mut x = self.embedding.forward(&Tensor::from_slice(&ids, shape, &self.device)?)?;
            if let Some(scale) = self.config.embedding_scale {
                x = (x * scale)?;
            }
            if let Some(positions) = &self.positions {
                let rows = cache.positions().iter();
                let at = rows.flat_map(|row| row[start + from..].iter().map(|at| at.unwrap_or(0)));
                let at: Vec<u32> = at.collect();
                x = (&x + positions.forward(&ids, &at, &self.device)?.reshape(x.shape())?)?;
            }
            for (layer, cache) in self.layers.iter().zip(cache.layers_mut()) {
                if let Some(record) = &mut record {
                    record.hidden_states.push(x.clone());
                }
                x = layer.forward(&x, |attention, x| attention.forward(x, &step, cache))?;
            }
            if let (Some(record), Some(shares)) = (&mut record, step.shares) {
                record.attentions = shares.into_inner();
            }
            outputs.push(x);
        }
        cache.note_computed(&lengths);
        Ok(Tensor::cat(&outputs, 1)?)
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
        ModelLimits { vocab: self.config.vocab_size, context: self.config.max_positions }
    }

    fn cache_bytes_per_token(&self) -> usize {
        let bytes = |layer: &LayerConfig| {
            layer.attention.kv_heads * vector_bytes(layer.attention.head_dim, self.cache_dtype)
        };
        self.config.layers.iter().map(|layer| 2 * bytes(layer)).sum()
    }
}

/// Its hidden states, each of which has seen the tokens before it: Qwen3-Embedding, E5-Mistral.
impl Encoder for Decoder {
    fn hidden_size(&self) -> usize {
        self.config.hidden_size
    }

    fn encode(&self, batch: &TokenBatch) -> Result<Tensor> {
        let mut cache = self.new_cache();
        self.check(batch, &cache)?;
        self.threads.run_on(&self.device, || {
            let hidden = self.through_layers(batch, &mut cache, NO_CHECKPOINT, None)?;
            finite(self.final_norm.forward(&hidden)?.to_dtype(DType::F32)?)
        })
    }
}

impl Decoder {
    /// What has to be computed instead of the batch where cached keys and values are no longer those
    /// that its rows need: all that was told so far.
    fn whole(&self, batch: &TokenBatch, cache: &KvCache) -> Result<Option<TokenBatch>> {
        let Some(limit) = self.config.recomputed_beyond else { return Ok(None) };
        let lengths = lengths(batch, cache);
        let is_long = |length: usize| length > limit;
        let mut rows = cache.computed_at().iter().zip(&lengths);
        if rows.all(|(before, &now)| before.iter().all(|&before| is_long(before) == is_long(now))) {
            return Ok(None);
        }
        let (mut ids, mut mask) = (Vec::new(), Vec::new());
        let new = batch.ids().chunks(batch.tokens());
        let new = new.zip(batch.attention_mask().chunks(batch.tokens()));
        for ((old_ids, old_mask), (new_ids, new_mask)) in cache.history().zip(new) {
            ids.extend(old_ids.iter().chain(new_ids));
            mask.extend(old_mask.iter().chain(new_mask));
        }
        TokenBatch::new(batch.rows(), ids, mask).map(Some)
    }
}

impl CausalLm for Decoder {
    fn new_cache(&self) -> KvCache {
        KvCache::new(self.config.layers.len(), self.cache_dtype)
    }
}

impl Autoregressive for Decoder {
    fn forward(&self, batch: &TokenBatch, cache: &mut KvCache, at: LogitsAt) -> Result<Tensor> {
        self.forward_with(batch, cache, at, NO_CHECKPOINT)
    }

    fn forward_with(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        at: LogitsAt,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Tensor> {
        self.threads.run(|| self.pass(batch, cache, at, checkpoint, None))
    }

    fn reusable(&self, cache: &KvCache, common: usize, length: usize) -> usize {
        let mut computed_at = cache.computed_at().iter().flatten();
        let ropes = &self.config.ropes;
        let same = computed_at.all(|&then| ropes.iter().all(|rope| rope.is_same_at(then, length)));
        if same { common } else { 0 }
    }

    fn trace(&self, batch: &TokenBatch, cache: &mut KvCache) -> Result<Trace> {
        let mut record = Record::default();
        let (at, record_into) = (LogitsAt::EveryToken, Some(&mut record));
        let logits =
            self.threads.run(|| self.pass(batch, cache, at, NO_CHECKPOINT, record_into))?;
        let Record { hidden_states, attentions } = record;
        Ok(Trace { logits, hidden_states, attentions })
    }
}

/// What a model of a known family is to be, and its weights, of which nothing is read yet.
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
        weights = weights.part_of_more("language_model");
    }
    Ok((config, weights))
}

/// What a pass is asked to write down, as [`Trace`] tells it.
#[derive(Default)]
struct Record {
    hidden_states: Vec<Tensor>,
    attentions: Vec<Tensor>,
}

impl Record {
    /// Forgets what was written down for the first tokens, but for their keys.
    fn leave_out(&mut self, tokens: usize) -> Result<()> {
        for hidden in &mut self.hidden_states {
            *hidden = hidden.narrow(1, tokens, hidden.dim(1)? - tokens)?;
        }
        for shares in &mut self.attentions {
            *shares = shares.narrow(2, tokens, shares.dim(2)? - tokens)?;
        }
        Ok(())
    }
}

/// For passes that nobody gives up.
const NO_CHECKPOINT: &Checkpoint<'_> = &|| Ok(());

/// Tokens that go through the layers together: enough to fill the matrix kernels.
const CHUNK: usize = 512;

/// Some columns of a table of rows that are `width` wide.
fn columns<T: Copy>(values: &[T], width: usize, range: Range<usize>) -> Vec<T> {
    values.chunks(width).flat_map(|row| &row[range.clone()]).copied().collect()
}

/// The hidden state of each row's last token that is not padding, `(batch, hidden)`.
fn last_tokens(hidden: &Tensor, batch: &TokenBatch) -> Result<Tensor> {
    let tokens = batch.tokens();
    let last = batch.attention_mask().chunks(tokens).enumerate().map(|(row, mask)| {
        let column = mask.iter().rposition(|&mask| mask == 1).unwrap_or(tokens - 1);
        (row * tokens + column) as u32
    });
    let index = Tensor::new(last.collect::<Vec<_>>(), hidden.device())?;
    Ok(hidden.flatten_to(1)?.index_select(&index, 0)?)
}

/// The tokens of each row, padding not counted, once the batch is in the cache.
fn lengths(batch: &TokenBatch, cache: &KvCache) -> Vec<usize> {
    let mut lengths = cache.row_lengths();
    lengths.resize(batch.rows(), 0);
    let masks = batch.attention_mask().chunks(batch.tokens());
    let new = masks.map(|row| row.iter().filter(|&&mask| mask == 1).count());
    lengths.iter().zip(new).map(|(old, new)| old + new).collect()
}
