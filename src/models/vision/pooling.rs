//! From the tokens of a picture to one vector.

use candle_core::{D, DType, Tensor};
use candle_nn::ops;

use crate::error::{Error, Result};
use crate::models::vision::config::ImagePooling;
use crate::nn::function::Function;
use crate::nn::mlp::Mlp;
use crate::nn::norm::{Norm, NormConfig};
use crate::weights::names::HeadCounts;
use crate::weights::{Bias, Linear, Weights};

/// From the tokens of a picture to one vector.
#[derive(Debug)]
pub(super) enum Pooler {
    First,
    FirstNormed(Norm),
    Dense { dense: Linear, function: Function },
    Attention(Box<AttentionPooler>),
}

/// A learned query attends to all tokens; then comes an MLP.
#[derive(Debug)]
pub(super) struct AttentionPooler {
    /// `(1, hidden)`.
    probe: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: Norm,
    mlp: Mlp,
    heads: usize,
}

impl Pooler {
    /// Reads `norm`, `dense` or the parts of attention from the scope; none where the model has none, or the checkpoint
    /// has no `dense`.
    pub(super) fn load(
        weights: &Weights,
        hidden: usize,
        config: &ImagePooling,
    ) -> Result<Option<Self>> {
        Ok(Some(match config {
            ImagePooling::None => return Ok(None),
            ImagePooling::First => Self::First,
            ImagePooling::FirstNormed(norm) => {
                Self::FirstNormed(Norm::load(weights, "norm", hidden, *norm)?)
            }
            // Classifiers are stored without it.
            ImagePooling::Dense { .. } if !weights.contains("dense") => return Ok(None),
            &ImagePooling::Dense { size, activation } => Self::Dense {
                dense: weights.linear("dense", hidden, size, Bias::Present)?,
                function: Function::load(weights, activation)?,
            },
            ImagePooling::Attention { heads, norm, mlp } => {
                let mlp = Mlp::load(&weights.scope("mlp"), hidden, mlp)?;
                Self::Attention(Box::new(AttentionPooler::load(
                    weights, hidden, *heads, *norm, mlp,
                )?))
            }
        }))
    }

    /// The vector of a picture, `(1, size)`, of its tokens `(tokens, hidden)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let first = || x.narrow(0, 0, 1);
        match self {
            Self::First => Ok(first()?),
            Self::FirstNormed(norm) => norm.forward(&first()?),
            Self::Dense { dense, function } => function.forward(&dense.forward(&first()?)?),
            Self::Attention(pooler) => pooler.forward(x),
        }
    }
}

impl AttentionPooler {
    fn load(
        weights: &Weights,
        hidden: usize,
        heads: usize,
        norm: NormConfig,
        mlp: Mlp,
    ) -> Result<Self> {
        if heads == 0 || !hidden.is_multiple_of(heads) {
            let reason = format!("{heads} heads do not divide the width {hidden}");
            return Err(Error::unsupported(reason));
        }
        let counts = HeadCounts { heads, kv_heads: heads, head_dim: hidden / heads };
        let attention = weights.scope("attn").with_heads(counts);
        let linear = |name: &str| attention.linear(name, hidden, hidden, Bias::Present);
        Ok(Self {
            probe: weights.tensor("probe", &[hidden])?.unsqueeze(0)?,
            query: linear("q")?,
            key: linear("k")?,
            value: linear("v")?,
            output: linear("o")?,
            norm: Norm::load(weights, "norm", hidden, norm)?,
            mlp,
            heads,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let head_dim = x.dim(D::Minus1)? / self.heads;
        // `(heads, tokens, head_dim)`.
        let split = |x: Tensor| -> Result<Tensor> {
            let tokens = x.dim(0)?;
            Ok(x.reshape((tokens, self.heads, head_dim))?.transpose(0, 1)?.contiguous()?)
        };
        let queries = (split(self.query.forward(&self.probe)?)? * (head_dim as f64).powf(-0.5))?;
        let (keys, values) = (split(self.key.forward(x)?)?, split(self.value.forward(x)?)?);
        let scores = queries.matmul(&keys.t()?)?.to_dtype(DType::F32)?;
        let shares = ops::softmax_last_dim(&scores)?.to_dtype(values.dtype())?;
        let found = shares.matmul(&values)?.transpose(0, 1)?.flatten_from(D::Minus2)?;
        let found = self.output.forward(&found.contiguous()?)?;
        Ok((&found + self.mlp.forward(&self.norm.forward(&found)?)?)?)
    }
}
