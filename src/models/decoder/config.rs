//! A decoder as data.

use serde::Serialize;

use crate::nn::alibi::AlibiConfig;
use crate::nn::attention::{AttentionConfig, AttentionSpan};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::rope::RopeConfig;
use crate::weights::Bias;

/// Everything a decoder is, but for its weights. Families make it from config.json or from GGUF
/// metadata; the decoder that runs it has never heard of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecoderConfig {
    /// Ids are below this.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// The most tokens that a context may hold.
    pub max_positions: usize,
    /// A conversation that grows beyond so many tokens is computed again from its first one, so that it
    /// gives what it gives at once: Phi-3, whose rope changes there. Others keep the keys they have.
    pub recomputed_beyond: Option<usize>,
    /// Multiplies embeddings: `sqrt(hidden_size)` in Gemma, `embedding_multiplier` in Granite.
    pub embedding_scale: Option<f64>,
    /// One entry per layer: patterns such as "every sixth" are spelled out by the family.
    pub layers: Vec<LayerConfig>,
    /// Vectors that are added to the embeddings by position, one for each of so many: GPT-2.
    pub learned_positions: Option<usize>,
    /// The distinct ways in which layers rotate queries and keys.
    pub ropes: Vec<RopeConfig>,
    /// The distinct biases by which layers tell positions.
    pub alibis: Vec<AlibiConfig>,
    /// The distinct spans that layers attend to.
    pub spans: Vec<AttentionSpan>,
    /// Before the output head.
    pub final_norm: NormConfig,
    /// Whose weights the output head uses.
    pub head: HeadWeights,
    /// Whether the output head has a bias: Phi-2's has.
    pub head_bias: Bias,
    /// Multiplies logits: the inverse of `logits_scaling` in Granite.
    pub logit_scale: Option<f64>,
    /// Keeps logits between this and its negative, `cap * tanh(logit / cap)`: Gemma 2.
    pub logit_cap: Option<f64>,
}

impl DecoderConfig {
    /// Whether tokens attend to those after them, so that a text cannot be continued.
    pub(crate) fn looks_ahead(&self) -> bool {
        self.spans.iter().any(|span| span.looks_ahead())
    }
}

/// One attention half and one feed-forward half.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerConfig {
    /// Where norms sit and how the halves join.
    pub residual: Residual,
    /// Multiplies each half before it is added: `residual_multiplier` in Granite.
    pub residual_scale: Option<f64>,
    /// Every norm of the layer.
    pub norm: NormConfig,
    /// The attention half.
    pub attention: AttentionConfig,
    /// The feed-forward half.
    pub mlp: MlpConfig,
}

/// Where norms sit and how the two halves of a layer join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Residual {
    /// Both halves take the same input, normed by the attention's norm: Falcon 7B, Phi-2.
    Parallel,
    /// Both halves take the same input, normed by a norm of each: Falcon 40B, GPT-NeoX.
    ParallelNorms,
    /// Each half's result is normed before it is added: OLMo 2.
    PostNorm,
    /// Each half's input is normed: Llama, Mistral, Qwen, Phi-3, Gemma, StarCoder2.
    PreNorm,
    /// Both: Gemma 2, Gemma 3.
    Sandwich,
}

/// Whose weights the output head uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum HeadWeights {
    /// A matrix of its own.
    Own,
    /// The embedding's.
    TiedToEmbedding,
}
