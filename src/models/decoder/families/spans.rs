//! Which layers slide: `layer_types`, or a family's own pattern where the config has none.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::raw_config::RawConfig;
use crate::nn::span::AttentionSpan;

/// Lets the layers that `layer_types` calls `sliding_attention` attend to the last `window` tokens
/// only; where there is no such field, those of the pattern, which is given layer numbers from 0.
pub(super) fn slide(
    raw: &RawConfig,
    config: &mut DecoderConfig,
    window: usize,
    pattern: impl Fn(usize) -> bool,
) -> Result<()> {
    config.spans.push(AttentionSpan::Causal { window: Some(window) });
    let sliding = config.spans.len() - 1;
    let types = raw.texts("layer_types")?;
    if types.as_ref().is_some_and(|types| types.len() != config.layers.len()) {
        return Err(raw.refuse("layer_types", "there should be one per layer"));
    }
    for (i, layer) in config.layers.iter_mut().enumerate() {
        let slides = match types.as_ref().map(|types| types[i]) {
            None => pattern(i),
            Some("full_attention") => false,
            Some("sliding_attention") => true,
            Some(_) => {
                let known = "full_attention and sliding_attention are supported";
                return Err(raw.refuse("layer_types", known));
            }
        };
        if slides {
            layer.attention.span = sliding;
        }
    }
    Ok(())
}
