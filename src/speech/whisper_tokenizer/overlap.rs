//! Texts of overlapping windows put together: `_find_longest_common_sequence` of
//! `models/whisper/tokenization_whisper.py`.

/// Ids, and when each begins and ends; times are there for all or for none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Run {
    pub(super) ids: Vec<u32>,
    pub(super) times: Vec<(f64, f64)>,
}

/// One run of several of which each overlaps the next. Where two overlap, the left one is believed in the
/// first half and the right one in the second.
pub(super) fn join(runs: &[Run], has_times: bool) -> Run {
    let mut joined = Run::default();
    let Some((first, rest)) = runs.split_first() else { return joined };
    let (mut left, mut left_from) = (first, 0);
    for right in rest {
        let (left_middle, right_middle) =
            middles(&left.slice(left_from, has_times), right, has_times);
        joined.extend(left, left_from..left_from + left_middle, has_times);
        (left, left_from) = (right, right_middle);
    }
    joined.extend(left, left_from..left.ids.len(), has_times);
    joined
}

/// Where the left run ends and the right one goes on.
fn middles(left: &RunSlice<'_>, right: &Run, has_times: bool) -> (usize, usize) {
    let (left_length, right_length) = (left.ids.len(), right.ids.len());
    let mut best = 0.0;
    let mut found = (left_length, 0);
    for shift in 1..left_length + right_length {
        let (left_start, left_stop) = (
            left_length.saturating_sub(shift),
            left_length.min(left_length + right_length - shift),
        );
        let (right_start, right_stop) =
            (shift.saturating_sub(left_length), right_length.min(shift));
        let pairs = (left_start..left_stop).zip(right_start..right_stop);
        let matches = pairs.filter(|&(l, r)| {
            left.ids[l] == right.ids[r] && (!has_times || left.times[l] <= right.times[r])
        });
        let matches = matches.count();
        // Long matches go before short ones that are as good.
        let matching = matches as f64 / shift as f64 + shift as f64 / 10_000.0;
        if matches > 1 && matching > best {
            best = matching;
            found = ((left_stop + left_start) / 2, (right_stop + right_start) / 2);
        }
    }
    found
}

struct RunSlice<'a> {
    ids: &'a [u32],
    times: &'a [(f64, f64)],
}

impl Run {
    fn slice(&self, from: usize, has_times: bool) -> RunSlice<'_> {
        let times = if has_times { &self.times[from..] } else { &[] };
        RunSlice { ids: &self.ids[from..], times }
    }

    fn extend(&mut self, other: &Self, range: std::ops::Range<usize>, has_times: bool) {
        self.ids.extend(&other.ids[range.clone()]);
        if has_times {
            self.times.extend(&other.times[range]);
        }
    }
}
