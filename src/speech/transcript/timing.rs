//! Times that are there: what a file of subtitles needs of segments whose times may be missing.

use crate::speech::transcript::Segment;

/// What is said between two times, in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timed {
    pub(super) text: String,
    pub(super) start: f64,
    pub(super) end: f64,
}

/// A segment whose times are known, and its words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TimedSegment {
    pub(super) whole: Timed,
    pub(super) words: Vec<Timed>,
}

/// Gives times to segments that have none: a missing start is the end of what was before, and a missing
/// end is the start of what follows. So a segment without an end waits for the next.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// When the last segment ended.
    now: f64,
    waiting: Option<Segment>,
}

impl Clock {
    /// The segments that are complete now.
    pub(super) fn push(&mut self, segment: &Segment) -> Vec<TimedSegment> {
        let mut complete = Vec::new();
        if let Some(waiting) = self.waiting.take() {
            complete.push(self.timed(waiting, segment.start));
        }
        match self.end_of(segment) {
            Some(_) => complete.push(self.timed(segment.clone(), None)),
            None => self.waiting = Some(segment.clone()),
        }
        complete
    }

    /// The last segment, if it still waits for its end.
    pub(super) fn finish(&mut self, duration: Option<f64>) -> Option<TimedSegment> {
        let waiting = self.waiting.take()?;
        let start = known(waiting.start.unwrap_or(self.now));
        Some(self.timed(waiting, Some(duration.unwrap_or(start + LAST_SECONDS))))
    }

    fn end_of(&self, segment: &Segment) -> Option<f64> {
        segment.end.or_else(|| segment.words.last().and_then(|word| word.end))
    }

    fn timed(&mut self, segment: Segment, next: Option<f64>) -> TimedSegment {
        let start = segment.start.or_else(|| segment.words.first().and_then(|word| word.start));
        let start = known(start.unwrap_or(self.now));
        let end = self.end_of(&segment).or(next).map_or(start, known).max(start);
        let mut now = start;
        let mut words: Vec<Timed> = Vec::with_capacity(segment.words.len());
        for word in segment.words {
            let from = word.start.map_or(now, known);
            let to = word.end.map_or(from, known).max(from);
            now = to;
            words.push(Timed { text: word.text, start: from, end: to });
        }
        self.now = end;
        TimedSegment { whole: Timed { text: segment.text, start, end }, words }
    }
}

/// Milliseconds, rounded as Python rounds.
pub(super) fn milliseconds(seconds: f64) -> u64 {
    // Times that no recording has end at the largest number.
    (seconds * 1000.0).round_ties_even() as u64
}

/// A time that can be written: none is negative or no number.
fn known(seconds: f64) -> f64 {
    seconds.max(0.0)
}

/// How long the last segment is shown where nobody knows when it ends.
const LAST_SECONDS: f64 = 2.0;
