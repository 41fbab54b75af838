//! OLMo 2: Llama, except that norms stand after each half instead of before it, and queries and keys are
//! normed, all heads together.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::QkNorm;
use crate::nn::layer::NormPlace;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["olmo2"],
        names: &[
            renamed("layers.*.attn_post_norm", "model.layers.*.post_attention_layernorm"),
            renamed("layers.*.mlp_post_norm", "model.layers.*.post_feedforward_layernorm"),
        ],
        sizes: &sizes([50_304, 4096, 11_008, 32, 32]),
        ids: &[("eos_token_id", &[50_279]), ("pad_token_id", &[1])],
        unread: &["mlp_bias"],
        ..HF
    },
    gguf: Dialect { types: &["olmo2"], head: Some(HeadWeights::Own), ..GGUF },
};

pub(super) fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let mut config = llama::config(&raw.with_default("rms_norm_eps", 1e-5))?;
    for layer in &mut config.layers {
        layer.norms = NormPlace::AfterHalf;
        layer.attention.qk_norm = QkNorm::AllHeads(layer.norm);
    }
    Ok(config)
}
