//! BART (<https://arxiv.org/abs/1910.13461>): layers with biases and a norm after each sum, learned
//! positions that are numbered from 2 on, a norm after the embeddings, and a bias on logits. The families
//! beside it are written as "BART, except …".
//!
//! Config: `configuration_bart.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::config::Seq2SeqConfig;
use crate::models::seq2seq::families::parts;
use crate::models::seq2seq::family::{EncoderAlone, Family, FirstToken};
use crate::models::seq2seq::names::BART_NAMES;
use crate::nn::attention::AttentionConfig;
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::weights::Bias;

pub(super) const FAMILY: Family = Family {
    model_types: &["bart"],
    defaults: &[
        ("vocab_size", 50_265),
        ("max_position_embeddings", 1024),
        ("d_model", 1024),
        ("encoder_layers", 12),
        ("encoder_ffn_dim", 4096),
        ("encoder_attention_heads", 16),
        ("decoder_layers", 12),
        ("decoder_ffn_dim", 4096),
        ("decoder_attention_heads", 16),
        ("bos_token_id", 0),
        ("pad_token_id", 1),
        ("eos_token_id", 2),
        ("decoder_start_token_id", 2),
        ("forced_eos_token_id", 2),
    ],
    attribute_map: &[
        ("hidden_size", "d_model"),
        ("num_attention_heads", "encoder_attention_heads"),
    ],
    config,
    base_names: BART_NAMES,
    names: &[],
    prefix: Some("model"),
    encoder: EncoderAlone::Unused,
    first_token: FirstToken::OfConfig,
    gguf: None,
};

/// Of every layer norm.
pub(super) const NORM: NormConfig = NormConfig::Layer { eps: 1e-5 };

pub(in crate::models) fn config(raw: &RawConfig) -> Result<Seq2SeqConfig> {
    let activation = raw.activation("activation_function", "gelu")?;
    let hidden_size = raw.size("hidden_size")?;
    let layers = |side: &str, heads: &str| -> Result<Vec<LayerConfig>> {
        let heads_of_side = raw.size(heads)?;
        if !hidden_size.is_multiple_of(heads_of_side) {
            return Err(
                raw.refuse(heads, format!("it should divide {hidden_size}, the model's width"))
            );
        }
        let head_dim = hidden_size / heads_of_side;
        let attention = AttentionConfig::plain(heads_of_side, head_dim, Bias::Present);
        let layer = LayerConfig {
            norms: NormPlace::AfterSum,
            norm: NORM,
            residual_scale: None,
            cross: (side == "decoder").then(|| attention.clone()),
            attention,
            mlp: MlpConfig::Plain {
                hidden: raw.size(&format!("{side}_ffn_dim"))?,
                activation,
                bias: Bias::Present,
            },
        };
        let field = format!("{side}_layers");
        Ok(vec![layer; raw.layers_of(&field)?.ok_or_else(|| raw.missing(&field))?])
    };
    let encoder = layers("encoder", "num_attention_heads")?;
    let mut config = parts::stacks(raw, encoder, layers("decoder", "decoder_attention_heads")?)?;
    let positions = raw.size("max_position_embeddings")?;
    set_positions(
        &mut config,
        AbsolutePositions::Learned { offset: 2, rows: positions + 2 },
        positions,
    );
    if raw.flag("scale_embedding", false)? {
        let scale = Some((hidden_size as f64).sqrt());
        config.encoder.embeddings.scale = scale;
        config.decoder.embedding_scale = scale;
    }
    config.encoder.embeddings.norm = Some(NORM);
    config.decoder.embedding_norm = Some(NORM);
    config.decoder.head_bias = Bias::IfStored;
    Ok(config)
}

/// The same absolute positions in both halves, and how many there are.
pub(super) fn set_positions(config: &mut Seq2SeqConfig, table: AbsolutePositions, most: usize) {
    config.encoder.embeddings.positions = table;
    config.encoder.max_positions = most;
    config.decoder.positions = table;
    config.decoder.max_positions = most;
}

/// No norm after the embeddings.
pub(in crate::models) fn without_embedding_norms(config: &mut Seq2SeqConfig) {
    config.encoder.embeddings.norm = None;
    config.decoder.embedding_norm = None;
}

/// Norms before each half of a layer, and after the last layer.
pub(in crate::models) fn norm_before(config: &mut Seq2SeqConfig) {
    for layer in config.encoder.layers.iter_mut().chain(&mut config.decoder.layers) {
        layer.norms = NormPlace::Before;
    }
    config.encoder.final_norm = Some(NORM);
    config.decoder.final_norm = Some(NORM);
}
