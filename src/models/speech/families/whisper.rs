//! Whisper (<https://arxiv.org/abs/2212.04356>) of all sizes, distilled ones too: the encoder's input are
//! frames of log-mel values, which go through two convolutions, the second of which halves their number.
//! The layers are BART's, except that norms stand before each half, that keys have no bias, and that
//! positions are numbered from 0 on; the encoder's are sinusoids, which lie in the checkpoint.
//!
//! Config: `configuration_whisper.py` of transformers, with its defaults.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::Seq2SeqConfig;
use crate::models::seq2seq::families::bart;
use crate::models::seq2seq::names::BART_NAMES;
use crate::models::speech::config::{
    AudioEncoderConfig, ConvolutionConfig, ConvolutionNorm, SpeechSeq2SeqConfig,
};
use crate::models::speech::family::Family;
use crate::nn::activation::Activation;
use crate::nn::positions::AbsolutePositions;
use crate::weights::Bias;
use crate::weights::names::{Rule, renamed};

pub(super) const FAMILY: Family = Family {
    model_types: &["whisper"],
    defaults: &[
        ("vocab_size", 51_865),
        ("num_mel_bins", 80),
        ("d_model", 384),
        ("encoder_layers", 4),
        ("encoder_ffn_dim", 1536),
        ("encoder_attention_heads", 6),
        ("decoder_layers", 4),
        ("decoder_ffn_dim", 1536),
        ("decoder_attention_heads", 6),
        ("max_source_positions", 1500),
        ("max_target_positions", 448),
        ("median_filter_width", 7),
        ("bos_token_id", 50_256),
        ("pad_token_id", 50_256),
        ("eos_token_id", 50_256),
        ("decoder_start_token_id", 50_257),
    ],
    attribute_map: &[
        ("hidden_size", "d_model"),
        ("num_attention_heads", "encoder_attention_heads"),
        ("num_key_value_heads", "encoder_attention_heads"),
    ],
    config,
    base_names: NAMES,
    names: BART_NAMES,
    prefix: "model",
};

/// Beside those of BART's kin, which transformers takes, too: OpenAI's own, which whisper.cpp's files have.
const NAMES: &[Rule] = &[
    renamed("encoder.convolutions.0", "encoder.conv1"),
    renamed("encoder.convolutions.1", "encoder.conv2"),
    renamed("decoder.head", "proj_out"),
    renamed("encoder.embed.positions.weight", "encoder.positional_embedding"),
    renamed("encoder.layers.*.attn.q", "encoder.blocks.*.attn.query"),
    renamed("encoder.layers.*.attn.k", "encoder.blocks.*.attn.key"),
    renamed("encoder.layers.*.attn.v", "encoder.blocks.*.attn.value"),
    renamed("encoder.layers.*.attn.o", "encoder.blocks.*.attn.out"),
    renamed("encoder.layers.*.attn_norm", "encoder.blocks.*.attn_ln"),
    renamed("encoder.layers.*.mlp.up", "encoder.blocks.*.mlp.0"),
    renamed("encoder.layers.*.mlp.down", "encoder.blocks.*.mlp.2"),
    renamed("encoder.layers.*.mlp_norm", "encoder.blocks.*.mlp_ln"),
    renamed("encoder.final_norm", "encoder.ln_post"),
    renamed("decoder.embed.words", "decoder.token_embedding"),
    renamed("decoder.positions.weight", "decoder.positional_embedding"),
    renamed("decoder.layers.*.attn.q", "decoder.blocks.*.attn.query"),
    renamed("decoder.layers.*.attn.k", "decoder.blocks.*.attn.key"),
    renamed("decoder.layers.*.attn.v", "decoder.blocks.*.attn.value"),
    renamed("decoder.layers.*.attn.o", "decoder.blocks.*.attn.out"),
    renamed("decoder.layers.*.attn_norm", "decoder.blocks.*.attn_ln"),
    renamed("decoder.layers.*.cross.q", "decoder.blocks.*.cross_attn.query"),
    renamed("decoder.layers.*.cross.k", "decoder.blocks.*.cross_attn.key"),
    renamed("decoder.layers.*.cross.v", "decoder.blocks.*.cross_attn.value"),
    renamed("decoder.layers.*.cross.o", "decoder.blocks.*.cross_attn.out"),
    renamed("decoder.layers.*.cross_norm", "decoder.blocks.*.cross_attn_ln"),
    renamed("decoder.layers.*.mlp.up", "decoder.blocks.*.mlp.0"),
    renamed("decoder.layers.*.mlp.down", "decoder.blocks.*.mlp.2"),
    renamed("decoder.layers.*.mlp_norm", "decoder.blocks.*.mlp_ln"),
    renamed("decoder.final_norm", "decoder.ln"),
];

fn config(raw: &RawConfig) -> Result<SpeechSeq2SeqConfig> {
    let [heard, written] = [raw.size("max_source_positions")?, raw.size("max_target_positions")?];
    // The reference's class reads `scale_embedding` and makes no use of it.
    let as_bart = raw.with("max_position_embeddings", written).with("scale_embedding", false);
    let mut config = bart::config(&as_bart)?;
    bart::without_embedding_norms(&mut config);
    bart::norm_before(&mut config);
    let Seq2SeqConfig { mut encoder, mut decoder, start_id, .. } = config;
    decoder.positions = AbsolutePositions::Learned { offset: 0, rows: written };
    decoder.head_bias = Bias::Absent;
    for layer in encoder.layers.iter_mut().chain(&mut decoder.layers) {
        for attention in std::iter::once(&mut layer.attention).chain(&mut layer.cross) {
            attention.qkv_bias = Bias::PresentButForKeys;
        }
    }
    let convolution = |stride: usize| ConvolutionConfig {
        channels: encoder.hidden_size,
        kernel: 3,
        stride,
        padding: 1,
        bias: Bias::Present,
        activation: Activation::Gelu,
        norm: ConvolutionNorm::None,
    };
    Ok(SpeechSeq2SeqConfig {
        encoder: AudioEncoderConfig {
            width: raw.size("num_mel_bins")?,
            hidden_size: encoder.hidden_size,
            max_positions: heard,
            convolutions: vec![convolution(1), convolution(2)],
            positions: AbsolutePositions::Learned { offset: 0, rows: heard },
            layers: encoder.layers,
            ropes: Vec::new(),
            spans: encoder.spans,
            final_norm: encoder.final_norm,
        },
        decoder,
        start_id,
    })
}
