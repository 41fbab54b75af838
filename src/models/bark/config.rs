//! Bark's three GPTs as data.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::raw_config::RawConfig;
use crate::nn::activation::Activation;
use crate::nn::attention::AttentionConfig;
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;

/// Bark's model of fine acoustics as data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BarkFineConfig {
    /// The layers, which see past and future.
    pub layers: DecoderConfig,
    /// How many codebooks there are.
    pub codebooks: usize,
    /// How many of the first codebooks it cannot predict.
    pub given: usize,
}

/// What a token of a part sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sees {
    Past,
    All,
}

/// Reads a section of a config.json: `BarkSubModelConfig` of the reference, with its defaults. GPT-2, except that
/// GELU is exact, that the head is a matrix of its own, and that there may be no biases.
pub(super) fn part(raw: &RawConfig, sees: Sees) -> Result<DecoderConfig> {
    let size = |names: [&str; 2], default: usize| -> Result<usize> {
        Ok(match raw.optional_size(names[0])? {
            Some(size) => size,
            None => raw.optional_size(names[1])?.unwrap_or(default),
        })
    };
    let hidden_size = size(["hidden_size"; 2], 768)?;
    let heads = size(["num_heads", "num_attention_heads"], 12)?;
    if !hidden_size.is_multiple_of(heads) {
        return Err(raw.refuse("num_heads", format!("it should divide {hidden_size}, the width")));
    }
    let head_dim = hidden_size / heads;
    let has_bias = raw.flag("bias", true)?;
    let bias = Bias::from(has_bias);
    let norm = match has_bias || sees == Sees::All {
        true => NormConfig::Layer { eps: 1e-5 },
        false => NormConfig::LayerWithoutBias { eps: 1e-5 },
    };
    let layer = LayerConfig {
        norms: NormPlace::Before,
        norm,
        residual_scale: None,
        attention: AttentionConfig::plain(heads, head_dim, bias),
        cross: None,
        mlp: MlpConfig::Plain { hidden: 4 * hidden_size, activation: Activation::Gelu, bias },
    };
    let named =
        if raw.optional_size("num_layers")?.is_some() { "num_layers" } else { "num_hidden_layers" };
    let layers = raw.layers_of(named)?.unwrap_or(12);
    let max_positions = size(["block_size", "window_size"], 1024)?;
    Ok(DecoderConfig {
        vocab_size: size(["input_vocab_size", "vocab_size"], 10_048)?,
        hidden_size,
        max_positions,
        recomputed_beyond: None,
        embedding_scale: None,
        layers: vec![layer; layers],
        positions: AbsolutePositions::Learned { offset: 0, rows: max_positions },
        embedding_norm: None,
        ropes: Vec::new(),
        alibis: Vec::new(),
        spans: vec![match sees {
            Sees::Past => AttentionSpan::Causal { window: None },
            Sees::All => AttentionSpan::Bidirectional { window: None },
        }],
        final_norm: Some(norm),
        head: HeadWeights::OwnOf { logits: size(["output_vocab_size"; 2], 10_048)? },
        head_bias: Bias::Absent,
        logit_scale: None,
        logit_cap: None,
    })
}

/// Reads the section `fine_acoustics_config`.
pub(super) fn fine(raw: &RawConfig) -> Result<BarkFineConfig> {
    let layers = part(raw, Sees::All)?;
    let codebooks = raw.optional_size("n_codes_total")?.unwrap_or(8);
    let given = raw.optional_size("n_codes_given")?.unwrap_or(1);
    if given >= codebooks || codebooks > 64 {
        return Err(raw.refuse("n_codes_total", "it should be 8, of which 1 is given"));
    }
    Ok(BarkFineConfig { layers, codebooks, given })
}
