//! Grouped-query attention: over a cache, and among tokens that all see each other.

mod uncached;

use candle_core::{DType, Tensor};
use candle_nn::ops;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::kernels::attention::{self, Sight};
use crate::nn::cache::{LayerCache, with_cached};
use crate::nn::norm::{Norm, NormConfig};
use crate::nn::relative::{LayerDistances, RelativePositions};
use crate::nn::rope::Rope;
use crate::nn::span::AttentionSpan;
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
    /// All heads of a token together, before they are split: OLMo 2.
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

    /// `x: (batch, tokens, hidden)`, the same shape back; keys and values go into the cache.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        step: &Step,
        cache: &mut LayerCache,
    ) -> Result<Tensor> {
        match &step.views {
            Views::Masks(masks) => {
                let view = View::Mask(masks[self.config.span].as_ref());
                self.forward_tensors(x, step, view, cache)
            }
            Views::Unpadded(spans) => {
                self.forward_tensors(x, step, View::Unpadded(spans[self.config.span]), cache)
            }
            Views::Sights(sights) => {
                let sights = &sights[self.config.span];
                let dims = x.dims3()?;
                let rows = x.contiguous()?;
                let y = with_f32(&rows, |x| self.forward_rows(x, step, sights, cache))??;
                Ok(Tensor::from_vec(y, dims, x.device())?)
            }
        }
    }

    /// With kernels, on the CPU: `x` and the result are `(batch, tokens, hidden)`.
    fn forward_rows(
        &self,
        x: &[f32],
        step: &Step,
        sights: &[Sight],
        cache: &mut LayerCache,
    ) -> Result<Vec<f32>> {
        let AttentionConfig { heads, kv_heads, head_dim, .. } = self.config;
        let [queries, keys, values] = self.project_rows(x, &step.ropes)?;
        let tokens = sights.first().map_or(0, |sight| sight.slots.len());
        let shape = [sights.len(), tokens, kv_heads, head_dim];
        let (keys, values) =
            cache.append_rows([&keys, &values], shape, step.start, step.capacity)?;
        let alibi = match self.config.positions {
            Positions::Alibi(alibi) => Some(&step.alibis[alibi]),
            _ => None,
        };
        let attend = |biases: Option<&[f32]>| {
            let attention = attention::Attention {
                heads,
                kv_heads,
                head_dim,
                capacity: keys.dims()[2],
                scale: self.config.scale as f32,
                cap: self.config.score_cap.map(|cap| cap as f32),
                biases: biases.map(|biases| (biases, step.start + tokens)),
                sights,
            };
            with_cached(keys, |keys| {
                with_cached(values, |values| attention::attend(&attention, &queries, keys, values))
            })
        };
        let attended = match alibi {
            Some(alibi) => with_f32(alibi, |biases| attend(Some(biases)))??,
            None => attend(None)?,
        }?;
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
        view: View<'_>,
        cache: &mut LayerCache,
    ) -> Result<Tensor> {
        let (rows, tokens, _) = x.dims3()?;
        let [queries, keys, values] = self.project(x, &step.ropes)?;
        let (keys, values) = cache.append(&keys, &values, step.start, step.capacity)?;

        let attended = self.attend(&queries, &keys, &values, step, view)?;
        self.output.forward(&attended.reshape((rows, tokens, ()))?)
    }

    /// Queries and keys, normed and rotated, and values, `(batch, heads, tokens, head_dim)` each, of
    /// `x: (batch, tokens, hidden)`.
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

    /// `queries: (batch, heads, tokens, head_dim)`, keys and values
    /// `(batch, kv_heads, slots, head_dim)`; the result is `(batch, tokens, heads, head_dim)`.
    fn attend(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        step: &Step,
        view: View<'_>,
    ) -> Result<Tensor> {
        let AttentionConfig { heads, kv_heads, head_dim, scale, score_cap, .. } = self.config;
        let (rows, _, tokens, _) = queries.dims4()?;
        let slots = keys.dim(2)?;
        let mask = match view {
            View::Mask(mask) => mask.cloned(),
            View::Unpadded(span) => {
                if let Some(attended) =
                    flash::cached([queries, keys, values], span, scale, score_cap)?
                {
                    return Ok(attended);
                }
                let positions = [(0..slots as u32).map(Some).collect()];
                mask::additive(&positions, slots - tokens, span, queries.device())?
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
        let alibi = match self.config.positions {
            Positions::Alibi(alibi) => Some(&step.alibis[alibi]),
            _ => None,
        };
        let mut scores = scores.reshape((rows, heads, tokens, slots))?;
        for bias in alibi.into_iter().chain(&mask) {
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

    /// `(batch, tokens, heads * head_dim)` to `(batch, heads, tokens, head_dim)`.
    fn split(&self, x: Tensor, heads: usize) -> Result<Tensor> {
        let (rows, tokens, _) = x.dims3()?;
        Ok(x.reshape((rows, tokens, heads, self.config.head_dim))?.transpose(1, 2)?)
    }
}

/// What the queries of a layer see, for candle's operations.
#[derive(Clone, Copy)]
enum View<'a> {
    /// As a mask says, where there is one.
    Mask(Option<&'a Tensor>),
    /// All tokens within the span.
    Unpadded(AttentionSpan),
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
    use crate::nn::cache::KvCache;
    use crate::nn::rope::{RopeConfig, RopePairing, RopeScaling};

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
            let mut cache = KvCache::new(2, DType::F32);
            let padded = [(7, vec![0, 1, 9, 13]), (1, vec![]), (2, vec![2])];
            for (tokens, padding) in [(4, vec![]), (3, vec![])].into_iter().chain(padded) {
                let mut mask = vec![1; 2 * tokens];
                padding.iter().for_each(|&at: &usize| mask[at] = 0);
                cache.extend(2, &vec![0; 2 * tokens], &mask);
                let lengths = cache.row_lengths();
                let new =
                    || Step::new(&cache, tokens, &lengths, &ropes, &spans, &alibis, &Device::Cpu);
                let (kernels, mut tensors) = (new()?, new()?);
                let masks = spans.iter().map(|&span| {
                    mask::additive(cache.positions(), kernels.start, span, &Device::Cpu)
                });
                tensors.views = match cache.is_padded() {
                    false => Views::Unpadded(spans.to_vec()),
                    true => Views::Masks(masks.collect::<Result<_>>()?),
                };
                let x = random((2 * tokens, hidden), tokens).reshape((2, tokens, hidden))?;
                let [first, second] = cache.layers_mut() else { unreachable!() };
                let found = attention.forward(&x, &kernels, first)?.reshape(((), hidden))?;
                let expected = attention.forward(&x, &tensors, second)?.reshape(((), hidden))?;
                let (found, expected) = (found.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
                for ((found, expected), _) in
                    found.iter().zip(&expected).zip(&mask).filter(|(_, mask)| **mask == 1)
                {
                    for (found, expected) in found.iter().zip(expected) {
                        assert!(
                            (found - expected).abs() < 1e-4,
                            "{positions:?}: {found} {expected}"
                        );
                    }
                }
            }
        }
        Ok(())
    }
}
