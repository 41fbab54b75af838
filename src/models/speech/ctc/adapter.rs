//! What shortens the frames after all layers.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::models::speech::ctc::config::{AdapterBlockConfig, AdapterConfig};
use crate::models::speech::ctc::layer::gated;
use crate::nn::attention::Attention;
use crate::nn::convolution::Convolution;
use crate::nn::mlp::Mlp;
use crate::nn::norm::{Norm, normed};
use crate::nn::packed::Tokens;
use crate::nn::span::AttentionSpan;
use crate::nn::{Shared, Step};
use crate::weights::{Bias, Linear, Weights};

/// What shortens the frames after all layers: `add_adapter` of the config.
#[derive(Debug)]
pub(super) struct Adapter {
    projection: Option<(Linear, Norm)>,
    layers: Vec<AdapterLayer>,
    device: Device,
}

#[derive(Debug)]
struct AdapterLayer {
    convolution: Convolution,
    block: Option<Block>,
}

/// Attention, of frames that a second convolution has shortened, and a feed-forward half.
#[derive(Debug)]
struct Block {
    residual_norm: Norm,
    attention_norm: Norm,
    convolution: Convolution,
    attention: Attention,
    mlp_norm: Norm,
    mlp: Mlp,
}

impl Adapter {
    /// Reads `projection`, `norm` and `layers.*` from the scope.
    pub(super) fn load(weights: &Weights, hidden: usize, config: &AdapterConfig) -> Result<Self> {
        let size = config.size;
        let projection = match config.projection_norm {
            Some(norm) => Some((
                weights.linear("projection", hidden, size, Bias::Present)?,
                Norm::load(weights, "norm", size, norm)?,
            )),
            None => None,
        };
        let layer = |number| {
            let weights = weights.scope("layers").scope(number);
            Ok(AdapterLayer {
                convolution: Convolution::load(&weights, "conv", config.convolution)?,
                block: match &config.block {
                    Some(block) => Some(Block::load(&weights, size, config, block)?),
                    None => None,
                },
            })
        };
        let layers = (0..config.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self { projection, layers, device: weights.device().clone() })
    }

    /// Hidden states of one row, `(frames, hidden)`, to `(fewer frames, size)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = match &self.projection {
            Some((linear, norm)) => normed(Some(norm), linear.forward(x)?)?,
            None => x.clone(),
        };
        for AdapterLayer { convolution, block } in &self.layers {
            x = match block {
                None => gated(&convolution.forward(&x)?)?,
                Some(block) => {
                    let residual = block.residual_norm.forward(&x)?;
                    let residual = gated(&convolution.forward(&residual)?)?;
                    block.forward(&x, residual, &self.device)?
                }
            };
        }
        Ok(x)
    }
}

impl Block {
    fn load(
        weights: &Weights,
        size: usize,
        adapter: &AdapterConfig,
        config: &AdapterBlockConfig,
    ) -> Result<Self> {
        let norm = |name: &str| Norm::load(weights, name, size, config.norm);
        Ok(Self {
            residual_norm: norm("residual_norm")?,
            attention_norm: norm("attn_norm")?,
            convolution: Convolution::load(weights, "attn_conv", adapter.convolution)?,
            attention: Attention::load(&weights.scope("attn"), size, &config.attention)?,
            mlp_norm: norm("mlp_norm")?,
            mlp: Mlp::load(&weights.scope("mlp"), size, &config.mlp)?,
        })
    }

    fn forward(&self, x: &Tensor, residual: Tensor, device: &Device) -> Result<Tensor> {
        let x = gated(&self.convolution.forward(&self.attention_norm.forward(x)?)?)?;
        let tokens = Tokens::of_lengths([x.dim(0)?]);
        let spans = [AttentionSpan::Bidirectional { window: None }];
        let shared = Shared { ropes: &[], spans: &spans, alibis: &[], relative: None };
        let step = Step::uncached(&tokens, shared, device)?;
        let x = (self.attention.forward_uncached(&x, &step)? + residual)?;
        Ok((&x + self.mlp.forward(&self.mlp_norm.forward(&x)?)?)?)
    }
}
