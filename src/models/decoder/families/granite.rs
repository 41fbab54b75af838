//! Granite: Llama, except for four multipliers: of embeddings, of scores, of each half of a layer, and
//! (as a divisor) of logits.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::Family;
use crate::models::decoder::families::llama;
use crate::models::raw_config::RawConfig;
use crate::nn::rope::RopePairing;

pub(super) const FAMILY: Family = Family {
    model_types: &["granite"],
    gguf_architectures: &["granite"],
    gguf_pairing: RopePairing::Adjacent,
    config,
    ..llama::FAMILY
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    let mut config = llama::config(raw, pairing)?;
    config.embedding_scale = Some(raw.number("embedding_multiplier", 1.0)?);
    config.logit_scale = Some(1.0 / raw.number("logits_scaling", 1.0)?);
    for layer in &mut config.layers {
        layer.attention.scale = raw.number("attention_multiplier", 1.0)?;
        layer.residual_scale = Some(raw.number("residual_multiplier", 1.0)?);
    }
    Ok(config)
}
