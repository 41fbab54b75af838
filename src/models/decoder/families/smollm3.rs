//! SmolLM3: Llama, except that every fourth layer does not rotate queries and keys, the base is
//! 2,000,000, the head is tied, and that with `use_sliding_window` the layers that do not rotate attend
//! to a window.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{llama, spans};
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::Positions;
use crate::nn::rope::RopePairing;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["smollm3"],
        sizes: &sizes([128_256, 2048, 11_008, 36, 16]),
        ids: &[
            ("bos_token_id", &[128_000]),
            ("eos_token_id", &[128_001]),
            ("pad_token_id", &[128_004]),
        ],
        ..HF
    },
    gguf: Dialect { types: &["smollm3"], pairing: RopePairing::Adjacent, ..GGUF },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("max_position_embeddings", 32768)
        .with_default("num_key_value_heads", 4)
        .with_default("rope_theta", 2_000_000.0);
    let mut config = llama::config(&raw)?;
    config.head = llama::head(&raw, true)?;
    let interval = raw.optional_size("no_rope_layer_interval")?.unwrap_or(4);
    // Despite its name the list holds a 1 for each layer that does rotate.
    let rotated = raw.numbers("no_rope_layers")?;
    if rotated.as_ref().is_some_and(|rotated| rotated.len() != config.layers.len()) {
        return Err(raw.refuse("no_rope_layers", "there should be one number per layer"));
    }
    let rotates = |layer: usize| match &rotated {
        Some(rotated) => rotated[layer] != 0.0,
        None => !(layer + 1).is_multiple_of(interval),
    };
    for (i, layer) in config.layers.iter_mut().enumerate() {
        if !rotates(i) {
            layer.attention.positions = Positions::None;
        }
    }
    // Types of layers hold whatever the switch says.
    let types = raw.texts("layer_types")?.unwrap_or_default();
    let slides = raw.flag("use_sliding_window", false)? || types.contains(&"sliding_attention");
    if let (true, Some(window)) = (slides, raw.optional_size("sliding_window")?) {
        spans::slide(&raw, &mut config, window, |layer| !rotates(layer))?;
    }
    Ok(config)
}
