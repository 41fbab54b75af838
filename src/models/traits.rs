//! The traits of models: of all models, of text models, and of models that generate.

use std::fmt;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::kernels::packed;
use crate::models::memory::Memory;
use crate::nn::cache::KvCache;
use crate::weights::{Inventory, Item, Role};

/// What all models have. Weights are immutable and there is no other state, so one model serves any
/// number of callers at once.
pub trait Model: fmt::Debug + Send + Sync {
    /// Where the weights live.
    fn device(&self) -> &Device;

    /// The parts of the model. `Display` prints them as a tree of modules, like `print(model)` in
    /// Python.
    fn inventory(&self) -> &Inventory;

    /// The number of parameters.
    fn parameters(&self) -> usize {
        self.inventory().parameters()
    }

    /// The memory that the model takes, by part. A model with a cache adds what its tokens take.
    fn memory(&self) -> Memory {
        Memory::new(self.inventory(), 0)
    }
}

/// A model that reads token ids.
pub trait TextModel: Model {
    /// The sizes a caller must respect.
    fn limits(&self) -> ModelLimits;

    /// Bytes that each token of each row takes in a cache; 0 for models without one.
    fn cache_bytes_per_token(&self) -> usize {
        0
    }
}

/// A model that appends tokens to a cache and predicts the next ones: a decoder-only language
/// model, or the decoder of an encoder-decoder.
///
/// All state lives in the cache. The kind of model says how to make one: [`CausalLm::new_cache`] for a
/// decoder alone, [`Seq2SeqLm::encode`](crate::models::Seq2SeqLm::encode) for an
/// encoder-decoder.
pub trait Autoregressive: TextModel {
    /// Appends the batch to the cache and returns logits in f32: `(batch, vocab)` for
    /// [`LogitsAt::LastToken`], `(batch, tokens, vocab)` for [`LogitsAt::EveryToken`].
    ///
    /// The positions of each row continue where its own tokens in the cache end. Padding has no
    /// position and is never attended to. The first call decides the number of rows.
    ///
    /// # Errors
    ///
    /// When the rows differ in number from the cache's, an id is outside the vocabulary, or the
    /// context would overflow. The cache is then as it was before.
    fn forward(&self, batch: &TokenBatch, cache: &mut KvCache, at: LogitsAt) -> Result<Tensor>;

    /// As [`forward`](Self::forward), but calls `checkpoint` between the chunks of a long batch
    /// (512 tokens of each row), so that the pass can be abandoned in between. A model that
    /// computes everything at once never calls it.
    ///
    /// # Errors
    ///
    /// As there, and what `checkpoint` returns. The cache is then as it was before.
    fn forward_with(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        at: LogitsAt,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Tensor> {
        let _ = checkpoint;
        self.forward(batch, cache, at)
    }

    /// How many of the first `common` tokens in a cache may stay there, so that a prompt of `length`
    /// tokens gives with them what it gives with a new cache: all, unless their keys depend on
    /// how long the sequence was, or a sliding window has let go of what has to be gone back to.
    fn reusable(&self, cache: &KvCache, common: usize, length: usize) -> usize {
        let _ = length;
        if cache.can_go_back(common) { common } else { 0 }
    }

    /// Passes of more tokens than this round otherwise than passes of no more, as quantized weights on the
    /// CPU do; `None` where all are alike but for the order of sums. Drafts stay on the side where the step
    /// is without them, so that they change no token.
    fn rounding_border(&self) -> Option<usize> {
        let is_quantized = |item: &Item| {
            item.role == Role::Linear && !matches!(item.precision, "f32" | "f16" | "bf16")
        };
        let is_packed = self.device().is_cpu() && self.inventory().items().iter().any(is_quantized);
        is_packed.then(packed::few)
    }

    /// As [`forward`](Self::forward) for every token, and records the hidden states and the
    /// attention of all layers. For debugging: it is slower, and memory grows with the square of
    /// the tokens.
    ///
    /// # Errors
    ///
    /// As there, and for a model without traces.
    fn trace(&self, batch: &TokenBatch, cache: &mut KvCache) -> Result<Trace> {
        let request = TraceRequest {
            logits: LogitsAt::EveryToken,
            hidden_states: (0..=self.depth().map_or(0, |depth| depth.layers)).collect(),
            hidden_at: LogitsAt::EveryToken,
            attentions: true,
            source_heads: Vec::new(),
        };
        self.trace_with(batch, cache, &request, &|| Ok(()))
    }

    /// As [`forward_with`](Self::forward_with), and records what is requested. Hidden states take the memory
    /// that they need and no more time; attentions make it slow, but for those of chosen heads to the source.
    ///
    /// # Errors
    ///
    /// As there, for a hidden state or a head that there is not, and for a model without traces.
    fn trace_with(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        request: &TraceRequest,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Trace> {
        let _ = (batch, cache, request, checkpoint);
        Err(Error::unsupported("this model records no traces"))
    }

    /// Does work on no more threads than the model may compute on
    /// ([`LoadOptions::threads`](crate::LoadOptions::threads)): what is done to its logits, with rayon or our
    /// kernels.
    fn on_threads(&self, work: &mut (dyn FnMut() + Send)) {
        work();
    }

    /// The model that the first so many layers are, with the final norm and the head behind them, for drafts
    /// by an early exit. It shares the weights.
    ///
    /// # Errors
    ///
    /// When there are not more layers than that, for 0, for an encoder-decoder, and for a model that cannot.
    fn first_layers(&self, layers: usize) -> Result<Arc<dyn CausalLm>> {
        let _ = layers;
        Err(Error::unsupported("this model has no early exits"))
    }

    /// How many layers there are; `None` for a model without traces.
    fn depth(&self) -> Option<Depth> {
        None
    }

    /// What the output head alone makes of hidden states `(.., hidden)`: logits `(.., vocab)` in f32, with
    /// no norm before it and no scale or cap behind it. For an early exit, as DoLa takes it.
    ///
    /// # Errors
    ///
    /// When the width is another, and for a model without traces.
    fn early_exit(&self, hidden_states: &Tensor) -> Result<Tensor> {
        let _ = hidden_states;
        Err(Error::unsupported("this model has no early exits"))
    }
}

/// A decoder-only language model: ids in, next-token logits out.
pub trait CausalLm: Autoregressive {
    /// An empty cache for this model, which grows with its tokens.
    fn new_cache(&self) -> KvCache;
}

/// A model that is a head on another one, which it has the device, the weights and the limits of.
pub(crate) trait HeadOnBody: fmt::Debug + Send + Sync {
    /// The model under the head.
    fn body(&self) -> &dyn TextModel;
}

#[diagnostic::do_not_recommend]
impl<T: HeadOnBody> Model for T {
    fn device(&self) -> &Device {
        self.body().device()
    }

    fn inventory(&self) -> &Inventory {
        self.body().inventory()
    }
}

#[diagnostic::do_not_recommend]
impl<T: HeadOnBody> TextModel for T {
    fn limits(&self) -> ModelLimits {
        self.body().limits()
    }
}

/// Called between the chunks of a forward pass; an error, such as [`Error::Interrupted`], ends the
/// pass.
pub type Checkpoint<'a> = dyn Fn() -> Result<()> + Sync + 'a;

/// The layers of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Depth {
    /// Their number.
    pub layers: usize,
    /// Whether the output head has the weights of the embedding.
    pub tied_head: bool,
}

impl Depth {
    /// That of a model of so many layers.
    #[must_use]
    pub const fn new(layers: usize, tied_head: bool) -> Self {
        Self { layers, tied_head }
    }
}

/// What a pass records beside logits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceRequest {
    /// Of which tokens there are logits.
    pub logits: LogitsAt,
    /// Which hidden states, by number: `n` is the input of layer `n`, and the number of layers is the output
    /// of the final norm.
    pub hidden_states: Vec<usize>,
    /// Of which tokens there are hidden states.
    pub hidden_at: LogitsAt,
    /// Whether the attention of all layers is recorded.
    pub attentions: bool,
    /// Of which heads the attention to the source is recorded: pairs of a layer and a head. This takes
    /// little time and memory, whatever [`attentions`](Self::attentions) says.
    pub source_heads: Vec<(usize, usize)>,
}

/// Hidden states and attentions: `output_hidden_states` and `output_attentions` of transformers. Values at
/// padding positions are meaningless.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Trace {
    /// Logits in f32: `(batch, tokens, vocab)` of every token, `(batch, vocab)` of the last.
    pub logits: Tensor,
    /// The hidden states that were requested, in their order, `(batch, tokens, hidden)` of every token,
    /// `(batch, hidden)` of the last. [`Autoregressive::trace`] has them all: the input of each layer, and
    /// last the output of the final norm.
    pub hidden_states: Vec<Tensor>,
    /// How each layer's queries share their attention: `(batch, heads, tokens, slots)` in f32. Slots
    /// are first the tokens that were in the cache, of the longest row, and then the batch's columns.
    /// The shares of a query add up to 1. Empty where they were not requested.
    pub attentions: Vec<Tensor>,
    /// How each layer's queries share their attention to the row's source, `(batch, heads, tokens, source
    /// tokens)` in f32, with the tokens of the longest source: `cross_attentions` of transformers. Empty
    /// for a decoder alone.
    pub source_attentions: Vec<Tensor>,
    /// How the requested heads' queries share their attention to the row's source, in their order, `(batch,
    /// tokens, source tokens)` in f32, with the tokens of the longest source.
    pub source_heads: Vec<Tensor>,
}

/// What the layers of an encoder have computed of one source: `encoder_hidden_states` and
/// `encoder_attentions` of transformers. Tensors are f32 on the CPU.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct EncoderTrace {
    /// `(tokens, hidden)`, one more than the encoder has layers: what goes into each layer, and last what the
    /// decoder attends to.
    pub hidden_states: Vec<Tensor>,
    /// `(heads, tokens, tokens)` for each layer: how each query shares its attention. Empty if not asked for.
    pub attentions: Vec<Tensor>,
}

/// By their numbers.
impl PartialEq for EncoderTrace {
    fn eq(&self, other: &Self) -> bool {
        same(&self.hidden_states, &other.hidden_states) && same(&self.attentions, &other.attentions)
    }
}

/// Whether tensors in f32 hold the same numbers.
pub(crate) fn same(own: &[Tensor], other: &[Tensor]) -> bool {
    let values = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
    let equal = |(own, other): (&Tensor, &Tensor)| {
        own.dims() == other.dims()
            && matches!((values(own), values(other)), (Ok(own), Ok(other)) if own == other)
    };
    own.len() == other.len() && own.iter().zip(other).all(equal)
}

/// Which positions' logits a forward pass returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitsAt {
    /// All of them, padding included: `(batch, tokens, vocab)`. For perplexity and scoring.
    EveryToken,
    /// The last token of each row that is not padding: `(batch, vocab)`. For generation.
    LastToken,
}

/// The sizes a caller must respect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelLimits {
    /// Ids are below this; logits have this many entries.
    pub vocab: usize,
    /// The most tokens, prompt and answer together, that the model was made for. 16,777,216 where
    /// positions have no end: T5.
    pub context: usize,
}

impl ModelLimits {
    /// The limits of a model of `vocab` ids and `context` tokens.
    #[must_use]
    pub const fn new(vocab: usize, context: usize) -> Self {
        Self { vocab, context }
    }
}
