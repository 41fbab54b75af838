//! Attention that looks both ways.

use std::ops::Range;

use candle_core::{D, DType, Tensor};
use candle_nn::ops;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::error::Result;
use crate::models::encoder::config::{AttentionConfig, RelativePositions};
use crate::models::encoder::pass::Pass;
use crate::models::encoder::relative::Disentangled;
use crate::weights::names::HeadCounts;
use crate::weights::{Linear, Weights};

/// The attention half of a layer.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    disentangled: Option<Disentangled>,
    config: AttentionConfig,
}

impl Attention {
    /// Reads `q`, `k`, `v` and `o` from the scope, and DeBERTa's `relative.q` and `relative.k`.
    pub(super) fn load(
        weights: &Weights,
        hidden: usize,
        config: &AttentionConfig,
        relative: &RelativePositions,
    ) -> Result<Self> {
        let AttentionConfig { heads, head_dim, qkv_bias, .. } = *config;
        let weights = &weights.with_heads(HeadCounts { heads, kv_heads: heads, head_dim });
        let width = heads * head_dim;
        let linear = |name: &str| weights.linear(name, hidden, width, qkv_bias);
        let (query, key) = (linear("q")?, linear("k")?);
        let disentangled = match relative {
            RelativePositions::Disentangled(relative) => {
                Some(Disentangled::load(weights, &query, &key, config, relative)?)
            }
            _ => None,
        };
        Ok(Self {
            query,
            key,
            value: linear("v")?,
            output: weights.linear("o", width, hidden, config.output_bias)?,
            disentangled,
            config: config.clone(),
        })
    }

    /// `x: (packed tokens, hidden)`, the same shape back. Rows are taken one by one, by several
    /// threads, so that none sees another.
    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let queries = self.rotated((self.query.forward(x)? * self.config.scale)?, pass)?;
        let keys = self.rotated(self.key.forward(x)?, pass)?;
        let values = self.split(&self.value.forward(x)?)?;
        let bias = pass.bias(self.config.window);
        let distances = match (&self.disentangled, &pass.distances) {
            (Some(disentangled), Some(table)) => Some((disentangled.project(table)?, table)),
            _ => None,
        };
        let attend = |row: &Range<usize>| -> Result<Tensor> {
            let of_row = |x: &Tensor| x.narrow(1, row.start, row.len());
            let (queries, keys) = (of_row(&queries)?, of_row(&keys)?);
            let mut scores = queries.matmul(&keys.t()?)?.to_dtype(DType::F32)?;
            if let Some((projected, table)) = &distances
                && let Some(added) = projected.scores(&queries, &keys, table)?
            {
                scores = (scores + added)?;
            }
            if let Some(bias) = bias {
                let bias = bias.narrow(1, 0, row.len())?.narrow(2, 0, row.len())?;
                scores = scores.broadcast_add(&bias)?;
            }
            let shares = ops::softmax_last_dim(&scores)?.to_dtype(values.dtype())?;
            let attended = shares.matmul(&of_row(&values)?.contiguous()?)?;
            Ok(attended.transpose(0, 1)?.flatten_from(D::Minus2)?)
        };
        let rows = match x.device().is_cpu() {
            true => pass.rows.par_iter().map(attend).collect::<Result<Vec<_>>>()?,
            false => pass.rows.iter().map(attend).collect::<Result<Vec<_>>>()?,
        };
        self.output.forward(&Tensor::cat(&rows, 0)?)
    }

    /// Queries or keys, `(heads, packed tokens, head_dim)`.
    fn rotated(&self, x: Tensor, pass: &Pass) -> Result<Tensor> {
        let heads = self.split(&x)?;
        Ok(match self.config.rope {
            Some(rope) => pass.ropes[rope].forward(&heads.unsqueeze(0)?)?.squeeze(0)?,
            None => heads,
        })
    }

    /// `(packed tokens, heads * head_dim)` to `(heads, packed tokens, head_dim)`.
    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let AttentionConfig { heads, head_dim, .. } = self.config;
        Ok(x.reshape((x.dim(0)?, heads, head_dim))?.transpose(0, 1)?)
    }
}
