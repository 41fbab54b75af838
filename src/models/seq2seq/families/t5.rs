//! T5 1.0, 1.1 and FLAN-T5 (<https://arxiv.org/abs/1910.10683>), ByT5: layers with RMS norms before each
//! half, without biases, whose positions are numbers for buckets of distances, and whose scores are not
//! scaled. Logits are scaled where the head is tied.
//!
//! Config: `configuration_t5.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::decoder::config::HeadWeights;
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::config::Seq2SeqConfig;
use crate::models::seq2seq::families::parts;
use crate::models::seq2seq::family::{EncoderAlone, Family, FirstToken, Gguf};
use crate::models::seq2seq::names::{T5_GGUF_NAMES, T5_NAMES};
use crate::nn::attention::{AttentionConfig, Positions};
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::relative::RelativePositions;
use crate::weights::Bias;

pub(super) const FAMILY: Family = Family {
    model_types: &["t5"],
    defaults: &[
        ("vocab_size", 32_128),
        ("d_model", 512),
        ("d_kv", 64),
        ("d_ff", 2048),
        ("num_layers", 6),
        ("num_heads", 8),
        ("pad_token_id", 0),
        ("eos_token_id", 1),
    ],
    attribute_map: &[
        ("head_dim", "d_kv"),
        ("hidden_size", "d_model"),
        ("num_attention_heads", "num_heads"),
        ("num_hidden_layers", "num_layers"),
    ],
    config: |raw| config(raw, Tables::OfModel),
    base_names: T5_NAMES,
    names: &[],
    prefix: Some("transformer"),
    encoder: EncoderAlone::Used,
    first_token: FirstToken::OfConfig,
    gguf: Some(Gguf { architectures: ["t5", "t5encoder"], config: of_gguf, names: T5_GGUF_NAMES }),
};

/// GGUF files of the whole family: which member it is, its tensors tell.
fn of_gguf(raw: &RawConfig) -> Result<Seq2SeqConfig> {
    let raw = raw.with_spellings(&[
        ("d_ff", "intermediate_size"),
        ("layer_norm_epsilon", "rms_norm_eps"),
        ("num_decoder_layers", "decoder_block_count"),
        ("relative_attention_num_buckets", "attention.relative_buckets_count"),
    ]);
    let form = match raw.flag("enc.blk.0.ffn_gate.weight", false)? {
        true => "gated-gelu",
        false => "relu",
    };
    let tables = match raw.flag("enc.blk.1.attn_rel_b.weight", false)? {
        true => Tables::OfLayers,
        false => Tables::OfModel,
    };
    config(&raw.with("feed_forward_proj", form), tables)
}

/// Whose the tables of distances are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tables {
    /// Each layer has one.
    OfLayers,
    /// All layers of a half share the first layer's.
    OfModel,
}

pub(super) fn config(raw: &RawConfig, tables: Tables) -> Result<Seq2SeqConfig> {
    let read = raw.layers()?;
    let read = read.ok_or_else(|| raw.missing("num_hidden_layers"))?;
    let written = raw.layers_of("num_decoder_layers")?.unwrap_or(read);
    let buckets = raw.optional_size("relative_attention_num_buckets")?.unwrap_or(32);
    if buckets < 4 {
        return Err(raw.refuse("relative_attention_num_buckets", "it should be 32"));
    }
    let max_distance = raw.optional_size("relative_attention_max_distance")?.unwrap_or(128);
    let positions = |layer: usize, bidirectional: bool| {
        let table = if tables == Tables::OfLayers { layer } else { 0 };
        Positions::Relative(RelativePositions::Buckets {
            table,
            bidirectional,
            buckets,
            max_distance,
        })
    };
    let layer = |positions: Positions| layer(raw, positions);
    let encoder = (0..read).map(|number| layer(positions(number, true)));
    let decoder = (0..written).map(|number| {
        let layer = layer(positions(number, false))?;
        let cross = AttentionConfig { positions: Positions::None, ..layer.attention.clone() };
        Ok(LayerConfig { cross: Some(cross), ..layer })
    });
    let (encoder, decoder) = (encoder.collect::<Result<_>>()?, decoder.collect::<Result<_>>()?);
    let mut config = parts::stacks(raw, encoder, decoder)?;
    let norm = Some(norm(raw)?);
    config.encoder.final_norm = norm;
    config.decoder.final_norm = norm;
    if config.decoder.head == HeadWeights::TiedToEmbedding {
        config.decoder.logit_scale = Some((config.decoder.hidden_size as f64).powf(-0.5));
    }
    Ok(config)
}

fn norm(raw: &RawConfig) -> Result<NormConfig> {
    Ok(NormConfig::Rms { eps: raw.epsilon("layer_norm_epsilon", 1e-6)? })
}

fn layer(raw: &RawConfig, positions: Positions) -> Result<LayerConfig> {
    let heads = raw.size("num_attention_heads")?;
    Ok(LayerConfig {
        norms: NormPlace::Before,
        norm: norm(raw)?,
        residual_scale: None,
        attention: AttentionConfig {
            scale: 1.0,
            positions,
            ..AttentionConfig::plain(heads, raw.size("head_dim")?, Bias::Absent)
        },
        cross: None,
        mlp: mlp(raw)?,
    })
}

/// `feed_forward_proj`: the name of an activation, perhaps behind `gated-`. What the class makes of it
/// stands in many files, too, and wins.
fn mlp(raw: &RawConfig) -> Result<MlpConfig> {
    let form = raw.text("feed_forward_proj")?.unwrap_or("relu");
    let (gated, name) = match form.split_once('-') {
        None => (form == "gated", form),
        Some(("gated", name)) if !name.contains('-') => (true, name),
        Some(_) => {
            let known = "it should be an activation, or one behind `gated-`";
            return Err(raw.refuse("feed_forward_proj", known));
        }
    };
    // As T5 1.1 was trained.
    let name = if form == "gated-gelu" { "gelu_new" } else { name };
    let activation = raw.with_default("dense_act_fn", name).activation("dense_act_fn", name)?;
    let (hidden, bias) = (raw.size("d_ff")?, Bias::Absent);
    Ok(match raw.flag("is_gated_act", gated)? {
        true => MlpConfig::Gated { hidden, activation, bias },
        false => MlpConfig::Plain { hidden, activation, bias },
    })
}
