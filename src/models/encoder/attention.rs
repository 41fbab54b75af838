//! Attention that looks both ways.

use std::ops::Range;

use candle_core::{D, DType, Tensor};
use candle_nn::ops;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::error::Result;
use crate::kernels::encoder_attention;
use crate::kernels::encoder_attention::{DistanceBias, DistanceVectors, Vectors};
use crate::models::encoder::config::{AttentionConfig, RelativePositions};
use crate::models::encoder::pass::Pass;
use crate::models::encoder::relative::LayerDistances;
use crate::nn::flash;
use crate::weights::names::HeadCounts;
use crate::weights::slices::with_f32;
use crate::weights::{Linear, Weights};

/// The attention half of a layer.
#[derive(Debug, Clone)]
pub(super) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    distances: Option<LayerDistances>,
    config: AttentionConfig,
}

impl Attention {
    /// Reads `q`, `k`, `v` and `o` from the scope, and what [`LayerDistances::load`] does.
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
        Ok(Self {
            distances: LayerDistances::load(weights, &query, &key, config, relative)?,
            query,
            key,
            value: linear("v")?,
            output: weights.linear("o", width, hidden, config.output_bias)?,
            config: config.clone(),
        })
    }

    /// `x: (packed tokens, hidden)`, the same shape back.
    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let has_kernel = x.device().is_cpu() && x.dtype() == DType::F32;
        let attended =
            if has_kernel { self.by_kernel(x, pass)? } else { self.row_by_row(x, pass)? };
        self.output.forward(&attended)
    }

    fn by_kernel(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let AttentionConfig { heads, head_dim, scale, rope, window, .. } = self.config;
        let (tokens, width) = (x.dim(0)?, heads * head_dim);
        let layers = [&self.query, &self.key, &self.value];
        let [queries, keys, values] =
            with_f32(&x.contiguous()?, |x| Linear::forward_rows(layers, x))??;
        // What is rotated has a head's tokens one after the other.
        let rotated = |values: Vec<f32>| -> Result<Vec<f32>> {
            if rope.is_none() {
                return Ok(values);
            }
            let values = Tensor::from_vec(values, (tokens, width), x.device())?;
            Ok(self.rotated(values, pass)?.flatten_all()?.to_vec1()?)
        };
        let (queries, keys) = (rotated(queries)?, rotated(keys)?);
        let across = |values| Vectors { values, token_stride: width, head_stride: head_dim };
        let vectors = |values| match rope {
            None => across(values),
            Some(_) => Vectors { values, token_stride: head_dim, head_stride: tokens * head_dim },
        };
        let longest = pass.longest;
        let bias = pass.bias.as_deref().map(|values| DistanceBias { values, longest });
        let attend = |distances: Option<DistanceVectors<'_>>| {
            let attention = encoder_attention::Attention {
                queries: vectors(&queries),
                keys: vectors(&keys),
                values: across(&values),
                heads,
                head_dim,
                scale: scale as f32,
                window,
                bias,
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
        Ok(Tensor::from_vec(out, (tokens, width), x.device())?)
    }

    /// By flash attention where it is on, else rows one by one, by several threads, so that none sees
    /// another.
    fn row_by_row(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let queries = self.rotated((self.query.forward(x)? * self.config.scale)?, pass)?;
        let keys = self.rotated(self.key.forward(x)?, pass)?;
        let values = self.split(&self.value.forward(x)?)?;
        if pass.bias.is_none() && pass.distances.is_none() {
            let vectors = [&queries, &keys, &values];
            if let Some(attended) = flash::packed(vectors, &pass.rows, self.config.window, 1.0)? {
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
            if let Some(bias) = pass.matrix(self.config.window, row.len(), x.device())? {
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
        Ok(Tensor::cat(&rows, 0)?)
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::batch::{PaddingSide, TokenBatch};
    use crate::models::encoder::TextEncoder;
    use crate::models::encoder::families::FAMILIES;
    use crate::models::encoder::packed::Packed;
    use crate::models::raw_config::RawConfig;
    use crate::options::LoadOptions;
    use crate::source::ModelSource;

    /// What runs on other devices gives what the kernel does, and rows in parts what they do together.
    #[test]
    fn row_by_row_is_as_by_the_kernel() -> Result<()> {
        for name in [
            "albert-relative-tiny",
            "bert-relative-tiny",
            "bert-tiny",
            "deberta-v2-tiny",
            "deberta-v3-tiny",
            "modernbert-tiny",
            "mpnet-tiny",
        ] {
            let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/encoders");
            let files = ModelSource::directory(goldens.join(name)).open()?;
            let raw = RawConfig::read(&files)?;
            let model_type = raw.model_type()?;
            let family = FAMILIES.iter().find(|family| family.model_types.contains(&model_type));
            let (model, weights) =
                TextEncoder::load(family.unwrap(), &raw, &files, &LoadOptions::default())?;
            let rows: Vec<Vec<u32>> = [40, 7, 1].map(|tokens| (5..5 + tokens).collect()).to_vec();
            let packed = Packed::new(&TokenBatch::padded(&rows, 0, PaddingSide::Right)?);
            let tokens = &packed.tokens;
            let pass = Pass::new(tokens, &model.config, &model.relative, &model.device)?;
            let hidden = model.config.hidden_size;
            let x = Tensor::randn(0.0_f32, 1.0, (48, hidden), &model.device)?;
            for layer in &model.config.layers {
                let scope = weights.scope("layers").scope(&layer.scope).scope("attn");
                let relative = &model.config.relative;
                let attention = Attention::load(&scope, hidden, &layer.attention, relative)?;
                let one = attention.by_kernel(&x, &pass)?;
                let other = attention.row_by_row(&x, &pass)?;
                let most = (one - other)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(most < 1e-4, "{name}, layer {}: {most}", layer.scope);
            }
            let whole = model.hidden_of(tokens)?;
            let parts = tokens.parts(16);
            assert_eq!(parts.len(), 2);
            let parts =
                parts.iter().map(|part| model.hidden_of(part)).collect::<Result<Vec<_>>>()?;
            let most = (whole - Tensor::cat(&parts, 0)?)?.abs()?.max_all()?.to_scalar::<f32>()?;
            assert!(most < 1e-4, "{name}, in parts: {most}");
        }
        Ok(())
    }
}
