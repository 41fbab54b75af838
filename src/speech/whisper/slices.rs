//! A window's tokens, cut into parts at their timestamps.

use std::ops::Range;

use crate::speech::whisper::config::STRIDE;

/// The parts of a window, and where the next window begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slices {
    pub(super) parts: Vec<Slice>,
    /// Frames of features from the beginning of the window to that of the next.
    pub(super) advance: usize,
}

/// A part of a window.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slice {
    /// Its ids among those of the window.
    pub(super) ids: Range<usize>,
    /// In steps of 0.02 seconds from the beginning of the window.
    pub(super) start: usize,
    /// In steps of 0.02 seconds from the beginning of the window.
    pub(super) end: usize,
}

impl Slices {
    /// Cuts `ids`, without the end, of a window of `frames` frames (`_retrieve_segment`). Timestamps are the
    /// ids from `timestamp_begin` on.
    ///
    /// A pair of timestamps is where one part ends and the next begins. What follows the last pair is cut off
    /// in its middle and read again in the next window, unless it ends with a timestamp of its own: then
    /// nothing is said after it.
    pub(super) fn of(ids: &[u32], timestamp_begin: Option<u32>, frames: usize) -> Self {
        let is_timestamp = |id: u32| timestamp_begin.is_some_and(|begin| id >= begin);
        let steps = |id: u32| id.saturating_sub(timestamp_begin.unwrap_or(id)) as usize;
        let pairs: Vec<usize> = (1..ids.len())
            .filter(|&place| is_timestamp(ids[place - 1]) && is_timestamp(ids[place]))
            .collect();
        let Some(&last_pair) = pairs.last() else {
            let latest = ids.iter().rfind(|&&id| is_timestamp(id)).map(|&id| steps(id));
            let end = latest.filter(|&steps| steps > 0).unwrap_or_else(|| whole(frames));
            let parts = vec![Slice { ids: 0..ids.len(), start: 0, end }];
            return Self { parts, advance: frames };
        };
        let ends_alone =
            matches!(ids, [.., before, last] if !is_timestamp(*before) && is_timestamp(*last));
        let mut ends = pairs;
        match ends_alone {
            true => ends.push(ids.len()),
            // Both of the pair, which shows that it did not end alone.
            false => ends.iter_mut().rev().take(1).for_each(|end| *end += 1),
        }
        let mut parts = Vec::with_capacity(ends.len());
        let mut start = 0;
        for (number, &end) in ends.iter().enumerate() {
            let is_open = number + 1 == ends.len() && !ends_alone;
            let last = end.saturating_sub(if is_open { 2 } else { 1 });
            parts.push(Slice { ids: start..end, start: steps(ids[start]), end: steps(ids[last]) });
            start = end;
        }
        let advance = match ends_alone {
            true => frames,
            false => steps(ids[last_pair - 1]) * STRIDE,
        };
        Self { parts, advance }
    }
}

/// The steps of a whole window, computed in f32 as torch does.
fn whole(frames: usize) -> usize {
    (frames as f32 * 0.01 / 0.02) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Timestamps are the ids from 100 on.
    fn slices(ids: &[u32]) -> (Vec<(Range<usize>, usize, usize)>, usize) {
        let Slices { parts, advance } = Slices::of(ids, Some(100), 3000);
        (parts.into_iter().map(|part| (part.ids, part.start, part.end)).collect(), advance)
    }

    #[test]
    fn pairs_end_parts() {
        assert_eq!(
            slices(&[100, 1, 150, 150, 2, 170]),
            (vec![(0..3, 0, 50), (3..6, 50, 70)], 3000)
        );
        // The rest is heard again.
        assert_eq!(slices(&[100, 1, 150, 150, 2]), (vec![(0..4, 0, 50)], 100));
        assert_eq!(
            slices(&[100, 1, 150, 160, 2, 170, 170]),
            (vec![(0..3, 0, 50), (3..7, 60, 70)], 140)
        );
    }

    #[test]
    fn without_pairs_there_is_one_part() {
        assert_eq!(slices(&[100, 1, 2, 150]), (vec![(0..4, 0, 50)], 3000));
        assert_eq!(slices(&[100, 1, 2]), (vec![(0..3, 0, 1500)], 3000));
        assert_eq!(slices(&[]), (vec![(0..0, 0, 1500)], 3000));
        assert_eq!(slices(&[100]), (vec![(0..1, 0, 1500)], 3000));
        let Slices { parts, advance } = Slices::of(&[1, 500, 501], None, 1577);
        assert_eq!((parts[0].end, parts.len(), advance), (788, 1, 1577));
    }
}
