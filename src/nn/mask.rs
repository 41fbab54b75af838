//! Which keys a query may attend to.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::kernels::attention::Reach;
use crate::kernels::encoder_attention::DistanceBias;
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

/// What distances add to the scores of the rows' queries, `(rows, heads, queries, slots)` in f32.
pub(super) fn by_distance(
    segments: &[Segment],
    DistanceBias { values, longest }: DistanceBias<'_>,
    device: &Device,
) -> Result<Tensor> {
    let queries = segments.iter().map(|segment| segment.tokens.len()).max().unwrap_or(0);
    let heads = values.chunks_exact(2 * longest - 1);
    let shape = (segments.len(), heads.len(), queries, longest);
    let mut added: Vec<f32> = Vec::with_capacity(segments.len() * heads.len() * queries * longest);
    for segment in segments {
        for head in heads.clone() {
            for query in segment.start..segment.start + queries {
                // Beyond the row's end, whatever it is.
                added.extend(&head[(longest - 1).saturating_sub(query)..][..longest]);
            }
        }
    }
    Ok(Tensor::from_vec(added, shape, device)?)
}

/// What is added to scores so that nothing beyond the ends of rows of keys is seen, `(rows, 1, 1, slots)`
/// in f32.
pub(super) fn ends(lengths: impl Iterator<Item = usize>, device: &Device) -> Result<Tensor> {
    let lengths: Vec<usize> = lengths.collect();
    let slots = lengths.iter().copied().max().unwrap_or(0);
    let seen =
        |&length: &usize| (0..slots).map(move |slot| if slot < length { 0.0 } else { f32::MIN });
    let mask: Vec<f32> = lengths.iter().flat_map(seen).collect();
    Ok(Tensor::from_vec(mask, (lengths.len(), 1, 1, slots), device)?)
}
