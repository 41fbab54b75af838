//! OLMo 3: OLMo 2, except that three layers in four attend to a sliding window, and that only the others
//! stretch their rope. GGUF files have one architecture for both.

use serde_json::Value;

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{olmo2, spans};
use crate::models::decoder::family::{Dialect, Family};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::Positions;
use crate::nn::rope::{RopeConfig, RopeScaling};
use crate::source::gguf::GgufValue;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect { types: &["olmo3"], ..olmo2::FAMILY.hf },
    gguf: Dialect {
        // OLMo 2 says nothing of windows.
        translate: |raw| Ok(raw.with_default("sliding_window", Value::Null)),
        keys: |config| {
            let slides = config.layers.iter().map(|layer| (layer.attention.span != 0).into());
            vec![("attention.sliding_window_pattern", GgufValue::Array(slides.collect()))]
        },
        ..olmo2::FAMILY.gguf
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let mut config = olmo2::config(raw)?;
    let raw = raw.with_default("sliding_window", 4096);
    let Some(window) = raw.optional_size("sliding_window")? else { return Ok(config) };
    spans::slide(&raw, &mut config, window, |layer| !(layer + 1).is_multiple_of(4))?;
    let plain = RopeConfig { scaling: RopeScaling::None, ..config.ropes[0].clone() };
    config.ropes.push(plain);
    for layer in config.layers.iter_mut().filter(|layer| layer.attention.span != 0) {
        layer.attention.positions = Positions::Rotary(1);
    }
    Ok(config)
}
