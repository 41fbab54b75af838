//! What the distances between tokens add to attention scores.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::kernels::encoder_attention;
use crate::models::encoder::config::{
    AttentionConfig, DisentangledConfig, EncoderConfig, RelativePositions,
};
use crate::nn::norm::Norm;
use crate::weights::slices::with_f32;
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

/// The numbers of one pass's distances.
#[derive(Debug)]
pub(super) struct Distances {
    /// DeBERTa's vectors, which each layer projects.
    vectors: Option<Tensor>,
    /// Which vector each distance has, by the place of the key minus that of the query plus
    /// `longest - 1`.
    numbers: Vec<u32>,
    longest: usize,
}

/// How one layer looks at distances.
#[derive(Debug, Clone)]
pub(super) struct LayerDistances {
    source: Source,
    heads: usize,
    head_dim: usize,
    /// What queries' and keys' vectors are multiplied by: queries of the content are scaled already.
    scales: [f64; 2],
}

/// Where a layer has its vectors from.
#[derive(Debug, Clone)]
enum Source {
    /// Its own for each distance, `(2 positions - 1, head_dim)`.
    Own { vectors: Tensor, keys: bool },
    /// Those of the model, projected as queries and as keys; `None` where it does not look at them.
    Projected { query: Option<Linear>, key: Option<Linear> },
}

/// The vectors of one layer, `(heads, head_dim, 2 span)` each, their number made a
/// multiple of 8.
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

    /// What is added to the scores of rows of up to `longest` tokens, `(heads, 2 longest - 1)`, by
    /// the place of the key minus that of the query plus `longest - 1`.
    /// `relative_position_bucket` of modeling_mpnet.py, which is T5's, looking both ways.
    pub(super) fn bias(&self, longest: usize, device: &Device) -> Result<Vec<f32>> {
        let half = self.table.vocab() / 2;
        let exact = (half / 2).max(1);
        let far = (self.max_distance as f32 / exact as f32).ln();
        let bucket = |from_query: i64| {
            let distance = from_query.unsigned_abs() as usize;
            let bucket = if distance < exact {
                distance
            } else {
                let steps = (distance as f32 / exact as f32).ln() / far * (half - exact) as f32;
                (exact + steps as usize).min(half - 1)
            };
            (bucket + if from_query > 0 { half } else { 0 }) as u32
        };
        let buckets = Tensor::from_iter(distances(longest).map(bucket), device)?;
        let values = self.table.forward(&buckets)?.to_dtype(DType::F32)?;
        Ok(values.t()?.flatten_all()?.to_vec1()?)
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

    /// For rows of up to `longest` tokens.
    pub(super) fn distances(&self, longest: usize) -> Distances {
        let last = 2 * self.config.span as i64 - 1;
        let number = |from_query: i64| {
            (self.bucket(-from_query) + self.config.span as i64).clamp(0, last) as u32
        };
        let numbers = distances(longest).map(number).collect();
        Distances { vectors: Some(self.vectors.clone()), numbers, longest }
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

impl Distances {
    /// A number of its own for each distance of rows of up to `longest` tokens, those of keys far
    /// ahead first, as the tables of [`LayerDistancesConfig`] have them.
    pub(super) fn each(longest: usize) -> Self {
        let last = 2 * longest as u32 - 1;
        Self { vectors: None, numbers: (0..last).rev().collect(), longest }
    }
}

impl LayerDistances {
    /// Reads `distances`, or `relative.q` and `relative.k`, which may be the content's `query` and
    /// `key`, from an attention's scope.
    pub(super) fn load(
        weights: &Weights,
        query: &Linear,
        key: &Linear,
        attention: &AttentionConfig,
        config: &RelativePositions,
    ) -> Result<Option<Self>> {
        let AttentionConfig { heads, head_dim, scale, .. } = *attention;
        let (source, scales) = match config {
            RelativePositions::Buckets { .. } | RelativePositions::None => return Ok(None),
            RelativePositions::Disentangled(config) => {
                let (hidden, width) = (query.in_features(), query.out_features());
                let linear = |wanted: bool, name: &str, content: &Linear| {
                    Ok::<_, Error>(match (wanted, config.share_projections) {
                        (false, _) => None,
                        (true, true) => Some(content.clone()),
                        (true, false) => {
                            Some(weights.linear(name, hidden, width, Bias::IfStored)?)
                        }
                    })
                };
                let query = linear(config.position_to_content, "relative.q", query)?;
                let key = linear(config.content_to_position, "relative.k", key)?;
                (Source::Projected { query, key }, [scale, 1.0])
            }
            RelativePositions::OfLayers(config) => {
                let shape = [2 * config.positions - 1, head_dim];
                let vectors = weights.tensor("distances.weight", &shape)?;
                let source = Source::Own { vectors, keys: config.keys };
                (source, [config.scale, config.scale / scale])
            }
        };
        Ok(Some(Self { source, heads, head_dim, scales }))
    }

    pub(super) fn project(&self, distances: &Distances) -> Result<Projected> {
        let padded = |x: &Tensor, scale: f64| -> Result<Tensor> {
            let count = x.dim(2)?;
            let x = x.pad_with_zeros(2, 0, count.next_multiple_of(8) - count)?.contiguous()?;
            Ok(if scale == 1.0 { x } else { (x * scale)? })
        };
        let [of_queries, of_keys] = self.scales;
        let (queries, keys) = match (&self.source, &distances.vectors) {
            (Source::Projected { query, key }, Some(vectors)) => {
                let project = |linear: &Linear, scale: f64| -> Result<Tensor> {
                    let x = linear.forward(vectors)?;
                    let x = x.reshape((x.dim(0)?, self.heads, self.head_dim))?;
                    padded(&x.permute((1, 2, 0))?, scale)
                };
                let queries = query.as_ref().map(|query| project(query, of_queries));
                (queries.transpose()?, key.as_ref().map(|key| project(key, of_keys)).transpose()?)
            }
            (Source::Own { vectors, keys }, _) => {
                let longest = distances.longest;
                // The middle one is of no distance.
                let first = (vectors.dim(0)? / 2 + 1).saturating_sub(longest);
                let vectors = vectors.narrow(0, first, 2 * longest - 1)?.t()?;
                let vectors = vectors.unsqueeze(0)?.repeat((self.heads, 1, 1))?;
                let queries = keys.then(|| padded(&vectors, of_queries)).transpose()?;
                (queries, Some(padded(&vectors, of_keys)?))
            }
            (Source::Projected { .. }, None) => (None, None),
        };
        Ok(Projected { queries, keys })
    }
}

impl Projected {
    /// Calls `work` with the vectors as the kernel takes them.
    pub(super) fn with_vectors<T>(
        &self,
        distances: &Distances,
        work: impl FnOnce(encoder_attention::DistanceVectors<'_>) -> T,
    ) -> Result<T> {
        let count = self.keys.as_ref().or(self.queries.as_ref()).map_or(Ok(0), |x| x.dim(2))?;
        let Distances { numbers, longest, .. } = distances;
        with_optional(self.queries.as_ref(), |queries| {
            with_optional(self.keys.as_ref(), |keys| {
                let longest = *longest;
                work(encoder_attention::DistanceVectors { queries, keys, count, numbers, longest })
            })
        })?
    }

    /// What is added to the scores of one row, `(heads, tokens, tokens)` in f32; queries and keys
    /// are `(heads, tokens, head_dim)`.
    pub(super) fn scores(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        distances: &Distances,
    ) -> Result<Option<Tensor>> {
        let (heads, tokens, _) = queries.dims3()?;
        let numbers = by_place(&distances.numbers, distances.longest, tokens);
        let numbers: Vec<u32> = numbers.copied().collect();
        let buckets = Tensor::from_vec(numbers, (tokens, tokens), queries.device())?;
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

fn with_optional<T>(x: Option<&Tensor>, work: impl FnOnce(Option<&[f32]>) -> T) -> Result<T> {
    match x {
        Some(x) => with_f32(x, |x| work(Some(x))),
        None => Ok(work(None)),
    }
}

/// Of numbers by the place of the key minus that of the query, those of each query and key of a row
/// of so many tokens.
pub(super) fn by_place<T>(
    numbers: &[T],
    longest: usize,
    tokens: usize,
) -> impl Iterator<Item = &T> {
    (0..tokens).flat_map(move |query| numbers.iter().skip(longest - 1 - query).take(tokens))
}

/// Places of keys minus those of queries, in rows of up to `longest` tokens.
fn distances(longest: usize) -> impl Iterator<Item = i64> {
    let longest = longest as i64;
    1 - longest..longest
}
