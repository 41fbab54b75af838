//! What the distances between tokens add to attention scores.

mod gate;

pub(crate) use gate::Gate;

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::kernels::encoder_attention;
use crate::nn::norm::{Norm, NormConfig};
use crate::weights::slices::with_f32;
use crate::weights::{Bias, Embedding, Linear, Weights};

/// What the distances between tokens add to attention scores.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub enum RelativePositions {
    /// A number for each head and bucket of distances: MPNet, T5.
    Buckets {
        /// Which of the model's tables: 0, or the number of the layer where each has its own, as in
        /// UMT5.
        table: usize,
        /// Whether keys after the query have buckets of their own, half of all: in encoders.
        bidirectional: bool,
        /// How many.
        buckets: usize,
        /// Distances from here on share the last bucket.
        max_distance: usize,
    },
    /// As `Buckets`, both ways, times a number for each head and query: WavLM,
    /// <https://arxiv.org/abs/2110.13900>.
    GatedBuckets {
        /// How many, half of them for keys after the query.
        buckets: usize,
        /// Distances from here on share the last bucket.
        max_distance: usize,
    },
    /// Products of queries with vectors for distances that each layer has of its own, the same for all
    /// heads; far distances share one: Wav2Vec2-BERT.
    Clamped {
        /// The farthest distance of a key before the query.
        before: usize,
        /// The farthest distance of a key after it.
        after: usize,
    },
    /// Products of queries and keys with vectors for distances, which all layers share: DeBERTa.
    Disentangled(DisentangledConfig),
    /// Products of queries, and perhaps keys, with vectors for distances that each layer has of its
    /// own, the same for all heads: BERT and its kin with `position_embedding_type` `relative_key` or
    /// `relative_key_query`, <https://arxiv.org/abs/1803.02155> and <https://arxiv.org/abs/2009.13658>.
    OfLayers(LayerDistancesConfig),
}

/// A layer's vectors for distances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LayerDistancesConfig {
    /// The most tokens of a row; there are vectors for one less on either side.
    pub positions: usize,
    /// Whether keys are multiplied with the vectors too.
    pub keys: bool,
    /// Multiplies the products: as scores are scaled, but 1 in ALBERT.
    pub scale: f64,
}

/// DeBERTa's attention to distances, <https://arxiv.org/abs/2006.03654>.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DisentangledConfig {
    /// Distances on each side that have vectors of their own: half the rows of the table.
    pub span: usize,
    /// `position_buckets`: how many on each side where far distances share one.
    pub buckets: Option<usize>,
    /// Distances from here on share the last bucket.
    pub max_distance: usize,
    /// Queries with the vectors of distances.
    pub content_to_position: bool,
    /// Keys with the vectors of distances.
    pub position_to_content: bool,
    /// Distances are projected by the content's own query and key matrices.
    pub share_projections: bool,
    /// Of the table.
    pub norm: Option<NormConfig>,
}

/// What the layers of a model share.
#[derive(Debug, Clone)]
pub(crate) enum SharedRelative {
    /// Tables that layers name by number.
    Buckets(Vec<BucketTable>),
    /// `(2 span, hidden)`, normed where the model norms them.
    Disentangled { vectors: Tensor, config: DisentangledConfig },
    /// Layers have vectors of their own.
    OfLayers,
    /// The same, for distances up to so many before and after.
    Clamped { before: usize, after: usize },
}

/// A number for each head and bucket of distances.
#[derive(Debug, Clone)]
pub(crate) struct BucketTable {
    /// `(buckets, heads)`.
    numbers: Embedding,
    max_distance: usize,
    bidirectional: bool,
}

/// The numbers of one pass's distances.
#[derive(Debug)]
pub(crate) struct Distances {
    /// DeBERTa's vectors, which each layer projects.
    vectors: Option<Tensor>,
    /// Which vector each distance has, by the place of the key minus that of the query plus
    /// `longest - 1`.
    numbers: Vec<u32>,
    longest: usize,
}

/// How one layer looks at distances.
#[derive(Debug, Clone)]
pub(crate) struct LayerDistances {
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
    /// Its own, of which far distances share one, `(count, head_dim)`.
    Clamped(Tensor),
    /// Those of the model, projected as queries and as keys; `None` where it does not look at them.
    Projected { query: Option<Linear>, key: Option<Linear> },
}

/// The vectors of one layer, `(heads, head_dim, 2 span)` each, their number made a
/// multiple of 8.
#[derive(Debug)]
pub(crate) struct Projected {
    queries: Option<Tensor>,
    keys: Option<Tensor>,
}

impl SharedRelative {
    /// Reads `relative.0` and so on, or `relative` and `relative_norm` where there is one, for layers
    /// of so many heads, each with its own positions.
    pub(crate) fn load(
        weights: &Weights,
        hidden: usize,
        layers: &[(usize, RelativePositions)],
    ) -> Result<Option<Self>> {
        let Some(&(heads, first)) = layers.first() else { return Ok(None) };
        Ok(Some(match first {
            RelativePositions::Buckets { .. } => {
                let mut tables = Vec::new();
                for &(heads, positions) in layers {
                    match positions {
                        RelativePositions::Buckets {
                            table,
                            bidirectional,
                            buckets,
                            max_distance,
                        } if table == tables.len() => {
                            let numbers = weights.scope("relative").embedding(
                                &table.to_string(),
                                buckets,
                                heads,
                            )?;
                            tables.push(BucketTable { numbers, max_distance, bidirectional });
                        }
                        _ => {}
                    }
                }
                Self::Buckets(tables)
            }
            RelativePositions::Disentangled(config) => {
                let vectors = weights.tensor("relative.weight", &[2 * config.span, hidden])?;
                let norm = |norm| Norm::load(weights, "relative_norm", hidden, norm);
                let vectors = match config.norm.map(norm).transpose()? {
                    Some(norm) => norm.forward(&vectors)?,
                    None => vectors,
                };
                Self::Disentangled { vectors, config }
            }
            RelativePositions::GatedBuckets { buckets, max_distance } => {
                let numbers = weights.scope("relative").embedding("0", buckets, heads)?;
                Self::Buckets(vec![BucketTable { numbers, max_distance, bidirectional: true }])
            }
            RelativePositions::Clamped { before, after } => Self::Clamped { before, after },
            RelativePositions::OfLayers(_) => Self::OfLayers,
        }))
    }

    /// What each table adds to the scores of rows of up to `longest` tokens, `(heads, 2 longest - 1)`, by
    /// the place of the key minus that of the query plus `longest - 1`.
    pub(crate) fn biases(&self, longest: usize, device: &Device) -> Result<Vec<Vec<f32>>> {
        let Self::Buckets(tables) = self else { return Ok(Vec::new()) };
        let biases = tables.iter().map(|BucketTable { numbers, max_distance, bidirectional }| {
            let bucket =
                |distance| bucket(distance, numbers.vocab(), *max_distance, *bidirectional);
            let buckets = Tensor::from_iter(distances(longest).map(bucket), device)?;
            let values = numbers.forward(&buckets)?.to_dtype(DType::F32)?;
            Ok(values.t()?.flatten_all()?.to_vec1()?)
        });
        biases.collect()
    }

    /// The numbers of the distances in rows of up to `longest` tokens, where layers have vectors for
    /// them.
    pub(crate) fn distances(&self, longest: usize) -> Option<Distances> {
        match self {
            Self::Buckets(_) => None,
            Self::Disentangled { vectors, config } => {
                let last = 2 * config.span as i64 - 1;
                let number = |from_query: i64| {
                    (config.bucket(-from_query) + config.span as i64).clamp(0, last) as u32
                };
                let numbers = distances(longest).map(number).collect();
                Some(Distances { vectors: Some(vectors.clone()), numbers, longest })
            }
            Self::Clamped { before, after } => {
                let (before, after) = (*before as i64, *after as i64);
                let number = |from_query: i64| (from_query.clamp(-before, after) + before) as u32;
                let numbers = distances(longest).map(number).collect();
                Some(Distances { vectors: None, numbers, longest })
            }
            // One for each distance, those of keys far ahead first.
            Self::OfLayers => {
                let numbers = (0..2 * longest as u32 - 1).rev().collect();
                Some(Distances { vectors: None, numbers, longest })
            }
        }
    }
}

/// `_relative_position_bucket` of modeling_t5.py, which is MPNet's, too.
fn bucket(from_query: i64, buckets: usize, max_distance: usize, bidirectional: bool) -> u32 {
    let ahead = from_query > 0;
    let buckets = if bidirectional { buckets / 2 } else { buckets };
    let first = if bidirectional && ahead { buckets } else { 0 };
    let distance = if ahead && !bidirectional { 0 } else { from_query.unsigned_abs() as usize };
    let exact = (buckets / 2).max(1);
    let bucket = if distance < exact {
        distance
    } else {
        let far = (max_distance as f32 / exact as f32).ln();
        let steps = (distance as f32 / exact as f32).ln() / far * (buckets - exact) as f32;
        exact.saturating_add(steps as usize).min(buckets - 1)
    };
    (first + bucket) as u32
}

impl DisentangledConfig {
    /// `make_log_bucket_position` of modeling_deberta_v2.py, in f32 as there.
    fn bucket(&self, distance: i64) -> i64 {
        let Some(buckets) = self.buckets else { return distance };
        let middle = (buckets / 2) as i64;
        if distance.abs() <= middle {
            return distance;
        }
        let middle_f = middle as f32;
        let far = ((self.max_distance as f32 - 1.0) / middle_f).ln();
        let steps = (distance.abs() as f32 / middle_f).ln() / far * (middle_f - 1.0);
        (steps.ceil() as i64 + middle) * distance.signum()
    }
}

impl LayerDistances {
    /// Reads `distances`, or `relative.q` and `relative.k`, which may be the content's `query` and
    /// `key`, from the scope of an attention that multiplies scores by `scale`.
    pub(crate) fn load(
        weights: &Weights,
        query: &Linear,
        key: &Linear,
        (heads, head_dim, scale): (usize, usize, f64),
        config: &RelativePositions,
    ) -> Result<Option<Self>> {
        let (source, scales) = match config {
            RelativePositions::Buckets { .. } | RelativePositions::GatedBuckets { .. } => {
                return Ok(None);
            }
            RelativePositions::Clamped { before, after } => {
                let vectors =
                    weights.tensor("distances.weight", &[before + after + 1, head_dim])?;
                (Source::Clamped(vectors), [1.0, 1.0])
            }
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

    pub(crate) fn project(&self, distances: &Distances) -> Result<Projected> {
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
                let vectors = self.of_heads(&vectors.narrow(0, first, 2 * longest - 1)?)?;
                let queries = keys.then(|| padded(&vectors, of_queries)).transpose()?;
                (queries, Some(padded(&vectors, of_keys)?))
            }
            (Source::Clamped(vectors), _) => {
                (None, Some(padded(&self.of_heads(vectors)?, of_keys)?))
            }
            (Source::Projected { .. }, None) => (None, None),
        };
        Ok(Projected { queries, keys })
    }

    /// `(count, head_dim)`, the same for all heads, to `(heads, head_dim, count)`.
    fn of_heads(&self, vectors: &Tensor) -> Result<Tensor> {
        Ok(vectors.t()?.unsqueeze(0)?.repeat((self.heads, 1, 1))?)
    }
}

impl Projected {
    /// Calls `work` with the vectors as the kernel takes them.
    pub(crate) fn with_vectors<T>(
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
    pub(crate) fn scores(
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
pub(crate) fn by_place<T>(
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

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// `tests/goldens/positions.json`, by `make_configs.py`.
    #[derive(Deserialize)]
    struct Golden {
        distances: Vec<i64>,
        buckets: Vec<Buckets>,
    }

    #[derive(Deserialize)]
    struct Buckets {
        bidirectional: bool,
        buckets: usize,
        max_distance: usize,
        numbers: Vec<u32>,
    }

    #[test]
    fn buckets_are_those_of_the_reference() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../tests/goldens/positions.json")).unwrap();
        for Buckets { bidirectional, buckets, max_distance, numbers } in golden.buckets {
            let number = |&distance| bucket(distance, buckets, max_distance, bidirectional);
            assert_eq!(golden.distances.iter().map(number).collect::<Vec<_>>(), numbers);
        }
    }
}
