//! Moonshine (<https://arxiv.org/abs/2410.15608>): the encoder reads the samples themselves, through three
//! convolutions. Layers rotate queries and keys, and have norms without biases; the decoder's gate what is
//! between their projections.
//!
//! Config: `configuration_moonshine.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::rope_config;
use crate::models::raw_config::RawConfig;
use crate::models::speech::config::{
    AudioEncoderConfig, ConvolutionConfig, ConvolutionNorm, SpeechSeq2SeqConfig,
};
use crate::models::speech::family::Family;
use crate::nn::activation::Activation;
use crate::nn::attention::{AttentionConfig, Positions};
use crate::nn::layer::{LayerConfig, NormPlace};
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::rope::{RopeConfig, RopePairing};
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;
use crate::weights::names::{Part, Rule, part, renamed};

pub(super) const FAMILY: Family = Family {
    model_types: &["moonshine"],
    defaults: &[
        ("vocab_size", 32_768),
        ("hidden_size", 288),
        ("intermediate_size", 1152),
        ("encoder_num_hidden_layers", 6),
        ("decoder_num_hidden_layers", 6),
        ("encoder_num_attention_heads", 8),
        ("decoder_num_attention_heads", 8),
        ("max_position_embeddings", 512),
        ("decoder_start_token_id", 1),
        ("bos_token_id", 1),
        ("eos_token_id", 2),
    ],
    attribute_map: &[],
    config,
    base_names: NAMES,
    names: &[],
    prefix: "model",
};

const NAMES: &[Rule] = &[
    renamed("encoder.convolutions.0", "encoder.conv1"),
    renamed("encoder.convolutions.0.norm", "encoder.groupnorm"),
    renamed("encoder.convolutions.1", "encoder.conv2"),
    renamed("encoder.convolutions.2", "encoder.conv3"),
    renamed("encoder.layers.*.attn.q", "encoder.layers.*.self_attn.q_proj"),
    renamed("encoder.layers.*.attn.k", "encoder.layers.*.self_attn.k_proj"),
    renamed("encoder.layers.*.attn.v", "encoder.layers.*.self_attn.v_proj"),
    renamed("encoder.layers.*.attn.o", "encoder.layers.*.self_attn.o_proj"),
    renamed("encoder.layers.*.attn_norm", "encoder.layers.*.input_layernorm"),
    renamed("encoder.layers.*.mlp.act", "encoder.layers.*.mlp.activation_fn"),
    renamed("encoder.layers.*.mlp.up", "encoder.layers.*.mlp.fc1"),
    renamed("encoder.layers.*.mlp.down", "encoder.layers.*.mlp.fc2"),
    renamed("encoder.layers.*.mlp_norm", "encoder.layers.*.post_attention_layernorm"),
    renamed("encoder.final_norm", "encoder.layer_norm"),
    renamed("decoder.embed.words", "decoder.embed_tokens"),
    renamed("decoder.layers.*.attn.q", "decoder.layers.*.self_attn.q_proj"),
    renamed("decoder.layers.*.attn.k", "decoder.layers.*.self_attn.k_proj"),
    renamed("decoder.layers.*.attn.v", "decoder.layers.*.self_attn.v_proj"),
    renamed("decoder.layers.*.attn.o", "decoder.layers.*.self_attn.o_proj"),
    renamed("decoder.layers.*.attn_norm", "decoder.layers.*.input_layernorm"),
    renamed("decoder.layers.*.cross.q", "decoder.layers.*.encoder_attn.q_proj"),
    renamed("decoder.layers.*.cross.k", "decoder.layers.*.encoder_attn.k_proj"),
    renamed("decoder.layers.*.cross.v", "decoder.layers.*.encoder_attn.v_proj"),
    renamed("decoder.layers.*.cross.o", "decoder.layers.*.encoder_attn.o_proj"),
    renamed("decoder.layers.*.cross_norm", "decoder.layers.*.post_attention_layernorm"),
    // What is gated comes before its gate.
    renamed("decoder.layers.*.mlp.act", "decoder.layers.*.mlp.activation_fn"),
    part("decoder.layers.*.mlp.up", "decoder.layers.*.mlp.fc1", Part::Gate),
    part("decoder.layers.*.mlp.gate", "decoder.layers.*.mlp.fc1", Part::Up),
    renamed("decoder.layers.*.mlp.down", "decoder.layers.*.mlp.fc2"),
    renamed("decoder.layers.*.mlp_norm", "decoder.layers.*.final_layernorm"),
    renamed("decoder.final_norm", "decoder.norm"),
    renamed("decoder.head", "proj_out"),
];

fn config(raw: &RawConfig) -> Result<SpeechSeq2SeqConfig> {
    let (vocab_size, hidden_size) = (raw.size("vocab_size")?, raw.size("hidden_size")?);
    let norm = NormConfig::LayerWithoutBias { eps: 1e-5 };
    let attention = attention(raw, hidden_size)?;
    let head_dim = attention.head_dim;
    let raw_rope = raw.with_default("partial_rotary_factor", 0.9);
    let (rope, _) = rope_config::read(&raw_rope, head_dim)?;
    let ropes = vec![RopeConfig { pairing: RopePairing::Adjacent, ..rope }];
    let inner = raw.size("intermediate_size")?;
    let bias = Bias::Present;
    let layer = |mlp, cross| LayerConfig {
        norms: NormPlace::Before,
        norm,
        residual_scale: None,
        attention: attention.clone(),
        cross,
        mlp,
    };
    let activation = raw.activation("encoder_hidden_act", "gelu")?;
    let heard = layer(MlpConfig::Plain { hidden: inner, activation, bias }, None);
    let activation = raw.activation("decoder_hidden_act", "silu")?;
    let cross = AttentionConfig { positions: Positions::None, ..attention.clone() };
    let written = layer(MlpConfig::Gated { hidden: inner, activation, bias }, Some(cross));
    let layers = |field: &str| Ok::<_, crate::error::Error>(raw.layers_of(field)?.unwrap_or(6));
    Ok(SpeechSeq2SeqConfig {
        encoder: AudioEncoderConfig {
            width: 1,
            hidden_size,
            max_positions: ENDLESS,
            convolutions: convolutions(hidden_size),
            positions: AbsolutePositions::None,
            layers: vec![heard; layers("encoder_num_hidden_layers")?],
            ropes: ropes.clone(),
            spans: vec![AttentionSpan::Bidirectional { window: None }],
            final_norm: Some(norm),
        },
        decoder: DecoderConfig {
            vocab_size,
            hidden_size,
            max_positions: raw.size("max_position_embeddings")?,
            recomputed_beyond: None,
            embedding_scale: None,
            layers: vec![written; layers("decoder_num_hidden_layers")?],
            positions: AbsolutePositions::None,
            embedding_norm: None,
            ropes,
            alibis: Vec::new(),
            spans: vec![AttentionSpan::Causal { window: None }],
            final_norm: Some(norm),
            head: match raw.flag("tie_word_embeddings", true)? {
                true => HeadWeights::TiedToEmbedding,
                false => HeadWeights::Own,
            },
            head_bias: Bias::Absent,
            logit_scale: None,
            logit_cap: None,
        },
        start_id: raw.optional_size("decoder_start_token_id")?.map(|id| id as u32),
    })
}

/// The most frames of an encoder whose positions have no end.
const ENDLESS: usize = 1 << 24;

fn attention(raw: &RawConfig, hidden_size: usize) -> Result<AttentionConfig> {
    let heads = raw.size("encoder_num_attention_heads")?;
    for field in [
        "decoder_num_attention_heads",
        "encoder_num_key_value_heads",
        "decoder_num_key_value_heads",
    ] {
        if raw.optional_size(field)?.is_some_and(|others| others != heads) {
            let reason = format!("it should be `encoder_num_attention_heads`, {heads}");
            return Err(raw.refuse(field, reason));
        }
    }
    if !hidden_size.is_multiple_of(heads) {
        let reason = format!("it should divide `hidden_size`, which is {hidden_size}");
        return Err(raw.refuse("encoder_num_attention_heads", reason));
    }
    let head_dim = raw.optional_size("head_dim")?.unwrap_or(hidden_size / heads);
    Ok(AttentionConfig {
        positions: Positions::Rotary(0),
        qkv_bias: Bias::from(raw.flag("attention_bias", false)?),
        ..AttentionConfig::plain(heads, head_dim, Bias::Absent)
    })
}

/// 384 samples to a frame.
fn convolutions(hidden_size: usize) -> Vec<ConvolutionConfig> {
    let first = ConvolutionConfig {
        channels: hidden_size,
        kernel: 127,
        stride: 64,
        padding: 0,
        bias: Bias::Absent,
        activation: Activation::Tanh,
        norm: ConvolutionNorm::Together { eps: 1e-5 },
    };
    let (norm, activation) = (ConvolutionNorm::None, Activation::Gelu);
    let later = ConvolutionConfig { bias: Bias::Present, activation, norm, ..first };
    vec![
        first,
        ConvolutionConfig { channels: 2 * hidden_size, kernel: 7, stride: 3, ..later },
        ConvolutionConfig { kernel: 3, stride: 2, ..later },
    ]
}
