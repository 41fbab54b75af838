//! Granite: Llama, except for four multipliers: of embeddings, of scores, of each half of a layer, and
//! (as a divisor) of logits.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, EVERY_BIAS, Family, GGUF};
use crate::models::raw_config::RawConfig;
use crate::nn::rope::RopePairing;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect { types: &["granite"], ..llama::FAMILY.hf },
    gguf: Dialect {
        types: &["granite"],
        pairing: RopePairing::Adjacent,
        spellings: &[
            ("attention_multiplier", "attention.scale"),
            ("embedding_multiplier", "embedding_scale"),
            ("logits_scaling", "logit_scale"),
            ("residual_multiplier", "residual_scale"),
        ],
        biases: EVERY_BIAS,
        keys: |config| vec![("logit_scale", (1.0 / config.logit_scale.unwrap_or(1.0)).into())],
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let mut config = llama::config(raw)?;
    config.embedding_scale = Some(raw.number("embedding_multiplier", 1.0)?);
    config.logit_scale = Some(1.0 / raw.number("logits_scaling", 1.0)?);
    for layer in &mut config.layers {
        layer.attention.scale = raw.number("attention_multiplier", 1.0)?;
        layer.residual_scale = Some(raw.number("residual_multiplier", 1.0)?);
    }
    Ok(config)
}
