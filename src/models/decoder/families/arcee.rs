//! Arcee (AFM): Llama, except that the MLP has no gate, and squares what is above 0.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::mlp::MlpConfig;
use crate::nn::rope::RopePairing;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["arcee"],
        sizes: &sizes([32_000, 2560, 18_432, 32, 32]),
        ids: &[("bos_token_id", &[128_000]), ("eos_token_id", &[128_001])],
        ..HF
    },
    gguf: Dialect { types: &["arcee"], pairing: RopePairing::Adjacent, ..GGUF },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw.with_default("max_position_embeddings", 4096).with_default("rms_norm_eps", 1e-5);
    let mut config = llama::config(&raw)?;
    for layer in &mut config.layers {
        layer.mlp = MlpConfig::Plain {
            hidden: raw.size("intermediate_size")?,
            activation: raw.activation("hidden_act", "relu2")?,
            bias: raw.flag("mlp_bias", false)?.into(),
        };
    }
    Ok(config)
}
