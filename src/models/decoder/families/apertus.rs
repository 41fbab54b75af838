//! Apertus: Llama, except that the MLP has no gate and an activation with weights (xIELU), that each query and key
//! head is RMS-normed, and that the rope is stretched as Llama 3.1's unless the config says otherwise.

use serde_json::json;

use crate::error::{Error, Result};
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::QkNorm;
use crate::nn::mlp::MlpConfig;
use crate::weights::Bias;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["apertus"],
        names: &[
            renamed("layers.*.attn_norm", "model.layers.*.attention_layernorm"),
            renamed("layers.*.mlp_norm", "model.layers.*.feedforward_layernorm"),
        ],
        sizes: &sizes([131_072, 4096, 14_336, 32, 32]),
        ids: &[("bos_token_id", &[1]), ("eos_token_id", &[2]), ("pad_token_id", &[3])],
        unread: &["mlp_bias"],
        ..HF
    },
    gguf: Dialect {
        types: &["apertus"],
        translate: |raw| {
            Err(Error::unsupported(format!(
                "{}: GGUF files keep the weights of xIELU in their metadata, which is not read; open \
                 the folder that the file was made from",
                raw.origin().display()
            )))
        },
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let scaling = json!({
        "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    });
    let raw = raw
        .with_default("max_position_embeddings", 65_536)
        .with_default("rms_norm_eps", 1e-5)
        .with_default("rope_scaling", scaling)
        .with_default("rope_theta", 12_000_000.0);
    let mut config = llama::config(&raw)?;
    for layer in &mut config.layers {
        layer.attention.qk_norm = QkNorm::PerHead(layer.norm);
        layer.mlp = MlpConfig::Plain {
            hidden: raw.size("intermediate_size")?,
            activation: raw.activation("hidden_act", "xielu")?,
            bias: Bias::Absent,
        };
    }
    Ok(config)
}
