//! Attention with a window, and to what tokens attend to beside it.

use std::ops::Range;

use candle_core::{D, DType, Tensor};
use candle_nn::ops;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::error::{Error, Result};
use crate::kernels::encoder_attention::DistanceBias;
use crate::nn::Step;
use crate::nn::attention::Attention;
use crate::nn::globals::LoadedGlobals;
use crate::weights::Linear;

/// What is added to scores.
#[derive(Clone, Copy)]
struct Added<'a> {
    /// Keys so many tokens away are not seen.
    window: Option<usize>,
    /// By the distances of tokens.
    own: Option<DistanceBias<'a>>,
    /// By the distances of sums of so many tokens.
    of_sums: Option<(DistanceBias<'a>, usize)>,
}

/// A row's vectors, `(heads, tokens, head_dim)` each.
struct Row<'a> {
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    /// Keys and values of what all tokens attend to.
    globals: Option<[Tensor; 2]>,
    /// Places of marked tokens, in order.
    marked: &'a [usize],
}

impl Attention {
    /// `x: (packed tokens, hidden)`, `(packed tokens, heads * head_dim)` back. Some queries of a row at a time
    /// look at the keys in their window and at those for all, so that a row takes memory in proportion to its
    /// length.
    pub(super) fn with_globals(
        &self,
        x: &Tensor,
        globals: &LoadedGlobals,
        step: &Step,
    ) -> Result<Tensor> {
        if step.shares.is_some() {
            let reason = "layers with global attention do not show what they attend to";
            return Err(Error::option("output_attentions", reason));
        }
        let [queries, keys, values] = self.project(x, &step.ropes)?;
        let queries = (queries * self.config.scale)?;
        let added = Added {
            window: step.spans[self.config.span].window(),
            own: self.bias(step),
            of_sums: match globals {
                LoadedGlobals::Marked(_) => None,
                LoadedGlobals::Sums { tokens, table, .. } => {
                    step.bias(*table).map(|bias| (bias, *tokens))
                }
            },
        };
        let rows = step.rows();
        let rows = rows.iter().enumerate().filter(|(_, row)| !row.is_empty());
        let attended = rows.map(|(number, range)| {
            let of_row = |x: &Tensor| x.narrow(1, range.start, range.len());
            let own = x.narrow(0, range.start, range.len())?;
            let mut row = Row {
                queries: of_row(&queries)?,
                keys: of_row(&keys)?,
                values: of_row(&values)?,
                globals: None,
                marked: step.marked.get(number).map(Vec::as_slice).unwrap_or_default(),
            };
            row.globals = self.globals_of(&own, &row, globals)?;
            let chunks: Vec<_> = (0..range.len())
                .step_by(QUERIES)
                .map(|first| first..range.len().min(first + QUERIES))
                .collect();
            let attend = |chunk: &Range<usize>| self.attend_chunk(&row, chunk, added);
            let attended = if x.device().is_cpu() {
                chunks.par_iter().map(attend).collect::<Result<Vec<_>>>()?
            } else {
                chunks.iter().map(attend).collect::<Result<Vec<_>>>()?
            };
            self.with_marked(&own, Tensor::cat(&attended, 0)?, globals, row.marked)
        });
        Ok(Tensor::cat(&attended.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Keys and values of what all tokens of a row attend to; `x` is `(tokens, hidden)`.
    fn globals_of(
        &self,
        x: &Tensor,
        row: &Row<'_>,
        globals: &LoadedGlobals,
    ) -> Result<Option<[Tensor; 2]>> {
        match globals {
            LoadedGlobals::Marked(_) if row.marked.is_empty() => Ok(None),
            LoadedGlobals::Marked(_) => {
                let places = places(row.marked, x)?;
                let select = |x: &Tensor| x.contiguous()?.index_select(&places, 1);
                Ok(Some([select(&row.keys)?, select(&row.values)?]))
            }
            LoadedGlobals::Sums { tokens, norm, .. } => {
                let Some(last) = (x.dim(0)? / tokens).checked_sub(1) else { return Ok(None) };
                let (hidden, whole) = (x.dim(1)?, last * tokens);
                let rest = x.narrow(0, whole, x.dim(0)? - whole)?.sum_keepdim(0)?;
                let sums = match last {
                    0 => rest,
                    _ => {
                        let sums = x.narrow(0, 0, whole)?.reshape((last, *tokens, hidden))?;
                        Tensor::cat(&[sums.sum(1)?, rest], 0)?
                    }
                };
                let sums = norm.forward(&sums)?;
                let split = |linear: &Linear| self.split(linear.forward(&sums)?, self.config.heads);
                Ok(Some([split(&self.key)?, split(&self.value)?]))
            }
        }
    }

    /// Of some queries of a row, `(queries, heads * head_dim)`.
    fn attend_chunk(
        &self,
        row: &Row<'_>,
        chunk: &Range<usize>,
        Added { window, own, of_sums }: Added<'_>,
    ) -> Result<Tensor> {
        let seen = match window {
            None => 0..row.keys.dim(1)?,
            Some(window) => {
                let end = (chunk.end - 1).saturating_add(window);
                (chunk.start + 1).saturating_sub(window)..row.keys.dim(1)?.min(end)
            }
        };
        let with_globals = |x: &Tensor, of_globals: Option<&Tensor>| -> Result<Tensor> {
            let own = x.narrow(1, seen.start, seen.len())?;
            Ok(match of_globals {
                Some(globals) => Tensor::cat(&[&own, globals], 1)?,
                None => own.contiguous()?,
            })
        };
        let [keys, values] = [(&row.keys, 0), (&row.values, 1)]
            .map(|(x, at)| with_globals(x, row.globals.as_ref().map(|globals| &globals[at])));
        let (keys, values) = (keys?, values?);
        let width = keys.dim(1)?;
        let scores = row.queries.narrow(1, chunk.start, chunk.len())?.contiguous()?;
        let scores = scores.matmul(&keys.t()?)?.to_dtype(DType::F32)?;

        let heads = if own.is_some() || of_sums.is_some() { self.config.heads } else { 1 };
        let mut added = vec![0.0; heads * chunk.len() * width];
        for (number, added) in added.chunks_exact_mut(width).enumerate() {
            let (head, query) = (number / chunk.len(), chunk.start + number % chunk.len());
            let (added, of_globals) = added.split_at_mut(seen.len());
            if let Some(bias) = own {
                added.copy_from_slice(&bias.of(head, query, seen.start)[..seen.len()]);
            }
            for (key, added) in seen.clone().zip(added) {
                let is_far = window.is_some_and(|window| key.abs_diff(query) >= window);
                if is_far || row.marked.binary_search(&key).is_ok() {
                    *added = f32::NEG_INFINITY;
                }
            }
            if let Some((bias, tokens)) = of_sums {
                let last = of_globals.len().saturating_sub(1);
                let bias = &bias.of(head, (query / tokens).min(last), 0)[..of_globals.len()];
                of_globals.copy_from_slice(bias);
            }
        }
        let added = Tensor::from_vec(added, (heads, chunk.len(), width), scores.device())?;
        let shares = ops::softmax_last_dim(&scores.broadcast_add(&added)?)?;
        let attended = shares.to_dtype(values.dtype())?.matmul(&values)?;
        Ok(attended.transpose(0, 1)?.flatten_from(D::Minus2)?)
    }

    /// The row with what the marked tokens attend to in place of what their window gave them.
    fn with_marked(
        &self,
        x: &Tensor,
        attended: Tensor,
        globals: &LoadedGlobals,
        marked: &[usize],
    ) -> Result<Tensor> {
        let (LoadedGlobals::Marked(projections), false) = (globals, marked.is_empty()) else {
            return Ok(attended);
        };
        let [query, key, value] = &**projections;
        let split = |linear: &Linear, x: &Tensor| {
            self.split(linear.forward(x)?, self.config.heads)?.contiguous().map_err(Error::from)
        };
        let queries = split(query, &x.index_select(&places(marked, x)?, 0)?)?;
        let keys = split(key, x)?;
        let scores = (queries.matmul(&keys.t()?)?.to_dtype(DType::F32)? * self.config.scale)?;
        let shares = ops::softmax_last_dim(&scores)?.to_dtype(x.dtype())?;
        let of_marked =
            shares.matmul(&split(value, x)?)?.transpose(0, 1)?.flatten_from(D::Minus2)?;
        let tokens = x.dim(0)?;
        let place = |token| marked.binary_search(&token).map_or(token, |number| tokens + number);
        let chosen: Vec<usize> = (0..tokens).map(place).collect();
        Ok(Tensor::cat(&[attended, of_marked], 0)?.index_select(&places(&chosen, x)?, 0)?)
    }
}

/// Numbers of places, beside `x`.
fn places(places: &[usize], x: &Tensor) -> Result<Tensor> {
    Ok(Tensor::from_iter(places.iter().map(|&place| place as u32), x.device())?)
}

/// Queries at a time.
const QUERIES: usize = 256;
