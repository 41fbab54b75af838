//! LongT5 (<https://arxiv.org/abs/2112.07916>) with local attention: T5 1.1, except that the encoder's layers
//! attend to a window on both sides.

use crate::models::seq2seq::families::t5;
use crate::models::seq2seq::families::t5::Tables;
use crate::models::seq2seq::family::Family;
use crate::nn::span::AttentionSpan;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["longt5"],
    config: |raw| {
        if !matches!(raw.text("encoder_attention_type")?, None | Some("local")) {
            let reason = "only the encoder with local attention is supported";
            return Err(raw.refuse("encoder_attention_type", reason));
        }
        let mut config = t5::config(raw, Tables::OfModel)?;
        let radius = raw.optional_size("local_radius")?.unwrap_or(127);
        config.encoder.spans = vec![AttentionSpan::Bidirectional { window: Some(radius + 1) }];
        Ok(config)
    },
    names: &[
        renamed(
            "encoder.relative.*",
            "encoder.block.*.layer.0.LocalSelfAttention.relative_attention_bias",
        ),
        renamed("encoder.layers.*.attn.q", "encoder.block.*.layer.0.LocalSelfAttention.q"),
        renamed("encoder.layers.*.attn.k", "encoder.block.*.layer.0.LocalSelfAttention.k"),
        renamed("encoder.layers.*.attn.v", "encoder.block.*.layer.0.LocalSelfAttention.v"),
        renamed("encoder.layers.*.attn.o", "encoder.block.*.layer.0.LocalSelfAttention.o"),
    ],
    gguf: None,
    ..t5::FAMILY
};
