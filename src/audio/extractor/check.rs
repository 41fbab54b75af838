//! What every extractor checks.

use crate::error::{Error, Result};

/// Refuses samples of another rate than the model's.
pub(super) fn check_rate(wanted: u32, found: u32) -> Result<()> {
    if wanted == found {
        return Ok(());
    }
    Err(Error::input(format!(
        "audio of {found} samples per second where the model hears {wanted}; resample it first"
    )))
}

/// Refuses samples that are no finite numbers.
pub(super) fn check_finite(samples: &[f32]) -> Result<()> {
    match samples.iter().position(|sample| !sample.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::input(format!("sample {at} of the audio is {}", samples[at]))),
    }
}

/// Refuses padding before a recording, which no model here was trained with.
pub(super) fn check_padding_side(side: &str) -> Result<()> {
    match side {
        "right" => Ok(()),
        other => Err(Error::option(
            "padding_side",
            format!("{other:?} is not supported, only \"right\""),
        )),
    }
}

/// Refuses sizes, `(option, value, least)`, that are too small to compute with or absurd.
pub(super) fn check_sizes(sizes: &[(&str, usize, usize)]) -> Result<()> {
    sizes.iter().try_for_each(|&(option, value, least)| match (least..=LARGEST).contains(&value) {
        true => Ok(()),
        false => {
            Err(Error::option(option, format!("{value} is not between {least} and {LARGEST}")))
        }
    })
}

/// Refuses sizes that together would take memory out of proportion; `option` is one of them.
pub(super) fn check_product(option: &str, sizes: &[usize]) -> Result<()> {
    let product = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    if product.is_some_and(|product| product <= LARGEST_PRODUCT) {
        return Ok(());
    }
    let sizes: Vec<_> = sizes.iter().map(usize::to_string).collect();
    let reason =
        format!("makes {} numbers, and {LARGEST_PRODUCT} are the limit", sizes.join(" × "));
    Err(Error::option(option, reason))
}

/// No size of a model that hears comes near: 192,000 samples per second do.
const LARGEST: usize = 1 << 18;
/// Numbers that one recording or one bank of filters becomes: CLAP's ten seconds are 480,000 samples.
const LARGEST_PRODUCT: usize = 1 << 24;
