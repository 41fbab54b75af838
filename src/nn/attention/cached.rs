//! Attention over a cache.

use std::cell::RefCell;

use candle_core::{DType, Tensor};
use candle_nn::ops;

use crate::error::{Error, Result};
use crate::kernels::attention::{self, Reach};
use crate::nn::attention::{Attention, AttentionConfig, Positions, soft_cap};
use crate::nn::cache::LayerCache;
use crate::nn::{Step, Views, flash, mask};
use crate::weights::Linear;
use crate::weights::slices::with_f32;

impl Attention {
    /// `x: (tokens, hidden)`, the same shape back; keys and values go into the cache.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        step: &Step,
        cache: &mut LayerCache<'_>,
    ) -> Result<Tensor> {
        if self.distances.is_some() {
            return Err(Error::unsupported("vectors for distances, over a cache"));
        }
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
                distances: self.bias(step),
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

    /// `queries: (rows, tokens, heads, head_dim)`, keys and values `(rows, kv_heads, slots, head_dim)`;
    /// the result has the shape of the queries.
    fn attend(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        step: &Step,
    ) -> Result<Tensor> {
        let AttentionConfig { heads, scale, score_cap, span, .. } = self.config;
        let queries = queries.transpose(1, 2)?;
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
        let alibi = self.alibi(step).map(|alibi| alibi.reshape((1, heads, 1, ()))).transpose()?;
        let bias = self.bias(step);
        let bias = bias.map(|bias| mask::by_distance(&step.segments, bias, queries.device()));
        let added: Vec<Tensor> = alibi.into_iter().chain(bias.transpose()?).chain(mask).collect();
        let record = step.shares.as_ref().map(|shares| &shares.own);
        self.weigh(&queries, keys, values, &added, record)
    }

    /// `softmax(scale q kᵀ + …) v`. `queries: (rows, heads, tokens, head_dim)`, keys and values `(rows,
    /// kv_heads, slots, head_dim)`, and what is added to scores `(1 or rows, 1 or heads, 1 or tokens,
    /// slots)` each; the result is `(rows, tokens, heads, head_dim)`. Shares are written down where that
    /// is asked for.
    pub(super) fn weigh(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        added: &[Tensor],
        record: Option<&RefCell<Vec<Tensor>>>,
    ) -> Result<Tensor> {
        let (rows, heads, tokens, head_dim) = queries.dims4()?;
        let shares = self.shares(queries, keys, added)?;
        if let Some(record) = record {
            record.borrow_mut().push(shares.clone());
        }
        let (_, kv_heads, slots, _) = values.dims4()?;
        let shares = shares.reshape((rows, kv_heads, (), slots))?;
        let attended = shares.to_dtype(values.dtype())?.matmul(values)?;
        Ok(attended.reshape((rows, heads, tokens, head_dim))?.transpose(1, 2)?)
    }

    /// `softmax(scale q kᵀ + …)`, `(rows, heads, tokens, slots)` in f32, of what [`weigh`](Self::weigh) takes;
    /// some of the heads will do.
    pub(super) fn shares(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        added: &[Tensor],
    ) -> Result<Tensor> {
        let AttentionConfig { scale, score_cap, .. } = self.config;
        let (rows, heads, tokens, head_dim) = queries.dims4()?;
        let (_, kv_heads, slots, _) = keys.dims4()?;
        // The queries of one group are rows of one matrix product, so keys are not repeated.
        let group = heads / kv_heads * tokens;
        let queries = (queries.contiguous()? * scale)?;
        let queries = queries.reshape((rows, kv_heads, group, head_dim))?;
        let scores = queries.matmul(&keys.transpose(2, 3)?)?.to_dtype(DType::F32)?;
        let scores = match score_cap {
            None => scores,
            Some(cap) => soft_cap(&scores, cap)?,
        };
        let mut scores = scores.reshape((rows, heads, tokens, slots))?;
        for added in added {
            scores = scores.broadcast_add(added)?;
        }
        Ok(ops::softmax_last_dim(&scores)?)
    }

    /// What its scores get, `(heads, slots)`.
    fn alibi<'a>(&self, step: &'a Step) -> Option<&'a Tensor> {
        match self.config.positions {
            Positions::Alibi(alibi) => Some(&step.alibis[alibi]),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::nn::Shared;
    use crate::nn::alibi::AlibiConfig;
    use crate::nn::cache::{CacheLayer, KvCache};
    use crate::nn::rope::{RopeConfig, RopePairing, RopeScaling};
    use crate::nn::span::AttentionSpan;
    use crate::weights::Bias;

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
        let shared = Shared { ropes: &ropes, spans: &spans, alibis: &alibis, relative: None };
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
                gate: None,
                globals: None,
                config: AttentionConfig {
                    kv_heads,
                    scale: 0.3,
                    span,
                    positions,
                    score_cap,
                    ..AttentionConfig::plain(heads, head_dim, Bias::Absent)
                },
            };
            let mut cache = KvCache::new([CacheLayer::new(kv_heads, head_dim); 2], DType::F32);
            // Alike, and of different lengths.
            for tokens in [[4, 4], [3, 3], [7, 3], [1, 1], [1, 2], [0, 5]] {
                let ids = tokens.map(|tokens| vec![0; tokens]);
                cache.extend_rows(ids.iter().map(Vec::as_slice));
                let lengths = cache.row_lengths();
                let new = || Step::new(&cache, &lengths, shared, &Device::Cpu);
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
