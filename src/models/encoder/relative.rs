//! What the distances between tokens add to attention scores.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::models::encoder::config::{AttentionConfig, DisentangledConfig, EncoderConfig};
use crate::nn::norm::Norm;
use crate::weights::{Bias, Embedding, Linear, Weights};

/// MPNet's table: a number for each head and bucket of distances.
#[derive(Debug)]
pub(super) struct Buckets {
    table: Embedding,
    max_distance: usize,
}

/// DeBERTa's table: a vector for each bucket of distances, the same in all layers.
#[derive(Debug)]
pub(super) struct DistanceVectors {
    /// `(2 span, hidden)`, normed where the model norms them.
    vectors: Tensor,
    config: DisentangledConfig,
}

/// The buckets of one pass's distances.
#[derive(Debug)]
pub(super) struct Distances {
    vectors: Tensor,
    /// For each query and key, `(longest, longest)` in u32.
    buckets: Tensor,
}

/// How one layer projects the vectors of distances; `None` where it does not look at them.
#[derive(Debug, Clone)]
pub(super) struct Disentangled {
    query: Option<Linear>,
    key: Option<Linear>,
    scale: f64,
    heads: usize,
    head_dim: usize,
}

/// The projected vectors of one layer, `(heads, head_dim, 2 span)` each.
#[derive(Debug)]
pub(super) struct Projected {
    queries: Option<Tensor>,
    keys: Option<Tensor>,
}

impl Buckets {
    pub(super) fn load(
        weights: &Weights,
        heads: usize,
        buckets: usize,
        max_distance: usize,
    ) -> Result<Self> {
        Ok(Self { table: weights.embedding("relative", buckets, heads)?, max_distance })
    }

    /// What is added to the scores of rows of up to `tokens` tokens, `(heads, tokens, tokens)` in
    /// f32. `relative_position_bucket` of modeling_mpnet.py, which is T5's, looking both ways.
    pub(super) fn bias(&self, tokens: usize, device: &Device) -> Result<Tensor> {
        let half = self.table.vocab() / 2;
        let exact = (half / 2).max(1);
        let far = (self.max_distance as f32 / exact as f32).ln();
        let bucket = |query: usize, key: usize| {
            let distance = query.abs_diff(key);
            let bucket = if distance < exact {
                distance
            } else {
                let steps = (distance as f32 / exact as f32).ln() / far * (half - exact) as f32;
                (exact + steps as usize).min(half - 1)
            };
            (bucket + if key > query { half } else { 0 }) as u32
        };
        let pairs = (0..tokens).flat_map(|q| (0..tokens).map(move |k| bucket(q, k)));
        let buckets = Tensor::from_iter(pairs, device)?.reshape((tokens, tokens))?;
        let values = self.table.forward(&buckets)?.to_dtype(DType::F32)?;
        Ok(values.permute((2, 0, 1))?.contiguous()?)
    }
}

impl DistanceVectors {
    pub(super) fn load(
        weights: &Weights,
        config: &EncoderConfig,
        relative: &DisentangledConfig,
    ) -> Result<Self> {
        let hidden = config.hidden_size;
        let vectors = weights.tensor("relative.weight", &[2 * relative.span, hidden])?;
        let vectors = match relative.norm {
            Some(norm) => Norm::load(weights, "relative_norm", hidden, norm)?.forward(&vectors)?,
            None => vectors,
        };
        Ok(Self { vectors, config: relative.clone() })
    }

    /// For rows of up to `tokens` tokens.
    pub(super) fn distances(&self, tokens: usize) -> Result<Distances> {
        let last = 2 * self.config.span as i64 - 1;
        let number = |query: usize, key: usize| {
            let bucket = self.bucket(query as i64 - key as i64) + self.config.span as i64;
            bucket.clamp(0, last) as u32
        };
        let pairs = (0..tokens).flat_map(|q| (0..tokens).map(move |k| number(q, k)));
        let buckets = Tensor::from_iter(pairs, self.vectors.device())?;
        Ok(Distances { vectors: self.vectors.clone(), buckets: buckets.reshape((tokens, tokens))? })
    }

    /// `make_log_bucket_position` of modeling_deberta_v2.py, in f32 as there.
    fn bucket(&self, distance: i64) -> i64 {
        let Some(buckets) = self.config.buckets else { return distance };
        let middle = (buckets / 2) as i64;
        if distance.abs() <= middle {
            return distance;
        }
        let middle_f = middle as f32;
        let far = ((self.config.max_distance as f32 - 1.0) / middle_f).ln();
        let steps = (distance.abs() as f32 / middle_f).ln() / far * (middle_f - 1.0);
        (steps.ceil() as i64 + middle) * distance.signum()
    }
}

impl Disentangled {
    /// Reads `relative.q` and `relative.k` from a layer's scope, or shares its content's `query`
    /// and `key`.
    pub(super) fn load(
        weights: &Weights,
        query: &Linear,
        key: &Linear,
        attention: &AttentionConfig,
        config: &DisentangledConfig,
    ) -> Result<Self> {
        let AttentionConfig { heads, head_dim, scale, .. } = *attention;
        let (hidden, width) = (query.in_features(), query.out_features());
        let linear = |wanted: bool, name: &str, content: &Linear| {
            Ok::<_, Error>(match (wanted, config.share_projections) {
                (false, _) => None,
                (true, true) => Some(content.clone()),
                (true, false) => Some(weights.linear(name, hidden, width, Bias::IfStored)?),
            })
        };
        Ok(Self {
            query: linear(config.position_to_content, "relative.q", query)?,
            key: linear(config.content_to_position, "relative.k", key)?,
            scale,
            heads,
            head_dim,
        })
    }

    pub(super) fn project(&self, distances: &Distances) -> Result<Projected> {
        let project = |linear: &Linear| -> Result<Tensor> {
            let x = linear.forward(&distances.vectors)?;
            let x = x.reshape((x.dim(0)?, self.heads, self.head_dim))?;
            Ok(x.permute((1, 2, 0))?.contiguous()?)
        };
        let keys = self.key.as_ref().map(project).transpose()?;
        let queries = self.query.as_ref().map(project).transpose()?;
        // Queries of the content are scaled already.
        let queries = queries.map(|queries| queries * self.scale).transpose()?;
        Ok(Projected { queries, keys })
    }
}

impl Projected {
    /// What is added to the scores of one row, `(heads, tokens, tokens)` in f32; queries and keys
    /// are `(heads, tokens, head_dim)`.
    pub(super) fn scores(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        distances: &Distances,
    ) -> Result<Option<Tensor>> {
        let (heads, tokens, _) = queries.dims3()?;
        let buckets = distances.buckets.narrow(0, 0, tokens)?.narrow(1, 0, tokens)?;
        let gather = |products: &Tensor, buckets: &Tensor| -> Result<Tensor> {
            let buckets = buckets.unsqueeze(0)?.expand((heads, tokens, tokens))?.contiguous()?;
            Ok(products.to_dtype(DType::F32)?.gather(&buckets, 2)?)
        };
        let to_position = match &self.keys {
            Some(keys) => Some(gather(&queries.contiguous()?.matmul(keys)?, &buckets)?),
            None => None,
        };
        let to_content = match &self.queries {
            // The distance from key to query, seen from the key.
            Some(queries) => {
                Some(gather(&keys.contiguous()?.matmul(queries)?, &buckets.t()?)?.transpose(1, 2)?)
            }
            None => None,
        };
        Ok(match (to_position, to_content) {
            (Some(a), Some(b)) => Some((a + b)?),
            (a, b) => a.or(b),
        })
    }
}
