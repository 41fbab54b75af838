//! Grouped-query attention: over a cache, and among tokens that all see each other.

mod uncached;

use candle_core::{DType, Tensor};
use candle_nn::ops;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::kernels::attention::{self, Reach};
use crate::nn::cache::LayerCache;
use crate::nn::norm::{Norm, NormConfig};
use crate::nn::relative::{LayerDistances, RelativePositions};
use crate::nn::rope::Rope;
use crate::nn::{Step, Views, flash, mask};
use crate::weights::names::HeadCounts;
use crate::weights::slices::with_f32;
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
    /// Whether the query, key and value projections have biases.
    pub qkv_bias: Bias,
    /// Whether the output projection has a bias.
    pub output_bias: Bias,
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
    /// By what the distance between query and key adds to scores: MPNet, DeBERTa.
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
    config: AttentionConfig,
}

impl Attention {
    /// Reads `q`, `k`, `v` and `o` from the scope, `q_norm` and `k_norm` where there are such, and what
    /// [`LayerDistances::load`] does.
    pub(crate) fn load(weights: &Weights, hidden: usize, config: &AttentionConfig) -> Result<Self> {
        let AttentionConfig { heads, kv_heads, head_dim, scale, .. } = *config;
        if kv_heads == 0 || head_dim == 0 || !heads.is_multiple_of(kv_heads) {
            let reason = format!("{heads} heads of {head_dim} channels that share {kv_heads}");
            return Err(Error::unsupported(reason));
        }
        let weights = &weights.with_heads(HeadCounts { heads, kv_heads, head_dim });
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
        let key = weights.linear("k", hidden, keys, config.qkv_bias)?;
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
            query,
            key,
            value: weights.linear("v", hidden, keys, config.qkv_bias)?,
            output: weights.linear("o", queries, hidden, config.output_bias)?,
            config: config.clone(),
        })
    }

    /// `x: (tokens, hidden)`, the same shape back; keys and values go into the cache.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        step: &Step,
        cache: &mut LayerCache<'_>,
    ) -> Result<Tensor> {
        let Views::Reaches(reaches) = &step.views else {
            return self.forward_tensors(x, step, cache);
        };
        let (rows, reach) = (x.contiguous()?, reaches[self.config.span]);
        let y = with_f32(&rows, |x| self.forward_rows(x, step, reach, cache))??;
        Ok(Tensor::from_vec(y, x.shape(), x.device())?)
    }

    /// With kernels, on the CPU: `x` and the result are `(tokens, hidden)`.
    fn forward_rows(
        &self,
        x: &[f32],
        step: &Step,
        reach: Reach,
        cache: &mut LayerCache<'_>,
    ) -> Result<Vec<f32>> {
        let AttentionConfig { heads, scale, score_cap, .. } = self.config;
        let [queries, keys, values] = self.project_rows(x, &step.ropes)?;
        cache.append_rows([&keys, &values])?;
        let (rows, (layout, layer)) = (cache.rows(), cache.layout());
        let attend = |biases: Option<(&[f32], usize)>| {
            let attention = attention::Attention {
                heads,
                scale: scale as f32,
                cap: score_cap.map(|cap| cap as f32),
                biases,
                reach,
                rows: &rows,
                layout,
                layer,
            };
            attention::attend(&attention, &queries)
        };
        let attended = match self.alibi(step) {
            Some(alibi) => {
                let slots = alibi.dim(1)?;
                with_f32(alibi, |biases| attend(Some((biases, slots))))?
            }
            None => attend(None),
        };
        let [y] = Linear::forward_rows([&self.output], &attended)?;
        Ok(y)
    }

    /// Queries and keys, normed and rotated, and values, `(.., tokens, heads, head_dim)` each, of
    /// `x: (.., tokens, hidden)` on the CPU.
    fn project_rows(&self, x: &[f32], ropes: &[Rope]) -> Result<[Vec<f32>; 3]> {
        let AttentionConfig { heads, kv_heads, head_dim, .. } = self.config;
        let [mut queries, mut keys, values] =
            Linear::forward_rows([&self.query, &self.key, &self.value], x)?;
        for (projected, norm, heads) in
            [(&mut queries, &self.query_norm, heads), (&mut keys, &self.key_norm, kv_heads)]
        {
            if let Some(norm) = norm {
                *projected = norm.forward_rows(projected)?;
            }
            if let Positions::Rotary(rope) = self.config.positions {
                ropes[rope].rotate_rows(projected, heads, head_dim)?;
            }
        }
        Ok([queries, keys, values])
    }

    /// With candle's operations, on any device.
    fn forward_tensors(
        &self,
        x: &Tensor,
        step: &Step,
        cache: &mut LayerCache<'_>,
    ) -> Result<Tensor> {
        let [queries, keys, values] = self.project(x, &step.ropes)?;
        let by_token = |x: &Tensor| x.transpose(0, 1);
        let (keys, values) = cache.append(&by_token(&keys)?, &by_token(&values)?)?;
        let attended = self.attend(&step.spread(&by_token(&queries)?)?, &keys, &values, step)?;
        self.output.forward(&step.gathered(&attended)?.flatten_from(1)?)
    }

    /// Queries and keys, normed and rotated, and values, `(heads, tokens, head_dim)` each, of
    /// `x: (tokens, hidden)`.
    fn project(&self, x: &Tensor, ropes: &[Rope]) -> Result<[Tensor; 3]> {
        let AttentionConfig { heads, kv_heads, .. } = self.config;
        let normed = |linear: &Linear, norm: Option<&Norm>, heads: usize| {
            let projected = linear.forward(x)?;
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
        };
        Ok([
            normed(&self.query, self.query_norm.as_ref(), heads)?,
            normed(&self.key, self.key_norm.as_ref(), kv_heads)?,
            self.split(self.value.forward(x)?, kv_heads)?,
        ])
    }

    /// `queries: (rows, tokens, heads, head_dim)`, keys and values `(rows, kv_heads, slots, head_dim)`;
    /// the result has the shape of the queries.
    fn attend(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        step: &Step,
    ) -> Result<Tensor> {
        let AttentionConfig { heads, kv_heads, head_dim, scale, score_cap, span, .. } = self.config;
        let queries = queries.transpose(1, 2)?;
        let (rows, _, tokens, _) = queries.dims4()?;
        let slots = keys.dim(2)?;
        let mask = match &step.views {
            Views::Masks(masks) => masks[span].clone(),
            Views::Flash | Views::Reaches(_) => {
                let span = step.spans[span];
                let vectors = [&queries, keys, values];
                if let Some(attended) = flash::cached(vectors, span, scale, score_cap)? {
                    return Ok(attended);
                }
                mask::additive(&step.segments, span.reach(), queries.device())?
            }
        };
        // The queries of one group are rows of one matrix product, so keys are not repeated.
        let group = heads / kv_heads * tokens;
        let queries = (queries.contiguous()? * scale)?;
        let queries = queries.reshape((rows, kv_heads, group, head_dim))?;
        let scores = queries.matmul(&keys.transpose(2, 3)?)?.to_dtype(DType::F32)?;
        let scores = match score_cap {
            None => scores,
            Some(cap) => soft_cap(&scores, cap)?,
        };
        let alibi =
            self.alibi(step).map(|alibi| alibi.reshape((1, heads, 1, slots))).transpose()?;
        let mut scores = scores.reshape((rows, heads, tokens, slots))?;
        for bias in alibi.iter().chain(&mask) {
            scores = scores.broadcast_add(bias)?;
        }
        let scores = scores.reshape((rows, kv_heads, group, slots))?;
        let shares = ops::softmax_last_dim(&scores)?;
        if let Some(record) = &step.shares {
            record.borrow_mut().push(shares.reshape((rows, heads, tokens, slots))?);
        }
        let attended = shares.to_dtype(values.dtype())?.matmul(values)?;
        Ok(attended.reshape((rows, heads, tokens, head_dim))?.transpose(1, 2)?)
    }

    /// What its scores get, `(heads, slots)`.
    fn alibi<'a>(&self, step: &'a Step) -> Option<&'a Tensor> {
        match self.config.positions {
            Positions::Alibi(alibi) => Some(&step.alibis[alibi]),
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::alibi::AlibiConfig;
    use crate::nn::cache::{CacheLayer, KvCache};
    use crate::nn::rope::{RopeConfig, RopePairing, RopeScaling};
    use crate::nn::span::AttentionSpan;

    fn random(shape: (usize, usize), seed: usize) -> Tensor {
        let values =
            (0..shape.0 * shape.1).map(|at| ((at * 7919 + seed) % 1009) as f32 / 504.0 - 1.0);
        Tensor::from_iter(values, &Device::Cpu).unwrap().reshape(shape).unwrap()
    }

    /// Kernels and candle's operations, which serve GPUs, give the same for every way to attend.
    #[test]
    fn kernels_do_what_tensors_do() -> Result<()> {
        let (hidden, heads, kv_heads, head_dim) = (24, 4, 2, 8);
        let rope = |pairing| {
            let scaling = RopeScaling::None;
            RopeConfig { theta: 100.0, rotary_dim: 6, pairing, scaling }
        };
        let ropes = [rope(RopePairing::Adjacent), rope(RopePairing::Halves)];
        let spans = [
            AttentionSpan::Causal { window: None },
            AttentionSpan::Causal { window: Some(3) },
            AttentionSpan::Bidirectional { window: None },
            AttentionSpan::Bidirectional { window: Some(2) },
        ];
        let alibis = [AlibiConfig { heads, scale: 1.0 }];
        for (span, positions, score_cap) in [
            (0, Positions::None, None),
            (1, Positions::Rotary(0), Some(2.0)),
            (0, Positions::Rotary(1), None),
            (0, Positions::Alibi(0), Some(3.0)),
            (2, Positions::Rotary(1), None),
            (3, Positions::Rotary(0), Some(2.0)),
        ] {
            let linear =
                |out: usize, from: usize, seed| Linear::new(random((out, from), seed), None);
            let attention = Attention {
                query: linear(heads * head_dim, hidden, 1)?,
                key: linear(kv_heads * head_dim, hidden, 2)?,
                value: linear(kv_heads * head_dim, hidden, 3)?,
                output: linear(hidden, heads * head_dim, 4)?,
                query_norm: None,
                key_norm: None,
                distances: None,
                config: AttentionConfig {
                    heads,
                    kv_heads,
                    head_dim,
                    scale: 0.3,
                    span,
                    positions,
                    score_cap,
                    qk_norm: QkNorm::None,
                    qkv_bias: Bias::Absent,
                    output_bias: Bias::Absent,
                },
            };
            let mut cache = KvCache::new([CacheLayer::new(kv_heads, head_dim); 2], DType::F32);
            // Alike, and of different lengths.
            for tokens in [[4, 4], [3, 3], [7, 3], [1, 1], [1, 2], [0, 5]] {
                let ids = tokens.map(|tokens| vec![0; tokens]);
                cache.extend_rows(ids.iter().map(Vec::as_slice));
                let lengths = cache.row_lengths();
                let new = || Step::new(&cache, &lengths, &ropes, &spans, &alibis, &Device::Cpu);
                let (kernels, mut tensors) = (new()?, new()?.with_masks(&Device::Cpu)?);
                if tensors.is_even() {
                    tensors.views = Views::Flash;
                }
                let x = random((tokens.iter().sum(), hidden), tokens[0]);
                let found = attention.forward(&x, &kernels, &mut cache.layer(0))?;
                let expected = attention.forward(&x, &tensors, &mut cache.layer(1))?;
                let (found, expected) = (found.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    assert!((found - expected).abs() < 1e-4, "{positions:?}: {found} {expected}");
                }
            }
        }
        Ok(())
    }
}
