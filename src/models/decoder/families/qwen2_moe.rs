//! Qwen2-MoE (Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B): Qwen2, except that layers may have experts in place of the
//! MLP, beside one that every token takes; and that windows, where there are such, are for all layers.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::families::{experts, llama, spans};
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::experts::{ExpertShares, ExpertsConfig};
use crate::weights::Bias;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["qwen2_moe"],
        // Qwen3-MoE has no shared one.
        names: &[
            renamed("layers.*.mlp.router", "model.layers.*.mlp.gate"),
            renamed("layers.*.mlp.experts.*.act", "model.layers.*.mlp.experts.*.act_fn"),
            renamed("layers.*.mlp.experts.*.gate", "model.layers.*.mlp.experts.*.gate_proj"),
            renamed("layers.*.mlp.experts.*.up", "model.layers.*.mlp.experts.*.up_proj"),
            renamed("layers.*.mlp.experts.*.down", "model.layers.*.mlp.experts.*.down_proj"),
            renamed("layers.*.mlp.shared_gate", "model.layers.*.mlp.shared_expert_gate"),
            renamed("layers.*.mlp.shared.act", "model.layers.*.mlp.shared_expert.act_fn"),
            renamed("layers.*.mlp.shared.gate", "model.layers.*.mlp.shared_expert.gate_proj"),
            renamed("layers.*.mlp.shared.up", "model.layers.*.mlp.shared_expert.up_proj"),
            renamed("layers.*.mlp.shared.down", "model.layers.*.mlp.shared_expert.down_proj"),
        ],
        sizes: &sizes([151_936, 2048, 5632, 24, 16]),
        unread: &["layer_types", "mlp_bias"],
        ..HF
    },
    gguf: Dialect {
        types: &["qwen2moe"],
        spellings: &[("shared_expert_intermediate_size", "expert_shared_feed_forward_length")],
        head: Some(HeadWeights::Own),
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("max_position_embeddings", 32768)
        .with_default("moe_intermediate_size", 1408)
        .with_default("num_experts", 60)
        .with_default("num_experts_per_tok", 4)
        .with_default("num_key_value_heads", 16)
        .with_default("shared_expert_intermediate_size", 5632);
    let mut config = llama::config(&raw)?;
    let bias = raw.flag("qkv_bias", true)?.into();
    for layer in &mut config.layers {
        layer.attention.qkv_bias = bias;
        layer.attention.output_bias = Bias::Absent;
    }
    let shared = Some(raw.size("shared_expert_intermediate_size")?);
    let mixture = ExpertsConfig { shared, ..experts(&raw)? };
    spread(&raw, &mut config, &mixture)?;
    Ok(config)
}

/// Qwen's experts.
pub(super) fn experts(raw: &RawConfig) -> Result<ExpertsConfig> {
    let shares = match raw.flag("norm_topk_prob", false)? {
        true => ExpertShares::OfChosen,
        false => ExpertShares::OfAll,
    };
    experts::read(raw, "moe_intermediate_size", shares)
}

/// Every `decoder_sparse_step`th layer has experts, unless `mlp_only_layers` names it; and all layers
/// have the window, whatever `max_window_layers` says.
pub(super) fn spread(
    raw: &RawConfig,
    config: &mut DecoderConfig,
    mixture: &ExpertsConfig,
) -> Result<()> {
    let step = raw.optional_size("decoder_sparse_step")?.unwrap_or(1);
    let without = raw.numbers("mlp_only_layers")?.unwrap_or_default();
    experts::spread(config, mixture, |layer| {
        !without.contains(&(layer as f32)) && (layer + 1).is_multiple_of(step)
    });
    if !raw.flag("use_sliding_window", false)? {
        return Ok(());
    }
    match raw.with_default("sliding_window", 4096).optional_size("sliding_window")? {
        Some(window) => spans::slide(raw, config, window, |_| true),
        None => Ok(()),
    }
}
