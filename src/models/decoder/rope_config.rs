//! Rope settings as configs spell them: `rope_theta`, `rope_scaling`, transformers 5's
//! `rope_parameters`, and the translated metadata of GGUF files.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::nn::rope::{RopeConfig, RopePairing, RopeScaling};

/// The rope of a model, and the context it makes possible: `max_position_embeddings`, or the
/// stretched original context where that is longer. The pairing is to be set by whoever knows the
/// checkpoint's format.
pub(in crate::models) fn read(raw: &RawConfig, head_dim: usize) -> Result<(RopeConfig, usize)> {
    let max_positions = raw.optional_size("max_position_embeddings")?.unwrap_or(2048);
    let section = match raw.section("rope_parameters")? {
        // Where layers differ, there is a section for each type of them.
        Some(section) => Some(section.section("full_attention")?.unwrap_or(section)),
        None => raw.section("rope_scaling")?,
    };
    let mut theta = raw.number("rope_theta", 10_000.0)?;
    let partial = match section.as_ref() {
        Some(section) => section.optional_number("partial_rotary_factor")?,
        None => None,
    };
    let partial = match partial {
        Some(partial) => partial,
        None => raw.number("partial_rotary_factor", 1.0)?,
    };
    let rotary_dim = match raw.optional_size("rope.dimension_count")? {
        Some(dim) => dim,
        None => (head_dim as f64 * partial) as usize,
    };
    if rotary_dim < 2 || rotary_dim > head_dim || !rotary_dim.is_multiple_of(2) {
        let reason = format!(
            "{rotary_dim} of {head_dim} channels would be rotated; an even number is needed"
        );
        let given =
            if raw.optional_size("head_dim")?.is_some() { "head_dim" } else { "hidden_size" };
        return Err(raw.refuse(given, reason));
    }
    let mut scaling = RopeScaling::None;
    let mut context = max_positions;
    if let Some(section) = section {
        theta = section.number("rope_theta", theta)?;
        (scaling, context) = scaled(raw, &section, rotary_dim / 2, max_positions)?;
    }
    if !(theta > 1.0 && theta.is_finite()) {
        return Err(raw.refuse("rope_theta", "it should be above 1"));
    }
    let pairing = RopePairing::Halves;
    Ok((RopeConfig { theta, rotary_dim, pairing, scaling }, context))
}

/// The scaling and the longest context. `rope_type` was called `type` before.
fn scaled(
    raw: &RawConfig,
    section: &RawConfig,
    pairs: usize,
    max_positions: usize,
) -> Result<(RopeScaling, usize)> {
    let kind = match section.text("rope_type")? {
        Some(kind) => kind,
        None => section.text("type")?.unwrap_or("default"),
    };
    let factor = || -> Result<f64> {
        let factor = section.required_number("factor")?;
        if factor >= 1.0 && factor.is_finite() {
            return Ok(factor);
        }
        Err(section.refuse("factor", format!("rope scaling {kind:?} needs a number from 1 up")))
    };
    let original = section
        .optional_size("original_max_position_embeddings")?
        .or(raw.optional_size("original_max_position_embeddings")?)
        .unwrap_or(max_positions);
    let stretched = |factor: f64| max_positions.max((original as f64 * factor) as usize);
    Ok(match kind {
        "default" | "none" => (RopeScaling::None, max_positions),
        "linear" => (RopeScaling::Linear { factor: factor()? }, stretched(factor()?)),
        "factors" => (RopeScaling::Factors(factors(section, "factors", pairs)?), max_positions),
        "dynamic" => {
            let scaling =
                RopeScaling::Dynamic { factor: factor()?, original_positions: max_positions };
            (scaling, stretched(factor()?))
        }
        "llama3" => {
            let scaling = RopeScaling::Llama3 {
                factor: factor()?,
                low_freq_factor: section.required_number("low_freq_factor")?,
                high_freq_factor: section.required_number("high_freq_factor")?,
                original_positions: original,
            };
            (scaling, stretched(factor()?))
        }
        "longrope" | "su" => {
            // Phi-3 states both contexts; their ratio then counts, whatever `factor` says.
            let mut original = raw.optional_size("original_max_position_embeddings")?;
            if original.is_none() && raw.section("rope_parameters")?.is_some() {
                original = section.optional_size("original_max_position_embeddings")?;
            }
            let factor = match original {
                Some(original) => max_positions as f64 / original as f64,
                None => section.number("factor", 1.0)?,
            };
            let original = original.unwrap_or(max_positions);
            let default = match factor > 1.0 {
                true => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
                false => 1.0,
            };
            let scaling = RopeScaling::LongRope {
                short: factors(section, "short_factor", pairs)?,
                long: factors(section, "long_factor", pairs)?,
                original_positions: original,
                attention_factor: section.number("attention_factor", default)?,
            };
            (scaling, max_positions)
        }
        "yarn" => {
            let factor = factor()?;
            let mscale = |scale: f64| 0.1 * scale * factor.ln() + 1.0;
            let (scale, all) =
                (section.number("mscale", 0.0)?, section.number("mscale_all_dim", 0.0)?);
            let default = match scale != 0.0 && all != 0.0 {
                true => mscale(scale) / mscale(all),
                false => mscale(1.0),
            };
            let scaling = RopeScaling::Yarn {
                factor,
                beta_fast: section.number("beta_fast", 32.0)?,
                beta_slow: section.number("beta_slow", 1.0)?,
                truncate: section.flag("truncate", true)?,
                original_positions: original,
                attention_factor: section.number("attention_factor", default)?,
            };
            (scaling, stretched(factor))
        }
        _ => {
            let known = "default, linear, dynamic, llama3, longrope and yarn are supported";
            let field = if section.text("rope_type")?.is_some() { "rope_type" } else { "type" };
            return Err(section.refuse(field, known));
        }
    })
}

/// One positive divisor per pair of channels.
fn factors(section: &RawConfig, field: &str, pairs: usize) -> Result<Vec<f32>> {
    let factors = section.numbers(field)?.unwrap_or_default();
    if factors.len() == pairs && factors.iter().all(|factor| *factor > 0.0 && factor.is_finite()) {
        return Ok(factors);
    }
    let found = factors.len();
    Err(section.refuse(field, format!("{found} numbers; {pairs} positive ones are needed")))
}
