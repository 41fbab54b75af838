//! Command-R, Aya: Llama, except that attention and MLP take the same input through one norm, that norms are
//! layer norms without bias, that neighbouring channels are rotated together, that the head is tied and
//! logits are scaled; and that each query and key head may be normed with weights of its own.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::QkNorm;
use crate::nn::layer::NormPlace;
use crate::nn::norm::NormConfig;
use crate::nn::rope::RopePairing;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["cohere"],
        pairing: RopePairing::Adjacent,
        sizes: &sizes([256_000, 8192, 22_528, 40, 64]),
        ids: &[("bos_token_id", &[5]), ("eos_token_id", &[255_001]), ("pad_token_id", &[0])],
        unread: &["mlp_bias"],
        ..HF
    },
    gguf: Dialect {
        types: &["command-r"],
        pairing: RopePairing::Adjacent,
        // As llama.cpp knows Command-R+: by its 64 layers.
        translate: |raw| Ok(raw.with("use_qk_norm", raw.layers()? >= Some(64))),
        head: Some(HeadWeights::TiedToEmbedding),
        keys: |config| {
            let scale = config.logit_scale.unwrap_or(1.0);
            vec![("logit_scale", scale.into()), ("rope.scaling.type", "none".into())]
        },
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw.with_default("max_position_embeddings", 8192);
    let norm = NormConfig::LayerWithoutBias { eps: raw.epsilon("layer_norm_eps", 1e-5)? };
    let qk_norm = raw.flag("use_qk_norm", false)?;
    let mut config = llama::config(&raw)?;
    config.head = llama::head(&raw, true)?;
    config.final_norm = Some(norm);
    config.logit_scale = Some(raw.number("logit_scale", 0.0625)?);
    for layer in &mut config.layers {
        layer.norms = NormPlace::Parallel;
        layer.norm = norm;
        layer.attention.qk_norm = if qk_norm { QkNorm::EachHead(norm) } else { QkNorm::None };
    }
    Ok(config)
}
