//! The text encoder of SpeechT5.

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::models::speech::synthesis::speecht5::attention::Attention;
use crate::models::speech::synthesis::speecht5::config::SpeechT5Config;
use crate::models::speech::synthesis::speecht5::positions::ScaledPositions;
use crate::nn::activation::Activation;
use crate::nn::norm::{Norm, NormConfig};
use crate::weights::{Bias, Embedding, Linear, Weights};

#[derive(Debug)]
pub(super) struct TextEncoder {
    embedding: Embedding,
    positions: ScaledPositions,
    norm: Norm,
    layers: Vec<EncoderLayer>,
    /// A vector for each distance: `(2 most, head_dim)`.
    distances: Tensor,
    most: usize,
    limit: usize,
}

#[derive(Debug)]
struct EncoderLayer {
    attention: Attention,
    attention_norm: Norm,
    mlp: FeedForward,
    norm: Norm,
}

/// Two linear layers.
#[derive(Debug)]
pub(super) struct FeedForward {
    up: Linear,
    activation: Activation,
    down: Linear,
}

impl FeedForward {
    pub(super) fn load(weights: &Weights, config: &SpeechT5Config, inner: usize) -> Result<Self> {
        let hidden = config.hidden_size;
        Ok(Self {
            up: weights.linear("intermediate_dense", hidden, inner, Bias::Present)?,
            activation: config.hidden_act,
            down: weights.linear("output_dense", inner, hidden, Bias::Present)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&self.activation.forward(&self.up.forward(x)?)?)
    }
}

impl TextEncoder {
    pub(super) fn load(weights: &Weights, config: &SpeechT5Config) -> Result<Self> {
        let (hidden, heads) = (config.hidden_size, config.encoder_attention_heads);
        let most = config.encoder_max_relative_position;
        let wrapped = weights.scope("wrapped_encoder");
        let eps = NormConfig::Layer { eps: config.layer_norm_eps };
        let layer = |number: usize| -> Result<EncoderLayer> {
            let weights = wrapped.scope("layers").scope(number);
            Ok(EncoderLayer {
                attention: Attention::load(&weights.scope("attention"), hidden, heads)?,
                attention_norm: Norm::load(&weights, "layer_norm", hidden, eps)?,
                mlp: FeedForward::load(
                    &weights.scope("feed_forward"),
                    config,
                    config.encoder_ffn_dim,
                )?,
                norm: Norm::load(&weights, "final_layer_norm", hidden, eps)?,
            })
        };
        let distances =
            wrapped.tensor("embed_positions.pe_k.weight", &[2 * most, hidden / heads])?;
        let prenet = weights.scope("prenet");
        Ok(Self {
            embedding: prenet.embedding("embed_tokens", config.vocab_size, hidden)?,
            positions: ScaledPositions::load(&prenet, hidden)?,
            norm: Norm::load(&wrapped, "layer_norm", hidden, eps)?,
            layers: (0..config.encoder_layers).map(layer).collect::<Result<_>>()?,
            distances: distances.to_dtype(candle_core::DType::F32)?,
            most,
            limit: config.max_text_positions,
        })
    }

    /// `(ids, hidden)`.
    pub(super) fn forward(&self, ids: &[u32], device: &Device) -> Result<Tensor> {
        let (count, limit) = (ids.len(), self.limit);
        if count > limit {
            let reason = format!(
                "{count} characters where the model reads {limit}: cut the text into sentences (`pause`)"
            );
            return Err(Error::input(reason));
        }
        let x = self.embedding.forward(&Tensor::new(ids, device)?)?;
        let x = (&x + self.positions.rows(0..count, &x)?)?;
        let mut x = self.norm.forward(&x)?;
        let last = self.most.saturating_mul(2) - 1;
        let number = |at: usize| {
            // The distance `at + 1 - count`, kept within what there is, counted from the farthest.
            let number = (at + 1 + self.most).saturating_sub(count).min(last);
            u32::try_from(number).unwrap_or(u32::MAX)
        };
        let numbers: Vec<u32> = (0..2 * count - 1).map(number).collect();
        let distances = self.distances.index_select(&Tensor::new(numbers, device)?, 0)?;
        for layer in &self.layers {
            let source = layer.attention.key_values(&x)?;
            let attended = layer.attention.forward(&x, &source, Some(&distances))?;
            let y = layer.attention_norm.forward(&(x + attended)?)?;
            x = layer.norm.forward(&(&y + layer.mlp.forward(&y)?)?)?;
        }
        Ok(x)
    }
}
