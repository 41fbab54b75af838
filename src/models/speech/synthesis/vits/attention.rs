//! Attention with vectors for distances, of keys and of values. <https://arxiv.org/abs/1803.02155>

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops;

use crate::error::Result;
use crate::models::speech::synthesis::vits::config::VitsConfig;
use crate::weights::{Bias, Linear, Weights};

/// Multi-headed attention of the text encoder.
#[derive(Debug)]
pub(super) struct RelativeAttention {
    heads: usize,
    head_dim: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    distances: Option<Distances>,
}

/// A vector for each distance from `-window` to `window`, of keys and of values: `(2 window + 1, head_dim)`.
#[derive(Debug)]
struct Distances {
    window: usize,
    keys: Tensor,
    values: Tensor,
}

impl RelativeAttention {
    pub(super) fn load(weights: &Weights, config: &VitsConfig) -> Result<Self> {
        let hidden = config.hidden_size;
        let (heads, bias) = (config.num_attention_heads, Bias::from(config.use_bias));
        let head_dim = hidden / heads;
        let linear = |name: &str| weights.linear(name, hidden, hidden, bias);
        let distances = |window: usize| -> Result<Distances> {
            let shape = [1, 2 * window + 1, head_dim];
            let vectors = |name: &str| -> Result<Tensor> {
                Ok(weights.tensor(name, &shape)?.squeeze(0)?.to_dtype(DType::F32)?)
            };
            Ok(Distances { window, keys: vectors("emb_rel_k")?, values: vectors("emb_rel_v")? })
        };
        Ok(Self {
            heads,
            head_dim,
            query: linear("q_proj")?,
            key: linear("k_proj")?,
            value: linear("v_proj")?,
            out: linear("out_proj")?,
            distances: config.window_size.map(distances).transpose()?,
        })
    }

    /// `(tokens, hidden)`, the same shape back.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, hidden) = x.dims2()?;
        let at_once = (MOST_SCORES / (self.heads * tokens).max(1)).max(1);
        let split = |x: Tensor| -> Result<Tensor> {
            let x = x.reshape((tokens, self.heads, self.head_dim))?.to_dtype(DType::F32)?;
            Ok(x.transpose(0, 1)?.contiguous()?)
        };
        let scale = (self.head_dim as f64).powf(-0.5);
        let query = (split(self.query.forward(x)?)? * scale)?;
        let (key, value) = (split(self.key.forward(x)?)?, split(self.value.forward(x)?)?);
        let key = key.transpose(1, 2)?.contiguous()?;
        let mut parts = Vec::new();
        for first in (0..tokens).step_by(at_once) {
            let queries = query.narrow(1, first, at_once.min(tokens - first))?.contiguous()?;
            parts.push(self.attend(&queries, first, &key, &value)?);
        }
        let y = Tensor::cat(&parts, 1)?;
        let y = y.transpose(0, 1)?.reshape((tokens, hidden))?.to_dtype(x.dtype())?;
        self.out.forward(&y)
    }

    /// What the queries from the number `first` on attend to: `(heads, queries, head_dim)`, the same shape back.
    /// The keys are `(heads, head_dim, tokens)`, the values `(heads, tokens, head_dim)`.
    fn attend(
        &self,
        queries: &Tensor,
        first: usize,
        key: &Tensor,
        value: &Tensor,
    ) -> Result<Tensor> {
        let tokens = value.dim(1)?;
        let mut scores = queries.matmul(key)?;
        if let Some(Distances { window, keys, .. }) = &self.distances {
            let of_distances = queries.broadcast_matmul(&keys.t()?.contiguous()?)?;
            scores = (scores + self.spread(&of_distances, first, tokens, *window)?)?;
        }
        let shares = ops::softmax(&scores, D::Minus1)?;
        let mut y = shares.matmul(value)?;
        if let Some(Distances { window, values, .. }) = &self.distances {
            y = (y + self.gather(&shares, first, *window)?.broadcast_matmul(values)?)?;
        }
        Ok(y)
    }

    /// `(heads, queries, distances)` to `(heads, queries, tokens)`, with zeros beyond the window. The queries begin
    /// with the number `first`.
    fn spread(&self, x: &Tensor, first: usize, tokens: usize, window: usize) -> Result<Tensor> {
        let (heads, count, width) = x.dims3()?;
        let x = x.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        let mut out = vec![0.0; heads * count * tokens];
        for (row, (from, to)) in x.chunks_exact(width).zip(out.chunks_exact_mut(tokens)).enumerate()
        {
            let query = first + row % count;
            each_near(query, tokens, window, |key, distance| to[key] = from[distance]);
        }
        let out = Tensor::from_vec(out, (heads, count, tokens), &Device::Cpu)?;
        Ok(out.to_device(self.device())?)
    }

    /// The other way round.
    fn gather(&self, x: &Tensor, first: usize, window: usize) -> Result<Tensor> {
        let (heads, count, tokens) = x.dims3()?;
        let width = 2 * window + 1;
        let x = x.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        let mut out = vec![0.0; heads * count * width];
        for (row, (from, to)) in x.chunks_exact(tokens).zip(out.chunks_exact_mut(width)).enumerate()
        {
            let query = first + row % count;
            each_near(query, tokens, window, |key, distance| to[distance] = from[key]);
        }
        let out = Tensor::from_vec(out, (heads, count, width), &Device::Cpu)?;
        Ok(out.to_device(self.device())?)
    }

    fn device(&self) -> &Device {
        self.distances.as_ref().map_or(&Device::Cpu, |distances| distances.keys.device())
    }
}

/// Calls `work` with each key within the window of a query and the number of its distance.
fn each_near(query: usize, tokens: usize, window: usize, mut work: impl FnMut(usize, usize)) {
    for key in query.saturating_sub(window)..tokens.min(query + window + 1) {
        work(key, key + window - query);
    }
}

/// Scores that are in memory at once: 64 MiB.
const MOST_SCORES: usize = 1 << 24;
