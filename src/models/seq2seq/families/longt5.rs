//! LongT5 (<https://arxiv.org/abs/2112.07916>): T5 1.1, except that the encoder's layers attend to a window on
//! both sides, and perhaps to sums of tokens.

use crate::models::seq2seq::families::t5;
use crate::models::seq2seq::families::t5::Tables;
use crate::models::seq2seq::family::Family;
use crate::nn::attention::Positions;
use crate::nn::globals::Globals;
use crate::nn::relative::RelativePositions;
use crate::nn::span::AttentionSpan;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["longt5"],
    config: |raw| {
        let has_sums = match raw.text("encoder_attention_type")? {
            None | Some("local") => false,
            Some("transient-global") => true,
            Some(_) => {
                let known = "it should be \"local\" or \"transient-global\"";
                return Err(raw.refuse("encoder_attention_type", known));
            }
        };
        let mut config = t5::config(raw, Tables::OfModel)?;
        let radius = raw.optional_size("local_radius")?.unwrap_or(127);
        config.encoder.spans = vec![AttentionSpan::Bidirectional { window: Some(radius + 1) }];
        if has_sums {
            let tokens = raw.optional_size("global_block_size")?.unwrap_or(16);
            for layer in &mut config.encoder.layers {
                let Positions::Relative(mut positions) = layer.attention.positions else {
                    continue;
                };
                if let RelativePositions::Buckets { table, .. } = &mut positions {
                    *table = 1;
                }
                layer.attention.globals = Globals::Sums { tokens, norm: layer.norm, positions };
            }
        }
        Ok(config)
    },
    names: &[
        renamed(
            "encoder.relative.1",
            "encoder.block.0.layer.0.TransientGlobalSelfAttention.global_relative_attention_bias",
        ),
        renamed(
            "encoder.relative.0",
            "encoder.block.0.layer.0.TransientGlobalSelfAttention.relative_attention_bias",
        ),
        renamed(
            "encoder.relative.0",
            "encoder.block.0.layer.0.LocalSelfAttention.relative_attention_bias",
        ),
        renamed(
            "encoder.layers.*.attn.sums_norm",
            "encoder.block.*.layer.0.TransientGlobalSelfAttention.global_input_layer_norm",
        ),
        renamed(
            "encoder.layers.*.attn.q",
            "encoder.block.*.layer.0.TransientGlobalSelfAttention.q",
        ),
        renamed(
            "encoder.layers.*.attn.k",
            "encoder.block.*.layer.0.TransientGlobalSelfAttention.k",
        ),
        renamed(
            "encoder.layers.*.attn.v",
            "encoder.block.*.layer.0.TransientGlobalSelfAttention.v",
        ),
        renamed(
            "encoder.layers.*.attn.o",
            "encoder.block.*.layer.0.TransientGlobalSelfAttention.o",
        ),
        renamed("encoder.layers.*.attn.q", "encoder.block.*.layer.0.LocalSelfAttention.q"),
        renamed("encoder.layers.*.attn.k", "encoder.block.*.layer.0.LocalSelfAttention.k"),
        renamed("encoder.layers.*.attn.v", "encoder.block.*.layer.0.LocalSelfAttention.v"),
        renamed("encoder.layers.*.attn.o", "encoder.block.*.layer.0.LocalSelfAttention.o"),
    ],
    gguf: None,
    ..t5::FAMILY
};
