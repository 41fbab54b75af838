//! Adapters in the weights.

use std::borrow::Cow;

use crate::error::Result;
use crate::weights::adapters::matrices::Matrices;
use crate::weights::convert;
use crate::weights::elements::Elements;
use crate::weights::store::StoredTensor;

/// The tensor in f32 with what adapters add to it, one after the other.
pub(in crate::weights) fn merged<'a, 'b>(
    stored: StoredTensor<'a>,
    changes: impl Iterator<Item = &'b Matrices>,
) -> Result<StoredTensor<'a>> {
    let mut weight = convert::numbers(&stored)?;
    changes.for_each(|change| change.add_to(&mut weight));
    stored.release();
    let bytes: Vec<u8> = weight.into_iter().flat_map(f32::to_le_bytes).collect();
    Ok(StoredTensor { elements: Elements::F32, pieces: vec![Cow::Owned(bytes)], ..stored })
}
