//! Qwen2-MoE (Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B): Qwen2, except that layers may have experts in place of the
//! MLP, beside one that every token takes; and that windows, where there are such, are for all layers.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::Family;
use crate::models::decoder::families::experts;
use crate::models::decoder::families::llama;
use crate::models::decoder::families::spans;
use crate::models::raw_config::RawConfig;
use crate::nn::experts::{ExpertShares, ExpertsConfig};
use crate::nn::rope::RopePairing;
use crate::weights::Bias;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["qwen2_moe"],
    gguf_architectures: &["qwen2moe"],
    gguf_pairing: RopePairing::Halves,
    config,
    sizes: &[
        ("vocab_size", 151_936),
        ("hidden_size", 2048),
        ("intermediate_size", 5632),
        ("num_hidden_layers", 24),
        ("num_attention_heads", 16),
    ],
    unread: &["layer_types", "mlp_bias"],
    // Qwen3-MoE has no shared one.
    safetensors: &[
        renamed("layers.*.mlp.router", "model.layers.*.mlp.gate"),
        renamed("layers.*.mlp.experts.*.gate", "model.layers.*.mlp.experts.*.gate_proj"),
        renamed("layers.*.mlp.experts.*.up", "model.layers.*.mlp.experts.*.up_proj"),
        renamed("layers.*.mlp.experts.*.down", "model.layers.*.mlp.experts.*.down_proj"),
        renamed("layers.*.mlp.shared_gate", "model.layers.*.mlp.shared_expert_gate"),
        renamed("layers.*.mlp.shared.gate", "model.layers.*.mlp.shared_expert.gate_proj"),
        renamed("layers.*.mlp.shared.up", "model.layers.*.mlp.shared_expert.up_proj"),
        renamed("layers.*.mlp.shared.down", "model.layers.*.mlp.shared_expert.down_proj"),
    ],
    gguf: &[],
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("max_position_embeddings", 32768)
        .with_default("moe_intermediate_size", 1408)
        .with_default("num_experts", 60)
        .with_default("num_experts_per_tok", 4)
        .with_default("num_key_value_heads", 16)
        .with_default("shared_expert_intermediate_size", 5632);
    let mut config = llama::config(&raw, pairing)?;
    let bias = raw.flag("qkv_bias", true)?.into();
    for layer in &mut config.layers {
        layer.attention.qkv_bias = bias;
        layer.attention.output_bias = Bias::Absent;
    }
    let shared = Some(raw.size("shared_expert_intermediate_size")?);
    let mixture = ExpertsConfig { shared, ..experts(&raw, false)? };
    spread(&raw, &mut config, &mixture)?;
    Ok(config)
}

/// Qwen's experts; `of_chosen` is the default of `norm_topk_prob`.
pub(super) fn experts(raw: &RawConfig, of_chosen: bool) -> Result<ExpertsConfig> {
    let shares = match raw.flag("norm_topk_prob", of_chosen)? {
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
