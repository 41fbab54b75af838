//! Attention that looks both ways, among the tokens of packed rows.

use std::ops::Range;

use candle_core::{D, DType, Tensor};
use candle_nn::ops;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::error::Result;
use crate::kernels::encoder_attention;
use crate::kernels::encoder_attention::{DistanceBias, DistanceVectors};
use crate::nn::attention::{Attention, AttentionConfig};
use crate::nn::flash;
use crate::nn::pass::Pass;
use crate::weights::slices::with_f32;

impl Attention {
    /// `x: (packed tokens, hidden)`, the same shape back: all tokens of a row are there, and nothing
    /// is kept.
    pub(crate) fn forward_uncached(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let has_kernel = x.device().is_cpu() && x.dtype() == DType::F32;
        let attended =
            if has_kernel { self.by_kernel(x, pass)? } else { self.row_by_row(x, pass)? };
        self.output.forward(&attended)
    }

    pub(crate) fn by_kernel(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let AttentionConfig { heads, kv_heads, head_dim, scale, span, .. } = self.config;
        let [queries, keys, values] =
            with_f32(&x.contiguous()?, |x| self.project_rows(x, &pass.ropes))??;
        let longest = pass.longest;
        let attend = |distances: Option<DistanceVectors<'_>>| {
            let attention = encoder_attention::Attention {
                queries: &queries,
                keys: &keys,
                values: &values,
                heads,
                kv_heads,
                head_dim,
                scale: scale as f32,
                window: pass.spans[span].window(),
                bias: pass.bias.as_deref().map(|values| DistanceBias { values, longest }),
                distances,
            };
            encoder_attention::attend(attention, &pass.rows)
        };
        let out = match (&self.distances, &pass.distances) {
            (Some(distances), Some(table)) => {
                let projected = distances.project(table)?;
                projected.with_vectors(table, |distances| attend(Some(distances)))?
            }
            _ => attend(None),
        };
        Ok(Tensor::from_vec(out, (x.dim(0)?, heads * head_dim), x.device())?)
    }

    /// By flash attention where it is on, else rows one by one, by several threads, so that none sees
    /// another.
    pub(crate) fn row_by_row(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let [queries, keys, values] = self.project(x, &pass.ropes)?;
        let queries = (queries * self.config.scale)?;
        let window = pass.spans[self.config.span].window();
        if pass.bias.is_none() && pass.distances.is_none() {
            let vectors = [&queries, &keys, &values];
            if let Some(attended) = flash::packed(vectors, &pass.rows, window, 1.0)? {
                return Ok(attended.flatten_from(1)?);
            }
        }
        let distances = match (&self.distances, &pass.distances) {
            (Some(distances), Some(table)) => Some((distances.project(table)?, table)),
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
            if let Some(bias) = pass.matrix(window, row.len(), x.device())? {
                scores = scores.broadcast_add(&bias)?;
            }
            let shares = ops::softmax_last_dim(&scores)?.to_dtype(values.dtype())?;
            let attended = shares.matmul(&of_row(&values)?.contiguous()?)?;
            Ok(attended.transpose(0, 1)?.flatten_from(D::Minus2)?)
        };
        let rows = if x.device().is_cpu() {
            pass.rows.par_iter().map(attend).collect::<Result<Vec<_>>>()?
        } else {
            pass.rows.iter().map(attend).collect::<Result<Vec<_>>>()?
        };
        Ok(Tensor::cat(&rows, 0)?)
    }
}
