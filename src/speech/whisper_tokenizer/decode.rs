//! From ids to text, with and without timestamps.

use std::sync::LazyLock;

use regex::Regex;

use crate::error::Result;
use crate::speech::transcript::Segment;
use crate::speech::whisper_tokenizer::WhisperTokenizer;

impl WhisperTokenizer {
    /// The text of ids, without timestamps. Without special tokens the prompt before
    /// `<|startoftranscript|>` is left out, too.
    ///
    /// # Errors
    ///
    /// When the tokenizer's decoder fails, which only a broken file can cause.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        let ids = if skip_special_tokens { self.without_prompt(ids) } else { ids };
        let text = self.tokenizer.decode(ids, skip_special_tokens)?;
        Ok(match TIMESTAMP.as_ref() {
            Some(timestamp) => timestamp.replace_all(&text, "").into_owned(),
            None => text,
        })
    }

    /// The text of ids with its timestamps, `<|1.08|>`, which go on from window to window:
    /// `decode_with_timestamps` of transformers. A timestamp is `time_precision` seconds later than the
    /// one before: 0.02 for every model of OpenAI's.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_with_timestamps(
        &self,
        ids: &[u32],
        skip_special_tokens: bool,
        time_precision: f64,
    ) -> Result<String> {
        let ids = if skip_special_tokens { self.without_prompt(ids) } else { ids };
        let mut windows = Windows::new(time_precision);
        let mut parts = vec![Part::Ids(Vec::new())];
        for (place, &id) in ids.iter().enumerate() {
            match self.timestamp(id) {
                Some(position) => {
                    if windows.advance(position, || self.is_after_pair(ids, place)) {
                        parts.truncate(parts.len() - 2);
                    }
                    parts.push(Part::Timestamp(windows.now + windows.earlier));
                    parts.push(Part::Ids(Vec::new()));
                }
                None => match parts.last_mut() {
                    Some(Part::Ids(ids)) => ids.push(id),
                    _ => parts.push(Part::Ids(vec![id])),
                },
            }
        }
        let texts = parts.iter().map(|part| match part {
            Part::Timestamp(seconds) => Ok(format!("<|{seconds:.2}|>")),
            Part::Ids(ids) => self.decode(ids, skip_special_tokens),
        });
        texts.collect()
    }

    /// What stands between the timestamps of ids, with the times: `output_offsets` of transformers.
    /// `time_precision` is as in [`decode_with_timestamps`](Self::decode_with_timestamps).
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn offsets(&self, ids: &[u32], time_precision: f64) -> Result<Vec<Segment>> {
        let places: Vec<_> =
            (0..ids.len()).filter(|&place| self.timestamp(ids[place]).is_some()).collect();
        let mut ends: Vec<_> =
            places.windows(2).filter(|pair| pair[0] + 1 == pair[1]).map(|pair| pair[1]).collect();
        let (Some(&first), Some(&last)) = (places.first(), places.last()) else {
            return Ok(Vec::new());
        };
        if ends.is_empty() && places.len() <= 1 {
            return Ok(Vec::new());
        }
        if !ends.contains(&(last + 1)) {
            ends.push(last + 1);
        }
        let begin = i64::from(self.timestamp_begin());
        let (mut from, mut latest, mut earlier) = (first, 0, 0);
        let mut segments = Vec::new();
        for to in ends {
            let slice = &ids[from..to];
            if let [start, .., end] = slice {
                let (start, end) = (i64::from(*start) - begin, i64::from(*end) - begin);
                if start < latest {
                    let follows_pair = from < 2
                        || (self.timestamp(ids[from - 2]).is_some()
                            && self.timestamp(ids[from - 1]).is_some());
                    earlier += if follows_pair { latest } else { SEGMENT_SIZE };
                }
                latest = end;
                let time = |position: i64| {
                    position as f64 * time_precision + earlier as f64 * time_precision
                };
                let text = self.decode(slice, false)?;
                segments.push(Segment::new(text).between(time(start), time(end)));
            }
            from = to;
        }
        Ok(segments)
    }

    /// The ids from `<|startoftranscript|>` on, where a prompt stands before it.
    pub(super) fn without_prompt<'a>(&self, ids: &'a [u32]) -> &'a [u32] {
        if ids.is_empty() || self.start_of_prev != Some(ids[0]) {
            return ids;
        }
        let start = ids.iter().position(|&id| id == self.start_of_transcript);
        start.map_or(&[], |start| &ids[start..])
    }

    /// How many steps a timestamp lies behind `<|0.00|>`.
    pub(super) fn timestamp(&self, id: u32) -> Option<u32> {
        id.checked_sub(self.timestamp_begin())
    }

    /// Whether the two ids before this place are timestamps, or there are none.
    pub(super) fn is_after_pair(&self, ids: &[u32], place: usize) -> bool {
        place < 2
            || (self.timestamp(ids[place - 1]).is_some()
                && self.timestamp(ids[place - 2]).is_some())
    }
}

/// Timestamps count from the beginning of their window: the windows that a long text goes through.
pub(super) struct Windows {
    time_precision: f64,
    /// The last timestamp, in seconds of its window.
    pub(super) now: f64,
    /// The one before.
    before: f64,
    /// Seconds of the windows before.
    pub(super) earlier: f64,
}

impl Windows {
    pub(super) fn new(time_precision: f64) -> Self {
        Self { time_precision, now: 0.0, before: 0.0, earlier: 0.0 }
    }

    /// Goes on to a timestamp; one before the last begins another window. Returns whether the last two
    /// timestamps stood side by side then, so that the window ended before the second.
    pub(super) fn advance(&mut self, position: u32, is_after_pair: impl Fn() -> bool) -> bool {
        let time = f64::from(position) * self.time_precision;
        let mut ends_before = false;
        if time < self.now {
            if is_after_pair() {
                ends_before = true;
                self.now = self.before;
                self.earlier += self.before;
            } else {
                self.earlier += self.time_precision * SEGMENT_SIZE as f64;
            }
        }
        (self.before, self.now) = (self.now, time);
        ends_before
    }
}

enum Part {
    Ids(Vec<u32>),
    Timestamp(f64),
}

/// Timestamps of a window of 30 seconds.
const SEGMENT_SIZE: i64 = 1500;

/// Timestamps that are in the vocabulary come out as text.
static TIMESTAMP: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"<\|(\d+\.\d+)\|>").ok());
