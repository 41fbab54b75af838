//! An encoder of pictures as data.

use crate::nn::activation::Activation;
use crate::nn::layer::LayerConfig;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::weights::Bias;

/// A whole encoder of pictures, except its weights. Families make it from config.json; the encoder that runs it does not
/// know the families.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VisionConfig {
    /// The edge of the square pictures that the table of positions is for.
    pub image_size: usize,
    /// The edge of a square patch; each patch becomes a token. What is left at the right and at the bottom is not seen.
    pub patch_size: usize,
    /// Whether the projection of patches has a bias.
    pub patch_bias: Bias,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// The tokens before those of the patches.
    pub leading: Leading,
    /// What is done where pictures have another size than `image_size`.
    pub other_sizes: OtherSizes,
    /// Of patches with their positions: CLIP.
    pub embedding_norm: Option<NormConfig>,
    /// One entry per layer.
    pub layers: Vec<LayerConfig>,
    /// After the last layer; none in CLIP.
    pub final_norm: Option<NormConfig>,
    /// From the tokens to one vector.
    pub pooling: ImagePooling,
    /// What a classifier looks at.
    pub classified: Classified,
}

/// The tokens before those of the patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leading {
    /// The tokens that have positions: 1 for the class, 2 with DeiT's distillation token, 0 in SigLIP.
    pub placed: usize,
    /// Those behind them that have none: registers. <https://arxiv.org/abs/2309.16588>
    pub registers: usize,
}

/// What is done where pictures have another size than the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherSizes {
    /// They are refused: ViT, CLIP.
    Refused,
    /// Positions are interpolated: DINOv2.
    Bicubic,
    /// The same, without aliases where there are fewer patches than positions: DINOv2 with registers.
    BicubicAntialiased,
}

/// From the tokens to one vector.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ImagePooling {
    /// The first token: DINOv2.
    First,
    /// The first token, normed: CLIP.
    FirstNormed(NormConfig),
    /// The first token through a layer and an activation, where the checkpoint has the layer: ViT, DeiT.
    Dense {
        /// Width of the result.
        size: usize,
        /// Of the result.
        activation: Activation,
    },
    /// A learned query attends to all tokens; then comes an MLP: SigLIP.
    Attention {
        /// Attention heads.
        heads: usize,
        /// Before the MLP.
        norm: NormConfig,
        /// Its result is added to what the query has found.
        mlp: MlpConfig,
    },
    /// There is none.
    None,
}

/// What a classifier looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Classified {
    /// The first token: ViT.
    First,
    /// The first token, and the second by a classifier of its own, whose logits are averaged: DeiT with a teacher.
    FirstAndSecond,
    /// The first token and the mean of the patches, one after the other: DINOv2.
    FirstAndMean,
    /// The mean of the patches: CLIP, SigLIP.
    Mean,
}

impl Leading {
    /// So many tokens with positions, and registers.
    #[must_use]
    pub const fn new(placed: usize, registers: usize) -> Self {
        Self { placed, registers }
    }

    /// All of them.
    #[must_use]
    pub const fn count(self) -> usize {
        self.placed + self.registers
    }
}

impl VisionConfig {
    /// Patches along each edge of the model's own pictures.
    #[must_use]
    pub const fn grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Values of a patch.
    pub(super) const fn patch_values(&self) -> usize {
        3 * self.patch_size * self.patch_size
    }
}
