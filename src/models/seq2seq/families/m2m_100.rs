//! M2M100 (<https://arxiv.org/abs/2010.11125>) and NLLB-200 (<https://arxiv.org/abs/2207.04672>): BART,
//! except that layers norm before each half, that positions are sinusoidal, without an end and numbered
//! after the padding id, and that embeddings are scaled and not normed.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::config::Seq2SeqConfig;
use crate::models::seq2seq::families::{bart, parts};
use crate::models::seq2seq::family::{Family, token_id};
use crate::nn::positions::AbsolutePositions;
use crate::weights::Bias;

pub(super) const FAMILY: Family = Family {
    model_types: &["m2m_100"],
    defaults: &[
        ("vocab_size", 128_112),
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
    ],
    config,
    ..bart::FAMILY
};

pub(super) fn config(raw: &RawConfig) -> Result<Seq2SeqConfig> {
    let raw = raw.with_default("activation_function", "relu");
    let raw = raw.with_default("scale_embedding", true);
    let mut config = bart::config(&raw)?;
    bart::norm_before(&mut config);
    bart::without_embedding_norms(&mut config);
    let padding_id = token_id(&raw, "pad_token_id")?.unwrap_or(1);
    let table = AbsolutePositions::SinusoidalAfterPadding { padding_id };
    bart::set_positions(&mut config, table, parts::ENDLESS);
    config.decoder.head_bias = Bias::Absent;
    Ok(config)
}
