//! GLM-4-0414, GLM-Z1: GLM, except that each half of a layer is normed again before it is added.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::glm;
use crate::models::decoder::family::{Dialect, Family};
use crate::models::raw_config::RawConfig;
use crate::nn::layer::NormPlace;
use crate::weights::names::{fused, renamed};

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["glm4"],
        names: &[
            renamed("layers.*.attn_post_norm", "model.layers.*.post_self_attn_layernorm"),
            renamed("layers.*.mlp.act", "model.layers.*.mlp.activation_fn"),
            fused("layers.*.mlp.gate_up", "model.layers.*.mlp.gate_up_proj"),
            renamed("layers.*.mlp_post_norm", "model.layers.*.post_mlp_layernorm"),
        ],
        ..glm::FAMILY.hf
    },
    gguf: Dialect { types: &["glm4"], ..glm::FAMILY.gguf },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let mut config = glm::config(raw)?;
    for layer in &mut config.layers {
        layer.norms = NormPlace::Sandwich;
    }
    Ok(config)
}
