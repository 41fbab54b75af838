//! EXAONE 4.0: OLMo 2, except that each query and key head is normed by itself; and that with a window, three
//! layers in four attend to it, and the others do not rotate queries and keys.

use serde_json::Value;

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{olmo2, spans};
use crate::models::decoder::family::{Dialect, Family, GGUF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::{Positions, QkNorm};

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["exaone4"],
        sizes: &sizes([102_400, 4096, 16_384, 32, 32]),
        ids: &[("bos_token_id", &[0]), ("eos_token_id", &[2])],
        unread: &["attention_bias", "mlp_bias"],
        ..olmo2::FAMILY.hf
    },
    gguf: Dialect {
        types: &["exaone4"],
        // As llama.cpp knows the models with a window: by their 64 layers.
        translate: |raw| {
            Ok(match raw.layers()? {
                Some(64) => raw.clone(),
                _ => raw.with("sliding_window", Value::Null),
            })
        },
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw.with_default("rms_norm_eps", 1e-5).with_default("sliding_window", 4096);
    let mut config = olmo2::config(&raw)?;
    for layer in &mut config.layers {
        layer.attention.qk_norm = QkNorm::PerHead(layer.norm);
    }
    let Some(window) = raw.optional_size("sliding_window")? else { return Ok(config) };
    let pattern = raw.optional_size("sliding_window_pattern")?.unwrap_or(4);
    spans::slide(&raw, &mut config, window, |layer| !(layer + 1).is_multiple_of(pattern))?;
    for layer in config.layers.iter_mut().filter(|layer| layer.attention.span == 0) {
        layer.attention.positions = Positions::None;
    }
    Ok(config)
}
