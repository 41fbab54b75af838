//! Attention among the tokens of packed rows, which are all there.

use std::ops::Range;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::error::Result;
use crate::kernels::encoder_attention;
use crate::kernels::encoder_attention::{DistanceBias, DistanceVectors};
use crate::nn::attention::{Attention, AttentionConfig};
use crate::nn::relative::by_place;
use crate::nn::{Step, flash};
use crate::weights::slices::with_f32;

impl Attention {
    /// `x: (packed tokens, hidden)`, the same shape back: all tokens of a row are there, and nothing
    /// is kept. Scores are not capped.
    pub(crate) fn forward_uncached(&self, x: &Tensor, step: &Step) -> Result<Tensor> {
        let has_kernel = x.device().is_cpu() && x.dtype() == DType::F32 && step.shares.is_none();
        let attended = match &self.globals {
            Some(globals) if globals.are_in(step) => self.with_globals(x, globals, step)?,
            _ if has_kernel => self.by_kernel(x, step)?,
            _ => self.row_by_row(x, step)?,
        };
        self.output.forward(&attended)
    }

    /// What hides the tokens after a query, as a bias by distance: CLIP, whose texts are short.
    fn causal_bias(&self, step: &Step) -> Option<Vec<f32>> {
        if step.spans[self.config.span].looks_ahead() {
            return None;
        }
        let longest = step.longest;
        let of_head = (0..2 * longest - 1).map(|at| if at < longest { 0.0 } else { f32::MIN });
        Some(of_head.collect::<Vec<_>>().repeat(self.config.heads))
    }

    fn bias_or<'a>(&self, step: &'a Step, causal: Option<&'a [f32]>) -> Option<DistanceBias<'a>> {
        match causal {
            Some(values) => Some(DistanceBias { values, longest: step.longest }),
            None => self.bias(step),
        }
    }

    /// What multiplies the bias by distance, `(tokens, heads)`.
    fn gates(&self, x: &Tensor) -> Result<Option<Tensor>> {
        self.gate.as_ref().map(|gate| gate.forward(x)).transpose()
    }

    pub(crate) fn by_kernel(&self, x: &Tensor, step: &Step) -> Result<Tensor> {
        let AttentionConfig { heads, kv_heads, head_dim, scale, span, .. } = self.config;
        let [queries, keys, values] =
            with_f32(&x.contiguous()?, |x| self.project_rows(x, &step.ropes))??;
        let rows = step.rows();
        let gates = self.gates(x)?.map(|gates| gates.flatten_all()?.to_vec1()).transpose()?;
        let gates: Option<&Vec<f32>> = gates.as_ref();
        let causal = self.causal_bias(step);
        let attend = |distances: Option<DistanceVectors<'_>>| {
            let attention = encoder_attention::Attention {
                queries: &queries,
                keys: &keys,
                values: &values,
                heads,
                kv_heads,
                head_dim,
                scale: scale as f32,
                window: step.spans[span].window(),
                bias: self.bias_or(step, causal.as_deref()),
                gates: gates.map(Vec::as_slice),
                distances,
            };
            encoder_attention::attend(attention, &rows)
        };
        let out = match (&self.distances, &step.distances) {
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
    pub(crate) fn row_by_row(&self, x: &Tensor, step: &Step) -> Result<Tensor> {
        let [queries, keys, values] = self.project(x, &step.ropes)?;
        let queries = (queries * self.config.scale)?;
        let (rows, window) = (step.rows(), step.spans[self.config.span].window());
        let causal = self.causal_bias(step);
        let (bias, longest) = (self.bias_or(step, causal.as_deref()), step.longest);
        if bias.is_none() && step.distances.is_none() && step.shares.is_none() {
            let vectors = [&queries, &keys, &values];
            if let Some(attended) = flash::packed(vectors, &rows, window, 1.0)? {
                return Ok(attended.flatten_from(1)?);
            }
        }
        let distances = match (&self.distances, &step.distances) {
            (Some(distances), Some(table)) => Some((distances.project(table)?, table)),
            _ => None,
        };
        let gates = self.gates(x)?;
        let attend = |row: &Range<usize>| -> Result<(Tensor, Tensor)> {
            let of_row = |x: &Tensor| x.narrow(1, row.start, row.len());
            let (queries, keys) = (of_row(&queries)?, of_row(&keys)?);
            let mut scores = queries.matmul(&keys.t()?)?.to_dtype(DType::F32)?;
            if let Some((projected, table)) = &distances
                && let Some(added) = projected.scores(&queries, &keys, table)?
            {
                scores = (scores + added)?;
            }
            if let Some(bias) = matrix(bias, window, [longest, row.len()], x.device())? {
                let bias = match &gates {
                    Some(gates) => {
                        let of_row = gates.narrow(0, row.start, row.len())?.t()?.unsqueeze(2)?;
                        bias.broadcast_mul(&of_row)?
                    }
                    None => bias,
                };
                scores = scores.broadcast_add(&bias)?;
            }
            let shares = ops::softmax_last_dim(&scores)?;
            let attended =
                shares.to_dtype(values.dtype())?.matmul(&of_row(&values)?.contiguous()?)?;
            Ok((attended.transpose(0, 1)?.flatten_from(D::Minus2)?, shares))
        };
        let rows = if x.device().is_cpu() {
            rows.par_iter().map(attend).collect::<Result<Vec<_>>>()?
        } else {
            rows.iter().map(attend).collect::<Result<Vec<_>>>()?
        };
        let (rows, shares): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        if let Some(record) = &step.shares {
            record.own.borrow_mut().extend(shares);
        }
        Ok(Tensor::cat(&rows, 0)?)
    }
}

/// What is added to the scores of a row of so many tokens in layers with this window, where the longest
/// row has so many, `(1 or heads, tokens, tokens)` in f32.
fn matrix(
    bias: Option<DistanceBias<'_>>,
    window: Option<usize>,
    [longest, tokens]: [usize; 2],
    device: &Device,
) -> Result<Option<Tensor>> {
    let window = window.filter(|&window| tokens > window);
    if window.is_none() && bias.is_none() {
        return Ok(None);
    }
    let width = 2 * longest - 1;
    let mut values = bias.map_or_else(|| vec![0.0; width], |bias| bias.values.to_vec());
    for (at, value) in values.iter_mut().enumerate() {
        if window.is_some_and(|window| (at % width).abs_diff(longest - 1) >= window) {
            *value = f32::MIN;
        }
    }
    let heads = values.chunks_exact(width);
    let matrix: Vec<f32> =
        heads.flat_map(|head| by_place(head, longest, tokens)).copied().collect();
    Ok(Some(Tensor::from_vec(matrix, ((), tokens, tokens), device)?))
}
