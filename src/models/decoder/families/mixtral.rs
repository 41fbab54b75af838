//! Mixtral 8x7B, 8x22B: Mistral, except that each layer has experts in place of the MLP, of which a token
//! takes two; that there is no window by default; and that the base of the rope is 1,000,000.
//!
//! GGUF files of Mixtral models say `llama`.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{experts, llama, mistral, spans};
use crate::models::decoder::family::{Dialect, Family};
use crate::models::raw_config::RawConfig;
use crate::nn::experts::ExpertShares;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["mixtral"],
        names: &[
            renamed("layers.*.mlp.router", "model.layers.*.block_sparse_moe.gate"),
            renamed(
                "layers.*.mlp.experts.*.act",
                "model.layers.*.block_sparse_moe.experts.*.act_fn",
            ),
            renamed("layers.*.mlp.experts.*.gate", "model.layers.*.block_sparse_moe.experts.*.w1"),
            renamed("layers.*.mlp.experts.*.up", "model.layers.*.block_sparse_moe.experts.*.w3"),
            renamed("layers.*.mlp.experts.*.down", "model.layers.*.block_sparse_moe.experts.*.w2"),
        ],
        spellings: &[("num_experts", "num_local_experts")],
        unread: &["attention_bias", "layer_types", "mlp_bias", "num_experts"],
        ..mistral::FAMILY.hf
    },
    gguf: llama::FAMILY.gguf,
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("max_position_embeddings", 131_072)
        .with_default("num_experts", 8)
        .with_default("num_experts_per_tok", 2)
        .with_default("num_key_value_heads", 8)
        .with_default("rms_norm_eps", 1e-5)
        .with_default("rope_theta", 1_000_000.0);
    let mut config = llama::config(&raw)?;
    let mixture = experts::read(&raw, "intermediate_size", ExpertShares::OfChosen)?;
    experts::spread(&mut config, &mixture, |_| true);
    if let Some(window) = raw.optional_size("sliding_window")? {
        spans::slide(&raw, &mut config, window, |_| true)?;
    }
    Ok(config)
}
