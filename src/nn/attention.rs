//! Grouped-query attention: over a cache, without one among tokens that are all there, and to the tokens
//! of another sequence.

mod cached;
mod globals;
mod source;
mod uncached;

use candle_core::Tensor;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::kernels::encoder_attention::DistanceBias;
use crate::nn::Step;
use crate::nn::globals::{Globals, LoadedGlobals};
use crate::nn::norm::{Norm, NormConfig};
use crate::nn::relative::{Gate, LayerDistances, RelativePositions};
use crate::nn::rope::Rope;
use crate::weights::names::HeadCounts;
use crate::weights::{Bias, Linear, Weights};

/// The shape of a layer's attention.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AttentionConfig {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; `heads` is a multiple of it. <https://arxiv.org/abs/2305.13245>
    pub kv_heads: usize,
    /// Channels per head.
    pub head_dim: usize,
    /// Multiplies the products of queries and keys; usually `head_dim^-1/2`.
    pub scale: f64,
    /// Which tokens are attended to: a number into the model's
    /// [`spans`](crate::models::decoder::DecoderConfig::spans).
    pub span: usize,
    /// How it encodes the positions of tokens.
    pub positions: Positions,
    /// Soft cap of the scores, `cap * tanh(score / cap)`: Gemma 2.
    pub score_cap: Option<f64>,
    /// How queries and keys are normed before they are rotated.
    pub qk_norm: QkNorm,
    /// What is attended to whatever the span leaves out.
    pub globals: Globals,
    /// Whether the query, key and value projections have biases.
    pub qkv_bias: Bias,
    /// Whether the output projection has a bias.
    pub output_bias: Bias,
}

impl AttentionConfig {
    /// The simplest: every head has its own keys and values, scores are scaled by `head_dim^-1/2`, positions are
    /// none of its business, and all projections have biases or none.
    pub(crate) fn plain(heads: usize, head_dim: usize, bias: Bias) -> Self {
        Self {
            heads,
            kv_heads: heads,
            head_dim,
            scale: (head_dim as f64).powf(-0.5),
            span: 0,
            positions: Positions::None,
            score_cap: None,
            qk_norm: QkNorm::None,
            globals: Globals::None,
            qkv_bias: bias,
            output_bias: bias,
        }
    }
}

/// How a layer encodes the positions of tokens, besides the causal mask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Positions {
    /// By a bias on the scores (ALiBi): a number into
    /// [`alibis`](crate::models::decoder::DecoderConfig::alibis). The first Falcons.
    Alibi(usize),
    /// Not at all: every fourth layer of SmolLM3; GPT-2 and BERT, whose embeddings say it already.
    None,
    /// By what the distance between query and key adds to scores: MPNet, DeBERTa, T5, WavLM.
    Relative(RelativePositions),
    /// By rotating queries and keys: a number into
    /// [`ropes`](crate::models::decoder::DecoderConfig::ropes). Most families.
    Rotary(usize),
}

/// How queries and keys are normed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub enum QkNorm {
    /// All heads of a token together, before they are split: OLMo 2, OLMo 3.
    AllHeads(NormConfig),
    /// Each head by itself, with weights of its own: Command-R+.
    EachHead(NormConfig),
    /// Not at all: most families.
    None,
    /// Each head by itself, with the same weights: Qwen3, Gemma 3.
    PerHead(NormConfig),
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
    distances: Option<LayerDistances>,
    gate: Option<Gate>,
    globals: Option<LoadedGlobals>,
    config: AttentionConfig,
}

impl Attention {
    /// Reads `q`, `k`, `v` and `o` from the scope, `q_norm` and `k_norm` where there are such, and what
    /// [`LayerDistances::load`], [`Gate::load`] and [`LoadedGlobals::load`] do.
    pub(crate) fn load(weights: &Weights, hidden: usize, config: &AttentionConfig) -> Result<Self> {
        let AttentionConfig { heads, kv_heads, head_dim, scale, .. } = *config;
        if kv_heads == 0 || head_dim == 0 || !heads.is_multiple_of(kv_heads) {
            let reason = format!("{heads} heads of {head_dim} channels that share {kv_heads}");
            return Err(Error::unsupported(reason));
        }
        let counts = HeadCounts { heads, kv_heads, head_dim };
        let weights = &weights.with_heads(counts);
        let queries = heads * head_dim;
        let keys = kv_heads * head_dim;
        let norm = |name: &str, all_heads: usize| match config.qk_norm {
            QkNorm::None => Ok(None),
            QkNorm::AllHeads(norm) => Norm::load(weights, name, all_heads, norm).map(Some),
            QkNorm::EachHead(norm) => {
                let shape = [all_heads / head_dim, head_dim];
                Norm::load_shaped(weights, name, &shape, norm).map(Some)
            }
            QkNorm::PerHead(norm) => Norm::load(weights, name, config.head_dim, norm).map(Some),
        };
        let (query_norm, key_norm) = (norm("q_norm", queries)?, norm("k_norm", keys)?);
        let query = weights.linear("q", hidden, queries, config.qkv_bias)?;
        let key_bias = match config.qkv_bias {
            Bias::PresentButForKeys => Bias::Absent,
            bias => bias,
        };
        let key = weights.linear("k", hidden, keys, key_bias)?;
        let distances = match &config.positions {
            Positions::Relative(relative) => {
                let shape = (heads, head_dim, scale);
                LayerDistances::load(weights, &query, &key, shape, relative)?
            }
            Positions::Alibi(_) | Positions::None | Positions::Rotary(_) => None,
        };
        Ok(Self {
            query_norm,
            key_norm,
            distances,
            gate: match config.positions {
                Positions::Relative(RelativePositions::GatedBuckets { .. }) => {
                    Some(Gate::load(weights, heads, head_dim)?)
                }
                _ => None,
            },
            globals: LoadedGlobals::load(
                weights,
                hidden,
                counts,
                config.qkv_bias,
                &config.globals,
            )?,
            query,
            key,
            value: weights.linear("v", hidden, keys, config.qkv_bias)?,
            output: weights.linear("o", queries, hidden, config.output_bias)?,
            config: config.clone(),
        })
    }

    /// Queries and keys, normed and rotated, and values, `(.., tokens, heads, head_dim)` each, of
    /// `x: (.., tokens, hidden)` on the CPU.
    fn project_rows(&self, x: &[f32], ropes: &[Rope]) -> Result<[Vec<f32>; 3]> {
        let AttentionConfig { heads, kv_heads, .. } = self.config;
        let [queries, keys, values] =
            Linear::forward_rows([&self.query, &self.key, &self.value], x)?;
        let queries = self.placed_rows(queries, self.query_norm.as_ref(), heads, ropes)?;
        let keys = self.placed_rows(keys, self.key_norm.as_ref(), kv_heads, ropes)?;
        Ok([queries, keys, values])
    }

    /// Queries or keys, normed and rotated.
    fn placed_rows(
        &self,
        projected: Vec<f32>,
        norm: Option<&Norm>,
        heads: usize,
        ropes: &[Rope],
    ) -> Result<Vec<f32>> {
        let mut placed = match norm {
            Some(norm) => norm.forward_rows(&projected)?,
            None => projected,
        };
        if let Positions::Rotary(rope) = self.config.positions {
            ropes[rope].rotate_rows(&mut placed, heads, self.config.head_dim)?;
        }
        Ok(placed)
    }

    /// Queries and keys, normed and rotated, and values, `(heads, tokens, head_dim)` each, of
    /// `x: (tokens, hidden)`.
    fn project(&self, x: &Tensor, ropes: &[Rope]) -> Result<[Tensor; 3]> {
        let AttentionConfig { heads, kv_heads, .. } = self.config;
        Ok([
            self.placed(self.query.forward(x)?, self.query_norm.as_ref(), heads, ropes)?,
            self.placed(self.key.forward(x)?, self.key_norm.as_ref(), kv_heads, ropes)?,
            self.split(self.value.forward(x)?, kv_heads)?,
        ])
    }

    /// Queries or keys, normed and rotated, `(heads, tokens, head_dim)`.
    fn placed(
        &self,
        projected: Tensor,
        norm: Option<&Norm>,
        heads: usize,
        ropes: &[Rope],
    ) -> Result<Tensor> {
        let heads = match (self.config.qk_norm, norm) {
            (QkNorm::AllHeads(_) | QkNorm::EachHead(_), Some(norm)) => {
                self.split(norm.forward(&projected)?, heads)?
            }
            (_, Some(norm)) => norm.forward(&self.split(projected, heads)?)?,
            (_, None) => self.split(projected, heads)?,
        };
        match self.config.positions {
            Positions::Rotary(rope) => ropes[rope].forward(&heads),
            _ => Ok(heads),
        }
    }

    /// What its scores get by the distance of query and key, where they do not depend on both.
    fn bias<'a>(&self, step: &'a Step) -> Option<DistanceBias<'a>> {
        match self.config.positions {
            Positions::Relative(RelativePositions::Buckets { table, .. }) => step.bias(table),
            Positions::Relative(RelativePositions::GatedBuckets { .. }) => step.bias(0),
            _ => None,
        }
    }

    /// `(tokens, heads * head_dim)` to `(heads, tokens, head_dim)`.
    fn split(&self, x: Tensor, heads: usize) -> Result<Tensor> {
        Ok(x.reshape((x.dim(0)?, heads, self.config.head_dim))?.transpose(0, 1)?)
    }
}

/// `cap * tanh(x / cap)`.
pub(crate) fn soft_cap(x: &Tensor, cap: f64) -> Result<Tensor> {
    Ok(((x / cap)?.tanh()? * cap)?)
}
