//! Families of encoder-decoders that hear: data, one file each.

mod moonshine;
mod whisper;

use crate::models::speech::family::Family;

/// Every family of encoder-decoders that hear. A new one is a file and a line here.
pub(crate) const FAMILIES: &[&Family] = &[&moonshine::FAMILY, &whisper::FAMILY];
