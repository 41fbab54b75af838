//! The attention of SpeechT5, in its encoder with vectors for distances. <https://arxiv.org/abs/1803.02155>

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops;

use crate::error::Result;
use crate::weights::{Bias, Linear, Weights};

#[derive(Debug)]
pub(super) struct Attention {
    heads: usize,
    head_dim: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

/// Keys and values, `(heads, tokens, head_dim)` each, in f32.
#[derive(Debug, Clone)]
pub(super) struct KeyValues {
    keys: Tensor,
    values: Tensor,
}

impl KeyValues {
    /// With those of later tokens behind them.
    pub(super) fn extended(earlier: Option<&Self>, later: Self) -> Result<Self> {
        let Some(earlier) = earlier else { return Ok(later) };
        Ok(Self {
            keys: Tensor::cat(&[&earlier.keys, &later.keys], 1)?,
            values: Tensor::cat(&[&earlier.values, &later.values], 1)?,
        })
    }
}

impl Attention {
    pub(super) fn load(weights: &Weights, hidden: usize, heads: usize) -> Result<Self> {
        let linear = |name: &str| weights.linear(name, hidden, hidden, Bias::Present);
        Ok(Self {
            heads,
            head_dim: hidden / heads,
            query: linear("q_proj")?,
            key: linear("k_proj")?,
            value: linear("v_proj")?,
            out: linear("out_proj")?,
        })
    }

    /// Of tokens that are attended to, `(tokens, hidden)`.
    pub(super) fn key_values(&self, x: &Tensor) -> Result<KeyValues> {
        Ok(KeyValues {
            keys: self.split(&self.key.forward(x)?)?,
            values: self.split(&self.value.forward(x)?)?,
        })
    }

    /// `(tokens, hidden)`, the same shape back. `distances` is a vector for each distance that occurs,
    /// `(2 tokens - 1, head_dim)`, from the query that lies as far as can be before the key to the one behind it.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        source: &KeyValues,
        distances: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (tokens, hidden) = x.dims2()?;
        let scale = (self.head_dim as f64).powf(-0.5);
        let query = (self.split(&self.query.forward(x)?)? * scale)?;
        let mut scores = query.matmul(&source.keys.transpose(1, 2)?.contiguous()?)?;
        if let Some(distances) = distances {
            let all = query.broadcast_matmul(&distances.t()?.contiguous()?)?;
            scores = (scores + self.aligned(&all, tokens)?)?;
        }
        let shares = ops::softmax(&scores, D::Minus1)?;
        let y = shares.matmul(&source.values)?;
        let y = y.transpose(0, 1)?.reshape((tokens, hidden))?.to_dtype(x.dtype())?;
        self.out.forward(&y)
    }

    fn split(&self, x: &Tensor) -> Result<Tensor> {
        let tokens = x.dim(0)?;
        let x = x.reshape((tokens, self.heads, self.head_dim))?.to_dtype(DType::F32)?;
        Ok(x.transpose(0, 1)?.contiguous()?)
    }

    /// `(heads, tokens, 2 tokens - 1)` by distance to `(heads, tokens, tokens)` by key.
    fn aligned(&self, x: &Tensor, tokens: usize) -> Result<Tensor> {
        let device = x.device();
        let x = x.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
        let mut out = Vec::with_capacity(self.heads * tokens * tokens);
        for (row, distances) in x.chunks_exact(2 * tokens - 1).enumerate() {
            let query = row % tokens;
            // The distance is the query's place minus the key's.
            out.extend((0..tokens).map(|key| distances[query + tokens - 1 - key]));
        }
        let out = Tensor::from_vec(out, (self.heads, tokens, tokens), &Device::Cpu)?;
        Ok(out.to_device(device)?)
    }
}
