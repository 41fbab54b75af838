//! Which keys a query may attend to: as ranges of slots on the CPU, as masks elsewhere.

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::kernels::attention::Sight;
use crate::nn::span::AttentionSpan;

/// For each row what its queries in the slots from `start` on see: the same row's tokens that are
/// within its span.
pub(super) fn sights(
    positions: &[Vec<Option<u32>>],
    start: usize,
    span: AttentionSpan,
) -> Vec<Sight> {
    let sight = |row: &Vec<Option<u32>>| {
        // Positions grow along a row, so what a later query sees begins and ends no earlier.
        let (mut first, mut end) = (0, 0);
        let slots = row.iter().enumerate().skip(start).map(|(slot, query)| {
            let Some(query) = *query else { return 0..0 };
            let covered = |key: Option<u32>| key.is_some_and(|key| span.covers(query, key));
            while first < slot && !covered(row[first]) {
                first += 1;
            }
            end = end.max(slot + 1);
            while span.looks_ahead()
                && end < row.len()
                && row[end].is_none_or(|key| span.covers(query, key))
            {
                end += 1;
            }
            first..end
        });
        let slots = slots.collect();
        let hidden = if row.contains(&None) {
            row.iter().map(Option::is_none).collect()
        } else {
            Vec::new()
        };
        Sight { slots, hidden }
    };
    positions.iter().map(sight).collect()
}

/// What is added to the scores of the queries in the slots from `start` on: 0 where the key is of
/// the same row, no padding and within the query's span, else a value that leaves it
/// no weight. `(batch, 1, queries, slots)` in f32; `None` where it would be all zeros.
///
/// The value is finite, so that a query that may attend to nothing (padding) gives some numbers
/// and not NaN, which would spread.
pub(super) fn additive(
    positions: &[Vec<Option<u32>>],
    start: usize,
    span: AttentionSpan,
    device: &Device,
) -> Result<Option<Tensor>> {
    let slots = positions.first().map_or(0, Vec::len);
    let queries = slots - start;
    let mut mask = Vec::with_capacity(positions.len() * queries * slots);
    for row in positions {
        for query in &row[start..] {
            mask.extend(row.iter().map(|key| match (query, key) {
                (Some(query), Some(key)) if span.covers(*query, *key) => 0.0,
                _ => f32::MIN,
            }));
        }
    }
    if mask.iter().all(|&value| value == 0.0) {
        return Ok(None);
    }
    Ok(Some(Tensor::from_vec(mask, (positions.len(), 1, queries, slots), device)?))
}
