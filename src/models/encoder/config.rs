//! An encoder as data.

use crate::nn::activation::Activation;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::rope::RopeConfig;
use crate::weights::Bias;

/// Everything an encoder is, but for its weights. Families make it from config.json or from GGUF
/// metadata; the encoder that runs it has never heard of them.
#[derive(Debug, Clone, PartialEq)]
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
    /// The distinct ways in which layers rotate queries and keys.
    pub ropes: Vec<RopeConfig>,
    /// What the distances between tokens add to attention scores.
    pub relative: RelativePositions,
    /// A convolution beside the first layer.
    pub convolution: Option<ConvolutionConfig>,
    /// After the last layer: ModernBERT.
    pub final_norm: Option<NormConfig>,
    /// What may be put on top.
    pub heads: HeadsConfig,
}

/// From ids to the first layer's input.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingsConfig {
    /// Width of the tables.
    pub size: usize,
    /// The table of absolute positions.
    pub positions: Positions,
    /// Rows of the table of token types; 0 where there is none.
    pub token_types: usize,
    /// Whether the sum is projected to the hidden size.
    pub projection: Projection,
    /// Of the sum, or of its projection.
    pub norm: NormConfig,
}

/// Whether the sum of the embeddings is projected to the hidden size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Projection {
    /// After the norm: ELECTRA, ALBERT.
    AfterNorm,
    /// Before the norm: DeBERTa.
    BeforeNorm,
    /// No: the tables are as wide as the model.
    None,
}

/// How tokens are numbered in the table of absolute positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Positions {
    /// From `padding_id + 1` on, and `padding_id` for a token of that id: RoBERTa and what
    /// descends from it, MPNet.
    AfterPadding {
        /// The id of the padding token.
        padding_id: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// From 0 on: BERT, DistilBERT, ELECTRA, ALBERT.
    FromZero {
        /// Rows of the table.
        rows: usize,
    },
    /// There is no such table: ModernBERT, NomicBERT, DeBERTa v3.
    None,
}

/// One attention half and one feed-forward half.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerConfig {
    /// Where its weights are, below `layers`: layers of one scope share them, as ALBERT's do.
    pub scope: String,
    /// Where norms sit.
    pub norms: NormPlace,
    /// Every norm of the layer.
    pub norm: NormConfig,
    /// The attention half.
    pub attention: AttentionConfig,
    /// The feed-forward half.
    pub mlp: MlpConfig,
}

/// Where the norms of a layer sit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NormPlace {
    /// Each half's input is normed: ModernBERT.
    Before,
    /// As [`Before`](Self::Before), but for the attention's: ModernBERT's first layer, whose input
    /// the embeddings have normed.
    BeforeMlpOnly,
    /// The sum of each half's input and result is normed: BERT and most others.
    After,
}

/// The shape of a layer's attention, which looks both ways.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionConfig {
    /// Heads.
    pub heads: usize,
    /// Channels per head.
    pub head_dim: usize,
    /// Multiplies the products of queries and keys.
    pub scale: f64,
    /// How queries and keys are rotated: a number into [`EncoderConfig::ropes`].
    pub rope: Option<usize>,
    /// The greatest distance between tokens that attend to each other: every layer but each third
    /// of ModernBERT.
    pub window: Option<usize>,
    /// Whether the query, key and value projections have biases.
    pub qkv_bias: Bias,
    /// Whether the output projection has a bias.
    pub output_bias: Bias,
}

/// What the distances between tokens add to attention scores.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RelativePositions {
    /// A number for each head and bucket of distances, the same in all layers: MPNet.
    Buckets {
        /// How many.
        buckets: usize,
        /// Distances from here on share the last bucket.
        max_distance: usize,
    },
    /// Products of queries and keys with vectors for distances: DeBERTa.
    Disentangled(DisentangledConfig),
    /// Nothing: most families.
    None,
    /// Products of queries, and perhaps keys, with vectors for distances that each layer has of its
    /// own, the same for all heads: BERT and its kin with `position_embedding_type` `relative_key` or
    /// `relative_key_query`, <https://arxiv.org/abs/1803.02155> and <https://arxiv.org/abs/2009.13658>.
    OfLayers(LayerDistancesConfig),
}

/// A layer's vectors for distances.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerDistancesConfig {
    /// The most tokens of a row; there are vectors for one less on either side.
    pub positions: usize,
    /// Whether keys are multiplied with the vectors too.
    pub keys: bool,
    /// Multiplies the products: as scores are scaled, but 1 in ALBERT.
    pub scale: f64,
}

/// DeBERTa's attention to distances, <https://arxiv.org/abs/2006.03654>.
#[derive(Debug, Clone, PartialEq)]
pub struct DisentangledConfig {
    /// Distances on each side that have vectors of their own: half the rows of the table.
    pub span: usize,
    /// `position_buckets`: how many on each side where far distances share one.
    pub buckets: Option<usize>,
    /// Distances from here on share the last bucket.
    pub max_distance: usize,
    /// Queries with the vectors of distances.
    pub content_to_position: bool,
    /// Keys with the vectors of distances.
    pub position_to_content: bool,
    /// Distances are projected by the content's own query and key matrices.
    pub share_projections: bool,
    /// Of the table.
    pub norm: Option<NormConfig>,
}

/// A convolution over the embeddings, added to the first layer's result: DeBERTa v2 XL and XXL.
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, PartialEq)]
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

/// What a sequence classifier looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadPooling {
    /// The first token's vector: most families.
    First,
    /// The mean of all: ModernBERT, where its config says so.
    Mean,
}

/// A linear layer, an activation and perhaps a norm.
#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskedOutput {
    /// A matrix of its own.
    Own,
    /// The embedding's.
    TiedToEmbedding,
}
