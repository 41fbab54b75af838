//! BERT (<https://arxiv.org/abs/1810.04805>), and what was distilled or trained on from it: MiniLM,
//! BGE, E5, GTE. The families beside it are written as "BERT, except …".
//!
//! Config: `configuration_bert.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::encoder::config::{
    EmbeddingsConfig, EncoderConfig, HeadPooling, HeadsConfig, MaskedOutput, Projection,
    TransformConfig,
};
use crate::models::encoder::families::Family;
use crate::models::raw_config::RawConfig;
use crate::nn::activation::Activation;
use crate::nn::attention::{AttentionConfig, Positions};
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::relative::{LayerDistancesConfig, RelativePositions};
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;

pub(super) const FAMILY: Family = Family {
    model_types: &["bert"],
    gguf_architectures: &["bert"],
    prefixes: &["bert"],
    config: |raw| {
        looks_both_ways(raw)?;
        let mut config = config(raw)?;
        positions(raw, &mut config)?;
        Ok(config)
    },
    safetensors: &[],
    gguf: &[],
};

/// Every layer alike, tables of positions and of two token types, biases everywhere.
pub(super) fn config(raw: &RawConfig) -> Result<EncoderConfig> {
    raw.refuse_pruned_heads()?;
    let hidden_size = raw.optional_size("hidden_size")?.unwrap_or(768);
    let positions = raw.optional_size("max_position_embeddings")?.unwrap_or(512);
    let norm = NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", 1e-12)? };
    let activation = raw.activation("hidden_act", "gelu")?;
    let heads = raw.optional_size("num_attention_heads")?.unwrap_or(12);
    if !hidden_size.is_multiple_of(heads) {
        let reason = format!("it should divide `hidden_size`, which is {hidden_size}");
        return Err(raw.refuse("num_attention_heads", reason));
    }
    let head_dim = hidden_size / heads;
    let inner = raw.optional_size("intermediate_size")?.unwrap_or(3072);
    let layer = LayerConfig {
        norms: NormPlace::AfterSum,
        norm,
        residual_scale: None,
        attention: AttentionConfig::plain(heads, head_dim, Bias::Present),
        cross: None,
        mlp: MlpConfig::Plain { hidden: inner, activation, bias: Bias::Present },
    };
    let layers = raw.layers()?.unwrap_or(12);
    Ok(EncoderConfig {
        vocab_size: raw.optional_size("vocab_size")?.unwrap_or(30522),
        hidden_size,
        max_positions: positions,
        embeddings: EmbeddingsConfig {
            size: hidden_size,
            positions: AbsolutePositions::Learned { offset: 0, rows: positions },
            scale: None,
            token_types: raw.optional_size("type_vocab_size")?.unwrap_or(2),
            projection: Projection::None,
            norm: Some(norm),
        },
        layers: vec![layer; layers],
        layer_names: (0..layers).map(|number| number.to_string()).collect(),
        ropes: Vec::new(),
        spans: vec![AttentionSpan::Bidirectional { window: None }],
        convolution: None,
        final_norm: None,
        heads: HeadsConfig {
            pooling: HeadPooling::First,
            sequence: transform(hidden_size, Activation::Tanh, None),
            token: None,
            masked: transform(hidden_size, activation, Some(norm)),
            masked_output: match raw.flag("tie_word_embeddings", true)? {
                true => MaskedOutput::TiedToEmbedding,
                false => MaskedOutput::Own,
            },
            masked_bias: Bias::Present,
        },
    })
}

/// The flags by which BERT and its nearest kin become decoders.
pub(super) fn looks_both_ways(raw: &RawConfig) -> Result<()> {
    for flag in ["is_decoder", "add_cross_attention"] {
        if raw.flag(flag, false)? {
            return Err(raw.refuse(flag, "an encoder looks both ways"));
        }
    }
    Ok(())
}

/// `position_embedding_type`, which BERT and its nearest kin read: vectors for distances in place of
/// those for positions.
pub(super) fn positions(raw: &RawConfig, config: &mut EncoderConfig) -> Result<()> {
    let keys = match raw.text("position_embedding_type")? {
        None | Some("absolute") => return Ok(()),
        Some("relative_key") => false,
        Some("relative_key_query") => true,
        Some(_) => {
            let known = "it should be absolute, relative_key or relative_key_query";
            return Err(raw.refuse("position_embedding_type", known));
        }
    };
    let positions = config.max_positions;
    config.embeddings.positions = AbsolutePositions::None;
    for LayerConfig { attention, .. } in &mut config.layers {
        let distances = LayerDistancesConfig { positions, keys, scale: attention.scale };
        attention.positions = Positions::Relative(RelativePositions::OfLayers(distances));
    }
    Ok(())
}

/// A linear layer with a bias, an activation and perhaps a norm.
pub(super) fn transform(
    size: usize,
    activation: Activation,
    norm: Option<NormConfig>,
) -> TransformConfig {
    TransformConfig { size, activation, norm, bias: Bias::Present }
}
