//! Qwen2 and Qwen2.5: Llama, except that queries, keys and values have biases and the output none, and
//! that with `use_sliding_window` the layers from `max_window_layers` on attend to a window.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::{llama, spans};
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::weights::Bias;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["qwen2"],
        sizes: &sizes([151_936, 4096, 22_016, 32, 32]),
        unread: &["mlp_bias"],
        ..HF
    },
    gguf: Dialect { types: &["qwen2"], ..GGUF },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw =
        &raw.with_default("max_position_embeddings", 32768).with_default("num_key_value_heads", 32);
    let mut config = llama::config(raw)?;
    for layer in &mut config.layers {
        layer.attention.qkv_bias = Bias::Present;
        layer.attention.output_bias = Bias::Absent;
    }
    slide(raw, &mut config)?;
    Ok(config)
}

/// Qwen's switch for windows.
pub(super) fn slide(raw: &RawConfig, config: &mut DecoderConfig) -> Result<()> {
    if !raw.flag("use_sliding_window", false)? {
        return Ok(());
    }
    let raw = &raw.with_default("sliding_window", 4096);
    let Some(window) = raw.optional_size("sliding_window")? else { return Ok(()) };
    let first = raw.number("max_window_layers", 28.0)?;
    spans::slide(raw, config, window, |layer| layer as f64 >= first)
}
