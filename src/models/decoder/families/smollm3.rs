//! SmolLM3: Llama, except that every fourth layer does not rotate queries and keys, the base is
//! 2,000,000, the head is tied, and windows are as in Qwen2.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::Family;
use crate::models::decoder::families::llama;
use crate::models::decoder::families::qwen2;
use crate::models::raw_config::RawConfig;
use crate::nn::attention::Positions;
use crate::nn::rope::RopePairing;

pub(super) const FAMILY: Family = Family {
    model_types: &["smollm3"],
    gguf_architectures: &["smollm3"],
    gguf_pairing: RopePairing::Adjacent,
    config,
    ..llama::FAMILY
};

fn config(raw: &RawConfig, pairing: RopePairing) -> Result<DecoderConfig> {
    let raw = raw.with_default("rope_theta", 2_000_000.0);
    let mut config = llama::config(&raw, pairing)?;
    config.head = llama::head(&raw, true)?;
    let interval = raw.optional_size("no_rope_layer_interval")?.unwrap_or(4);
    // Despite its name the list holds a 1 for each layer that does rotate.
    let rotated = raw.numbers("no_rope_layers")?;
    if rotated.as_ref().is_some_and(|rotated| rotated.len() != config.layers.len()) {
        return Err(raw.refuse("no_rope_layers", "there should be one number per layer"));
    }
    for (i, layer) in config.layers.iter_mut().enumerate() {
        let rotates = match &rotated {
            Some(rotated) => rotated[i] != 0.0,
            None => !(i + 1).is_multiple_of(interval),
        };
        if !rotates {
            layer.attention.positions = Positions::None;
        }
    }
    qwen2::slide(&raw, &mut config)?;
    Ok(config)
}
