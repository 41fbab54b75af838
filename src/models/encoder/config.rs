//! An encoder as data.

use serde::Serialize;

use crate::nn::activation::Activation;
use crate::nn::layer::LayerConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::rope::RopeConfig;
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;

/// A whole encoder, except its weights. Families make it from config.json or from GGUF metadata;
/// the encoder that runs it does not know the families.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EncoderConfig {
    /// Ids are below this.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// The most tokens that a row may hold.
    pub max_positions: usize,
    /// From ids to the first layer's input.
    pub embeddings: EmbeddingsConfig,
    /// One entry per layer.
    pub layers: Vec<LayerConfig>,
    /// For each layer the name of its weights, below `layers`: layers of one name share them, as
    /// ALBERT's do.
    pub layer_names: Vec<String>,
    /// The distinct ways in which layers rotate queries and keys.
    pub ropes: Vec<RopeConfig>,
    /// The distinct spans that layers attend to.
    pub spans: Vec<AttentionSpan>,
    /// A convolution beside the first layer.
    pub convolution: Option<ConvolutionConfig>,
    /// After the last layer: ModernBERT, T5.
    pub final_norm: Option<NormConfig>,
    /// What may be put on top.
    pub heads: HeadsConfig,
}

impl EncoderConfig {
    /// Words, the table of positions if there is one, and layers of one span; nothing is put on top.
    pub(crate) fn plain(
        [vocab_size, hidden_size, max_positions]: [usize; 3],
        positions: AbsolutePositions,
        layers: Vec<LayerConfig>,
        span: AttentionSpan,
        final_norm: Option<NormConfig>,
    ) -> Self {
        Self {
            vocab_size,
            hidden_size,
            max_positions,
            embeddings: EmbeddingsConfig {
                size: hidden_size,
                positions,
                scale: None,
                token_types: 0,
                projection: Projection::None,
                norm: None,
            },
            layer_names: (0..layers.len()).map(|number| number.to_string()).collect(),
            layers,
            ropes: Vec::new(),
            spans: vec![span],
            convolution: None,
            final_norm,
            heads: HeadsConfig::none(hidden_size),
        }
    }
}

/// From ids to the first layer's input.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EmbeddingsConfig {
    /// Width of the tables.
    pub size: usize,
    /// The table of absolute positions.
    pub positions: AbsolutePositions,
    /// Multiplies the vectors of words: `hidden_size^1/2` in Marian.
    pub scale: Option<f64>,
    /// Rows of the table of token types; 0 where there is none.
    pub token_types: usize,
    /// Whether the sum is projected to the hidden size.
    pub projection: Projection,
    /// Of the sum, or of its projection; none in T5.
    pub norm: Option<NormConfig>,
}

/// Whether the sum of the embeddings is projected to the hidden size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum Projection {
    /// After the norm: ELECTRA, ALBERT.
    AfterNorm,
    /// Before the norm: DeBERTa.
    BeforeNorm,
    /// No: the tables are as wide as the model.
    None,
}

/// A convolution over the embeddings, added to the first layer's result: DeBERTa v2 XL and XXL.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConvolutionConfig {
    /// Tokens that each result depends on; odd.
    pub kernel: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Of the result.
    pub activation: Activation,
    /// Of the sum.
    pub norm: NormConfig,
}

/// What may be put on top, as the family defines it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HeadsConfig {
    /// What a sequence classifier looks at.
    pub pooling: HeadPooling,
    /// Between the pooled vector and the sequence classifier's logits.
    pub sequence: TransformConfig,
    /// Between hidden vectors and the logits of tokens and spans: ModernBERT.
    pub token: Option<TransformConfig>,
    /// Between hidden vectors and the masked language model's logits.
    pub masked: TransformConfig,
    /// Whose weights the masked language model's logits use.
    pub masked_output: MaskedOutput,
    /// Whether a bias is added to them: as stored in NomicBERT, as the config says in ModernBERT, else
    /// always.
    pub masked_bias: Bias,
}

impl HeadsConfig {
    /// Of a model that nothing is put on top of.
    fn none(hidden_size: usize) -> Self {
        let transform = TransformConfig {
            size: hidden_size,
            activation: Activation::Linear,
            norm: None,
            bias: Bias::Absent,
        };
        Self {
            pooling: HeadPooling::First,
            sequence: transform.clone(),
            token: None,
            masked: transform,
            masked_output: MaskedOutput::Own,
            masked_bias: Bias::Absent,
        }
    }
}

/// What a sequence classifier looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum HeadPooling {
    /// The first token's vector: most families.
    First,
    /// The mean of all: ModernBERT, where its config says so.
    Mean,
}

/// A linear layer, an activation and perhaps a norm.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TransformConfig {
    /// Width of the result.
    pub size: usize,
    /// After the linear layer.
    pub activation: Activation,
    /// After the activation.
    pub norm: Option<NormConfig>,
    /// Whether the linear layer has a bias.
    pub bias: Bias,
}

/// Whose weights the masked language model's logits use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum MaskedOutput {
    /// A matrix of its own.
    Own,
    /// The embedding's.
    TiedToEmbedding,
}
