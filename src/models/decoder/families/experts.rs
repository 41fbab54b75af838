//! Experts as configs spell them, and which layers have them.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::raw_config::RawConfig;
use crate::nn::experts::{ExpertForm, ExpertShares, ExpertsConfig};
use crate::nn::mlp::MlpConfig;

/// `num_experts`, of which each token takes `num_experts_per_tok`, as wide as the field `width` says.
pub(super) fn read(raw: &RawConfig, width: &str, shares: ExpertShares) -> Result<ExpertsConfig> {
    let count = raw.size("num_experts")?;
    let chosen = raw.size("num_experts_per_tok")?;
    if chosen > count {
        let reason = format!("there are {count} experts to take from");
        return Err(raw.refuse("num_experts_per_tok", reason));
    }
    Ok(ExpertsConfig {
        count,
        chosen,
        hidden: raw.size(width)?,
        activation: raw.activation("hidden_act", "silu")?,
        form: ExpertForm::Gated,
        shares,
        shared: None,
    })
}

/// Gives the layers that `has_experts` says, numbered from 0, experts in place of their MLP.
pub(super) fn spread(
    config: &mut DecoderConfig,
    experts: &ExpertsConfig,
    has_experts: impl Fn(usize) -> bool,
) {
    for (i, layer) in config.layers.iter_mut().enumerate() {
        if has_experts(i) {
            layer.mlp = MlpConfig::Experts(experts.clone());
        }
    }
}
