//! The text encoder: what is heard in each phoneme.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::models::speech::synthesis::kokoro::adaptive::SLOPE;
use crate::models::speech::synthesis::kokoro::config::KokoroConfig;
use crate::nn::activation::leaky_relu;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::lstm::{Lstm, LstmConfig};
use crate::nn::norm::Norm;
use crate::nn::weight_norm;
use crate::weights::{Bias, Embedding, Weights};

#[derive(Debug)]
pub(super) struct PhonemeEncoder {
    embedding: Embedding,
    layers: Vec<(Convolution, Norm)>,
    lstm: Lstm,
}

/// Both ways over frames, so that as many channels come out as one way would give twice.
pub(super) fn both_ways(inputs: usize, outs: usize) -> LstmConfig {
    LstmConfig { inputs, hidden: outs / 2, layers: 1, is_bidirectional: true }
}

impl PhonemeEncoder {
    pub(super) fn load(weights: &Weights, config: &KokoroConfig) -> Result<Self> {
        let (channels, kernel) = (config.hidden_dim, config.text_encoder_kernel_size);
        let layer = |number: usize| {
            let scope = weights.scope("cnn").scope(number);
            let config =
                ConvolutionConfig::new([channels; 2], kernel, Bias::Present).padding(kernel / 2);
            let tensor = |name: &str| scope.tensor(name, &[channels]);
            let norm = Norm::layer_of(tensor("1.gamma")?, tensor("1.beta")?, EPS);
            Ok((weight_norm::convolution(&scope, "0", config)?, norm))
        };
        Ok(Self {
            embedding: weights.embedding("embedding", config.n_token, channels)?,
            layers: (0..config.n_layer).map(layer).collect::<Result<_>>()?,
            lstm: Lstm::load(weights, "lstm", both_ways(channels, channels))?,
        })
    }

    /// `(ids, hidden)`.
    pub(super) fn forward(&self, ids: &[u32], device: &Device) -> Result<Tensor> {
        let mut x = self.embedding.forward(&Tensor::new(ids, device)?)?;
        for (convolution, norm) in &self.layers {
            x = leaky_relu(&norm.forward(&convolution.forward(&x)?)?, SLOPE)?;
        }
        self.lstm.forward(&x)
    }
}

/// Of variances.
const EPS: f64 = 1e-5;
