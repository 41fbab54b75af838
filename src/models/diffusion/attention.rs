//! Layers in which pixels attend to one another and to a text.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::nn::activation::times_gelu;
use crate::nn::group_norm::GroupNorm;
use crate::nn::norm::{Norm, NormConfig};
use crate::nn::picture::Picture;
use crate::nn::pixels;
use crate::nn::residual::join;
use crate::weights::{Bias, Linear, Weights};

/// `Transformer2DModel` of diffusers: layers over the pixels of a picture.
#[derive(Debug, Clone)]
pub(super) struct Transformer2d {
    norm: GroupNorm,
    projections: [Linear; 2],
    blocks: Vec<Block>,
}

/// The shape of a [`Transformer2d`].
#[derive(Debug, Clone, Copy)]
pub(super) struct TransformerShape {
    pub(super) channels: usize,
    pub(super) heads: usize,
    /// Features of a token of the text.
    pub(super) text: usize,
    pub(super) layers: usize,
    pub(super) groups: usize,
}

impl Transformer2d {
    pub(super) fn load(weights: &Weights, shape: TransformerShape) -> Result<Self> {
        let TransformerShape { channels, heads, layers, groups, .. } = shape;
        if heads == 0 || !channels.is_multiple_of(heads) {
            return Err(Error::unsupported(format!("{heads} heads of {channels} channels")));
        }
        let projection = |name: &str| weights.linear(name, channels, channels, Bias::Present);
        let blocks = weights.scope("transformer_blocks");
        let block = |number| Block::load(&blocks.scope(number), shape);
        Ok(Self {
            norm: GroupNorm::load(weights, "norm", channels, groups, 1e-6)?,
            // Stored as convolutions of single pixels, or as layers (`use_linear_projection`).
            projections: [projection("proj_in")?, projection("proj_out")?],
            blocks: (0..layers).map(block).collect::<Result<_>>()?,
        })
    }

    /// `text: (tokens, features)`.
    pub(super) fn forward(&self, picture: &Picture, text: &Tensor) -> Result<Picture> {
        let mut x = self.projections[0].forward(&self.norm.forward(&picture.x)?)?;
        for block in &self.blocks {
            x = block.forward(&x, text)?;
        }
        Ok(picture.with(join(&picture.x, self.projections[1].forward(&x)?, None)?))
    }
}

/// Tokens that the wide layers of a [`Block`] take at a time: what lies between them stays small.
const TOKENS: usize = 1024;

/// `BasicTransformerBlock` of diffusers.
#[derive(Debug, Clone)]
struct Block {
    norms: [Norm; 3],
    own: Heads,
    text: Heads,
    gate: Linear,
    down: Linear,
}

impl Block {
    fn load(weights: &Weights, shape: TransformerShape) -> Result<Self> {
        let TransformerShape { channels, heads, text, .. } = shape;
        let norm =
            |name: &str| Norm::load(weights, name, channels, NormConfig::Layer { eps: 1e-5 });
        let attention = |name: &str, others| {
            Heads::load(&weights.scope(name), [channels, others], heads, Bias::Absent)
        };
        Ok(Self {
            norms: [norm("norm1")?, norm("norm2")?, norm("norm3")?],
            own: attention("attn1", channels)?,
            text: attention("attn2", text)?,
            gate: weights.linear("ff.net.0.proj", channels, 8 * channels, Bias::Present)?,
            down: weights.linear("ff.net.2", 4 * channels, channels, Bias::Present)?,
        })
    }

    fn forward(&self, x: &Tensor, text: &Tensor) -> Result<Tensor> {
        let normed = self.norms[0].forward(x)?;
        let x = join(x, self.own.forward(&normed, &normed)?, None)?;
        let x = join(&x, self.text.forward(&self.norms[1].forward(&x)?, text)?, None)?;
        let normed = self.norms[2].forward(&x)?;
        let tokens = normed.dim(0)?;
        let part = |start| self.between(&normed.narrow(0, start, TOKENS.min(tokens - start))?);
        let parts = (0..tokens).step_by(TOKENS).map(part).collect::<Result<Vec<_>>>()?;
        join(&x, Tensor::cat(&parts, 0)?, None)
    }

    /// The two layers behind attention, with a gate between them.
    fn between(&self, x: &Tensor) -> Result<Tensor> {
        // Values and their gates lie side by side.
        self.down.forward(&times_gelu(&self.gate.forward(x)?)?)
    }
}

/// Projections to queries, keys and values, and back.
#[derive(Debug, Clone)]
pub(super) struct Heads {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
}

impl Heads {
    /// Reads `to_q`, `to_k`, `to_v` and `to_out.0`, or what they were called in older checkpoints.
    pub(super) fn load(
        weights: &Weights,
        [channels, others]: [usize; 2],
        heads: usize,
        bias: Bias,
    ) -> Result<Self> {
        let linear = |name: &str, older: &str, inputs, bias| {
            let name =
                if weights.contains(name) || !weights.contains(older) { name } else { older };
            weights.linear(name, inputs, channels, bias)
        };
        Ok(Self {
            query: linear("to_q", "query", channels, bias)?,
            key: linear("to_k", "key", others, bias)?,
            value: linear("to_v", "value", others, bias)?,
            out: linear("to_out.0", "proj_attn", channels, Bias::Present)?,
            heads,
        })
    }

    /// `x: (tokens, channels)` to `others: (others, features)`.
    pub(super) fn forward(&self, x: &Tensor, others: &Tensor) -> Result<Tensor> {
        let queries = self.query.forward(x)?;
        let (keys, values) = (self.key.forward(others)?, self.value.forward(others)?);
        let scale = ((queries.dim(1)? / self.heads) as f64).powf(-0.5);
        self.out.forward(&pixels::attend(&queries, &keys, &values, self.heads, scale)?)
    }
}

/// Attention of pixels to one another, in the middle of a VAE.
#[derive(Debug, Clone)]
pub(super) struct PictureAttention {
    norm: GroupNorm,
    heads: Heads,
}

impl PictureAttention {
    pub(super) fn load(weights: &Weights, channels: usize, groups: usize) -> Result<Self> {
        Ok(Self {
            norm: GroupNorm::load(weights, "group_norm", channels, groups, 1e-6)?,
            heads: Heads::load(weights, [channels, channels], 1, Bias::Present)?,
        })
    }

    pub(super) fn forward(&self, picture: &Picture) -> Result<Picture> {
        let normed = self.norm.forward(&picture.x)?;
        Ok(picture.with(join(&picture.x, self.heads.forward(&normed, &normed)?, None)?))
    }
}
