//! Which keys a query may attend to.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::kernels::attention::Reach;
use crate::nn::cache::Segment;

/// What is added to the scores of the rows' queries: 0 where the key is a token of the same row and
/// within reach, else a value that leaves it no weight. `(rows, 1, queries, slots)` in f32, with
/// as many of both as the longest row has; `None` where it would be all zeros.
///
/// The value is finite, so that a query that may attend to nothing gives some numbers and not NaN,
/// which would spread.
pub(super) fn additive(
    segments: &[Segment],
    reach: Reach,
    device: &Device,
) -> Result<Option<Tensor>> {
    let queries = segments.iter().map(|segment| segment.tokens.len()).max().unwrap_or(0);
    let slots = segments.iter().map(Segment::slots).max().unwrap_or(0);
    let mut mask = vec![f32::MIN; segments.len() * queries * slots];
    for (number, segment) in segments.iter().enumerate() {
        for (query, slot) in (segment.start..segment.slots()).enumerate() {
            let start = (number * queries + query) * slots;
            mask[start..start + slots][reach.seen(slot, segment.slots())].fill(0.0);
        }
    }
    if mask.iter().all(|&value| value == 0.0) {
        return Ok(None);
    }
    Ok(Some(Tensor::from_vec(mask, (segments.len(), 1, queries, slots), device)?))
}
