//! What reading a codec's config and laying out its sound have in common.

use candle_core::{DType, Tensor};

use super::seanet::Padding;
use crate::error::Result;
use crate::models::raw_config::RawConfig;

/// A size, or the default of the reference.
pub(super) fn size(raw: &RawConfig, field: &str, default: usize) -> Result<usize> {
    Ok(raw.optional_size(field)?.unwrap_or(default))
}

/// A number of layers, which may be 0.
pub(super) fn few(raw: &RawConfig, field: &str, default: usize) -> Result<usize> {
    match raw.optional_number(field)? {
        None => Ok(default),
        Some(number) if (0.0..64.0).contains(&number) && number.fract() == 0.0 => {
            Ok(number as usize)
        }
        Some(_) => Err(raw.refuse(field, "it should be a small whole number")),
    }
}

/// A list of sizes, or the default of the reference.
pub(super) fn sizes(raw: &RawConfig, field: &str, default: &[usize]) -> Result<Vec<usize>> {
    let Some(numbers) = raw.numbers(field)? else { return Ok(default.to_vec()) };
    let is_size = |number: &f32| (1.0..1e6).contains(number) && number.fract() == 0.0;
    if numbers.is_empty() || numbers.len() > 16 || !numbers.iter().all(is_size) {
        return Err(raw.refuse(field, "it should be a list of whole numbers"));
    }
    Ok(numbers.into_iter().map(|number| number as usize).collect())
}

/// The product of ratios: the samples that a frame stands for.
pub(super) fn product(raw: &RawConfig, field: &str, ratios: &[usize]) -> Result<usize> {
    let product = ratios.iter().try_fold(1_usize, |product, &ratio| product.checked_mul(ratio));
    product
        .filter(|&product| product < 1 << 24)
        .ok_or_else(|| raw.refuse(field, "their product is too large"))
}

/// `num_filters`, which doubles so many times.
pub(super) fn filters(raw: &RawConfig, default: usize, times: usize) -> Result<usize> {
    let filters = size(raw, "num_filters", default)?;
    match filters
        .checked_shl(times as u32)
        .filter(|&most| most >> times == filters && most < 1 << 24)
    {
        Some(_) => Ok(filters),
        None => Err(raw.refuse("num_filters", "it is too large")),
    }
}

/// `pad_mode`.
pub(super) fn padding(raw: &RawConfig, default: Padding) -> Result<Padding> {
    Ok(match raw.text("pad_mode")? {
        None => default,
        Some("reflect") => Padding::Reflect,
        Some("replicate") => Padding::Replicate,
        Some("constant") => Padding::Zeros,
        Some(_) => {
            return Err(raw.refuse("pad_mode", "it should be reflect, replicate or constant"));
        }
    })
}

/// One sample of each channel in turn.
pub(super) fn interleaved(channels: &[&[f32]]) -> Vec<f32> {
    match channels {
        [only] => only.to_vec(),
        channels => {
            let samples = channels.first().map_or(0, |channel| channel.len());
            (0..samples).flat_map(|at| channels.iter().map(move |channel| channel[at])).collect()
        }
    }
}

/// What [`interleaved`] undoes.
pub(super) fn apart(samples: &[f32], channels: usize) -> Vec<Vec<f32>> {
    let channel = |number: usize| samples.iter().skip(number).step_by(channels).copied().collect();
    (0..channels).map(channel).collect()
}

/// Of each channel the samples of a piece, `(samples, channels)`.
pub(super) fn channels_of(samples: Option<&Tensor>, channels: usize) -> Result<Vec<Vec<f32>>> {
    let Some(samples) = samples else { return Ok(vec![Vec::new(); channels]) };
    let samples: Vec<f32> = samples.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok(apart(&samples, channels))
}
