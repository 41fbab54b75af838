//! A decoder as data.

use serde::Serialize;

use crate::nn::alibi::AlibiConfig;
use crate::nn::layer::LayerConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::rope::RopeConfig;
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;

/// A whole decoder, except its weights. Families make it from config.json or from GGUF metadata;
/// the decoder that runs it does not know the families.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DecoderConfig {
    /// Ids are below this.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// The most tokens that a context may hold.
    pub max_positions: usize,
    /// Beyond this length, the cache is computed again from the first token, so that the result
    /// equals a single forward pass: Phi-3, whose rope changes there. Other models keep their
    /// cached keys.
    pub recomputed_beyond: Option<usize>,
    /// Multiplies embeddings: `sqrt(hidden_size)` in Gemma, `embedding_multiplier` in Granite.
    pub embedding_scale: Option<f64>,
    /// One entry per layer: patterns such as "every sixth" are spelled out by the family.
    pub layers: Vec<LayerConfig>,
    /// Vectors that are added to the embeddings by position: GPT-2.
    pub positions: AbsolutePositions,
    /// After the embeddings with their positions: BART.
    pub embedding_norm: Option<NormConfig>,
    /// The distinct ways in which layers rotate queries and keys.
    pub ropes: Vec<RopeConfig>,
    /// The distinct ALiBi biases of the layers.
    pub alibis: Vec<AlibiConfig>,
    /// The distinct spans that layers attend to.
    pub spans: Vec<AttentionSpan>,
    /// Before the output head; `None` where the last layer norms its result, as BART's does.
    pub final_norm: Option<NormConfig>,
    /// Whose weights the output head uses.
    pub head: HeadWeights,
    /// Whether the output head has a bias: Phi-2's has, and BART's (`final_logits_bias`).
    pub head_bias: Bias,
    /// Multiplies logits: the inverse of `logits_scaling` in Granite, `logit_scale` in Command-R,
    /// `hidden_size^-1/2` in T5 whose head is tied.
    pub logit_scale: Option<f64>,
    /// Soft cap of the logits, `cap * tanh(logit / cap)`: Gemma 2.
    pub logit_cap: Option<f64>,
}

impl DecoderConfig {
    /// How many logits there are.
    pub(crate) fn logits(&self) -> usize {
        match self.head {
            HeadWeights::OwnOf { logits } => logits,
            HeadWeights::Own | HeadWeights::TiedToEmbedding => self.vocab_size,
        }
    }

    /// Whether tokens also attend to later tokens (bidirectional), so that a text cannot be
    /// continued.
    pub(crate) fn looks_ahead(&self) -> bool {
        self.spans.iter().any(|span| span.looks_ahead())
    }

    /// Whether layers also attend to a source.
    pub(crate) fn has_source(&self) -> bool {
        self.layers.iter().any(|layer| layer.cross.is_some())
    }
}

/// Whose weights the output head uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum HeadWeights {
    /// A matrix of its own.
    Own,
    /// A matrix of its own, with another number of logits than there are words: Bark's semantic model.
    OwnOf {
        /// Their number.
        logits: usize,
    },
    /// The embedding's.
    TiedToEmbedding,
}
