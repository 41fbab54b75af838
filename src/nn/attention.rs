//! Grouped-query attention over a cache.

use candle_core::{DType, Tensor};
use candle_nn::ops;

use crate::error::Result;
use crate::nn::Step;
use crate::nn::cache::LayerCache;
use crate::nn::norm::{Norm, NormConfig};
use crate::weights::names::HeadCounts;
use crate::weights::{Bias, Linear, Weights};

/// The shape of a layer's attention.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionConfig {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; `heads` is a multiple of it. <https://arxiv.org/abs/2305.13245>
    pub kv_heads: usize,
    /// Channels per head.
    pub head_dim: usize,
    /// Multiplies the products of queries and keys; usually `head_dim^-1/2`.
    pub scale: f64,
    /// Which of the earlier tokens are attended to: a number into
    /// [`spans`](crate::models::decoder::DecoderConfig::spans).
    pub span: usize,
    /// How it tells where tokens stand.
    pub positions: Positions,
    /// Keeps scores between this and its negative, `cap * tanh(score / cap)`: Gemma 2.
    pub score_cap: Option<f64>,
    /// How queries and keys are normed before they are rotated.
    pub qk_norm: QkNorm,
    /// Whether the query, key and value projections have biases.
    pub qkv_bias: Bias,
    /// Whether the output projection has a bias.
    pub output_bias: Bias,
}

/// How a layer tells where tokens stand, besides seeing only what comes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Positions {
    /// By a bias that scores get: a number into
    /// [`alibis`](crate::models::decoder::DecoderConfig::alibis). The first Falcons.
    Alibi(usize),
    /// Not at all: every fourth layer of SmolLM3; GPT-2, whose embeddings say it already.
    None,
    /// By rotating queries and keys: a number into
    /// [`ropes`](crate::models::decoder::DecoderConfig::ropes). Most families.
    Rotary(usize),
}

/// How queries and keys are normed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum QkNorm {
    /// All heads of a token together, before they are split: OLMo 2.
    AllHeads(NormConfig),
    /// Not at all: most families.
    None,
    /// Each head by itself, with the same weights: Qwen3, Gemma 3.
    PerHead(NormConfig),
}

/// Which of the earlier tokens a layer attends to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttentionSpan {
    /// All of them.
    Full,
    /// The last `window` tokens, the token itself among them: Mistral 7B v0.1, Gemma 3.
    Sliding {
        /// How many.
        window: usize,
    },
}

impl AttentionSpan {
    /// Whether the query at one position may attend to the key at another.
    pub(crate) fn covers(self, query: u32, key: u32) -> bool {
        match self {
            Self::Full => key <= query,
            Self::Sliding { window } => key <= query && ((query - key) as usize) < window,
        }
    }
}

/// The attention half of a layer.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    config: AttentionConfig,
}

impl Attention {
    /// Reads `q`, `k`, `v` and `o`, and `q_norm` and `k_norm` where there are such, from the scope.
    pub(crate) fn load(weights: &Weights, hidden: usize, config: &AttentionConfig) -> Result<Self> {
        let AttentionConfig { heads, kv_heads, head_dim, .. } = *config;
        let weights = &weights.with_heads(HeadCounts { heads, kv_heads, head_dim });
        let queries = heads * head_dim;
        let keys = kv_heads * head_dim;
        let norm = |name: &str, all_heads: usize| match config.qk_norm {
            QkNorm::None => Ok(None),
            QkNorm::AllHeads(norm) => Norm::load(weights, name, all_heads, norm).map(Some),
            QkNorm::PerHead(norm) => Norm::load(weights, name, config.head_dim, norm).map(Some),
        };
        Ok(Self {
            query_norm: norm("q_norm", queries)?,
            key_norm: norm("k_norm", keys)?,
            query: weights.linear("q", hidden, queries, config.qkv_bias)?,
            key: weights.linear("k", hidden, keys, config.qkv_bias)?,
            value: weights.linear("v", hidden, keys, config.qkv_bias)?,
            output: weights.linear("o", queries, hidden, config.output_bias)?,
            config: config.clone(),
        })
    }

    /// `x: (batch, tokens, hidden)`, the same shape back; keys and values go into the cache.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        step: &Step,
        cache: &mut LayerCache,
    ) -> Result<Tensor> {
        let AttentionConfig { heads, kv_heads, .. } = self.config;
        let (rows, tokens, _) = x.dims3()?;
        let queries = self.project(&self.query, self.query_norm.as_ref(), x, heads, step)?;
        let keys = self.project(&self.key, self.key_norm.as_ref(), x, kv_heads, step)?;
        let values = self.split(self.value.forward(x)?, kv_heads)?;
        let (keys, values) = cache.append(&keys, &values, step.start, step.capacity)?;

        let attended = self.attend(&queries, &keys, &values, step)?;
        let joined = attended.transpose(1, 2)?.reshape((rows, tokens, ()))?;
        self.output.forward(&joined)
    }

    /// Queries or keys, normed and rotated, `(batch, heads, tokens, head_dim)`.
    fn project(
        &self,
        linear: &Linear,
        norm: Option<&Norm>,
        x: &Tensor,
        heads: usize,
        step: &Step,
    ) -> Result<Tensor> {
        let projected = linear.forward(x)?;
        let heads = match (self.config.qk_norm, norm) {
            (QkNorm::AllHeads(_), Some(norm)) => self.split(norm.forward(&projected)?, heads)?,
            (_, Some(norm)) => norm.forward(&self.split(projected, heads)?)?,
            (_, None) => self.split(projected, heads)?,
        };
        match self.config.positions {
            Positions::Rotary(rope) => step.ropes[rope].forward(&heads),
            Positions::Alibi(_) | Positions::None => Ok(heads),
        }
    }

    /// `queries: (batch, heads, tokens, head_dim)`, keys and values
    /// `(batch, kv_heads, slots, head_dim)`; the result has the queries' shape.
    fn attend(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        step: &Step,
    ) -> Result<Tensor> {
        let AttentionConfig { heads, kv_heads, head_dim, scale, span, .. } = self.config;
        let (rows, _, tokens, _) = queries.dims4()?;
        let slots = keys.dim(2)?;
        // The queries of one group are rows of one matrix product, so keys are not repeated.
        let group = heads / kv_heads * tokens;
        let queries = (queries.contiguous()? * scale)?;
        let queries = queries.reshape((rows, kv_heads, group, head_dim))?;
        let scores = queries.matmul(&keys.transpose(2, 3)?)?.to_dtype(DType::F32)?;
        let scores = match self.config.score_cap {
            None => scores,
            Some(cap) => soft_cap(&scores, cap)?,
        };
        let alibi = match self.config.positions {
            Positions::Alibi(alibi) => Some(&step.alibis[alibi]),
            Positions::None | Positions::Rotary(_) => None,
        };
        let mut scores = scores.reshape((rows, heads, tokens, slots))?;
        for bias in alibi.into_iter().chain(&step.masks[span]) {
            scores = scores.broadcast_add(bias)?;
        }
        let scores = scores.reshape((rows, kv_heads, group, slots))?;
        let shares = ops::softmax_last_dim(&scores)?.to_dtype(values.dtype())?;
        let attended = shares.matmul(values)?;
        Ok(attended.reshape((rows, heads, tokens, head_dim))?)
    }

    /// `(batch, tokens, heads * head_dim)` to `(batch, heads, tokens, head_dim)`.
    fn split(&self, x: Tensor, heads: usize) -> Result<Tensor> {
        let (rows, tokens, _) = x.dims3()?;
        Ok(x.reshape((rows, tokens, heads, self.config.head_dim))?.transpose(1, 2)?)
    }
}

/// `cap * tanh(x / cap)`.
pub(crate) fn soft_cap(x: &Tensor, cap: f64) -> Result<Tensor> {
    Ok(((x / cap)?.tanh()? * cap)?)
}
