//! The feed-forward half of a layer.

use std::ops::Range;

use candle_core::Tensor;
use serde::Serialize;

use crate::error::Result;
use crate::nn::activation::Activation;
use crate::nn::dense::Dense;
use crate::nn::experts::{Experts, ExpertsConfig};
use crate::weights::{Bias, Weights};

/// The shape of a layer's feed-forward half.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub enum MlpConfig {
    /// Some of many: Mixtral, Qwen2-MoE, Qwen3-MoE, NLLB-MoE.
    Experts(ExpertsConfig),
    /// `down(act(gate(x)) * up(x))`: Llama and its descendants.
    Gated {
        /// Width between the projections, `intermediate_size`.
        hidden: usize,
        /// Applied to the gate.
        activation: Activation,
        /// Whether the three projections have biases.
        bias: Bias,
    },
    /// `down(act(up(x)))`: Falcon, StarCoder2, GPT-2.
    Plain {
        /// Width between the projections.
        hidden: usize,
        /// Applied between them.
        activation: Activation,
        /// Whether the two projections have biases.
        bias: Bias,
    },
}

/// The feed-forward half of a layer.
#[derive(Debug, Clone)]
pub(crate) enum Mlp {
    Dense(Dense),
    Experts(Experts),
}

impl Mlp {
    /// Reads `gate`, `up` and `down`, or what [`Experts::load`] does, from the scope.
    pub(crate) fn load(weights: &Weights, size: usize, config: &MlpConfig) -> Result<Self> {
        Ok(match *config {
            MlpConfig::Experts(ref config) => Self::Experts(Experts::load(weights, size, config)?),
            MlpConfig::Gated { hidden, activation, bias } => {
                Self::Dense(Dense::gated(weights, size, hidden, activation, bias)?)
            }
            MlpConfig::Plain { hidden, activation, bias } => {
                Self::Dense(Dense::plain(weights, size, hidden, activation, bias)?)
            }
        })
    }

    /// `x: (.., tokens, hidden)`, the same shape back.
    #[cfg(any(feature = "audio", feature = "image"))]
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let tokens = x.elem_count() / x.dim(candle_core::D::Minus1)?.max(1);
        self.forward_rows(x, std::slice::from_ref(&(0..tokens)))
    }

    /// `x: (.., tokens, hidden)` of packed rows, the same shape back: which experts a token gets may depend on the other tokens of its row.
    pub(crate) fn forward_rows(&self, x: &Tensor, rows: &[Range<usize>]) -> Result<Tensor> {
        match self {
            Self::Dense(dense) => dense.forward(x),
            Self::Experts(experts) => experts.forward(x, rows),
        }
    }
}
