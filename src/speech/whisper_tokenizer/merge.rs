//! What Whisper wrote about windows that overlap, as one transcript: `_decode_asr` of
//! `models/whisper/tokenization_whisper.py`.

use std::mem;

use crate::error::{Error, Result};
use crate::fields::choices;
use crate::speech::transcript::{Segment, Transcript, Word};
use crate::speech::whisper_tokenizer::WhisperTokenizer;
use crate::speech::whisper_tokenizer::decode::Windows;
use crate::speech::whisper_tokenizer::languages::language_name;
use crate::speech::whisper_tokenizer::overlap::{Run, join};

choices! {
    /// Which times a transcript has.
    #[derive(Default)]
    TimestampLevel, "timestamps" {
        /// None.
        #[default]
        None = "none",
        /// Of segments, by the timestamps that Whisper writes.
        Segments = "segments" | "segment",
        /// Of words, by the times of the tokens.
        Words = "words" | "word",
    }
}

/// How a window overlaps its neighbours, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stride {
    /// The length of the window, overlaps included.
    pub length: f64,
    /// What it has in common with the window before.
    pub left: f64,
    /// What it has in common with the window behind.
    pub right: f64,
}

/// What Whisper wrote about one window, or about a whole recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AsrOutput {
    /// The ids: timestamps, special tokens and a prompt may be among them.
    pub tokens: Vec<u32>,
    /// When each token ends, in seconds from the beginning of the window; for times of words.
    pub token_timestamps: Vec<f64>,
    /// How the window overlaps its neighbours; `None` for a whole recording.
    pub stride: Option<Stride>,
}

/// Puts the windows of one recording together, one after the other.
#[derive(Debug)]
pub struct AsrMerge {
    tokenizer: WhisperTokenizer,
    level: TimestampLevel,
    time_precision: f64,
    /// The segment that has begun.
    open: Segment,
    last_language: Option<&'static str>,
    time_offset: f64,
    /// What windows say about the open segment.
    previous: Vec<Run>,
    /// Whether the next timestamp only begins what the last one, in an overlap, would have ended.
    skips: bool,
}

impl WhisperTokenizer {
    /// The transcript of the windows of one recording. `time_precision` is the seconds from one timestamp
    /// to the next: 0.02 for every model of OpenAI's.
    ///
    /// The segments have no times without timestamps, and words only at the level of words.
    ///
    /// # Errors
    ///
    /// When times of words are asked for and a token has none.
    pub fn decode_asr(
        &self,
        outputs: &[AsrOutput],
        level: TimestampLevel,
        time_precision: f64,
    ) -> Result<Transcript> {
        let mut merge = AsrMerge::new(self, level, time_precision);
        let mut segments = Vec::new();
        for output in outputs {
            segments.extend(merge.push(output)?);
        }
        segments.extend(merge.finish()?);
        Ok(Transcript::of(segments))
    }
}

impl AsrMerge {
    /// For the windows of one recording; arguments as those of [`WhisperTokenizer::decode_asr`].
    #[must_use]
    pub fn new(tokenizer: &WhisperTokenizer, level: TimestampLevel, time_precision: f64) -> Self {
        Self {
            tokenizer: tokenizer.clone(),
            level,
            time_precision,
            open: Segment::default(),
            last_language: None,
            time_offset: 0.0,
            previous: Vec::new(),
            skips: false,
        }
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &WhisperTokenizer {
        &self.tokenizer
    }

    /// Adds what Whisper wrote about the next window, and returns the segments that no later window can
    /// change.
    ///
    /// # Errors
    ///
    /// When times of words are asked for and a token has none.
    pub fn push(&mut self, output: &AsrOutput) -> Result<Vec<Segment>> {
        let tokenizer = self.tokenizer.clone();
        let ids = tokenizer.without_prompt(&output.tokens);
        let has_words = self.level == TimestampLevel::Words;
        let overlap = self.overlap(ids, output.stride);
        let mut windows = Windows::new(self.time_precision);
        let mut current = Run::default();
        let mut complete = Vec::new();
        for (place, &id) in ids.iter().enumerate() {
            if tokenizer.is_special(id) {
                let token = tokenizer.tokenizer().id_to_token(id).unwrap_or_default();
                if let Some(language) = language_of(&token) {
                    let changes = self.last_language.is_some_and(|last| last != language);
                    if changes && self.level == TimestampLevel::None {
                        self.previous.push(mem::take(&mut current));
                        complete.push(self.close()?);
                    }
                    self.open.language = Some(language.to_owned());
                    self.last_language = Some(language);
                }
            } else if let Some(position) = tokenizer.timestamp(id) {
                windows.advance(position, || tokenizer.is_after_pair(ids, place));
                let time = f64::from(position) * self.time_precision;
                let time = round(time + self.time_offset + windows.earlier);
                if overlap.last.is_some_and(|last| id >= last) {
                    // In the overlap: the next window says more. What follows begins another segment,
                    // which is not for this window, either.
                    self.skips = true;
                } else if self.skips || (!self.previous.is_empty() && f64::from(id) < overlap.first)
                {
                    self.skips = false;
                } else if self.open.start.is_none() {
                    self.open.start = Some(time);
                } else if self.open.start != Some(time) {
                    self.open.end = Some(time);
                    self.previous.push(mem::take(&mut current));
                    complete.push(self.close()?);
                }
            } else {
                current.ids.push(id);
                if has_words {
                    current.times.push(self.times_of(place, &output.token_timestamps)?);
                }
            }
        }
        if let Some(stride) = output.stride {
            self.time_offset += stride.length - stride.right;
        }
        if !current.ids.is_empty() {
            self.previous.push(current);
        } else if self.previous.iter().all(|run| run.ids.is_empty()) {
            self.open = self.begun();
            self.previous.clear();
        }
        Ok(complete)
    }

    /// The last segment, whose end Whisper may not have written.
    ///
    /// # Errors
    ///
    /// As [`push`](Self::push).
    pub fn finish(&mut self) -> Result<Option<Segment>> {
        match self.previous.is_empty() {
            true => Ok(None),
            false => self.close().map(Some),
        }
    }

    /// The timestamps of a window that its neighbours say more about.
    fn overlap(&mut self, ids: &[u32], stride: Option<Stride>) -> Overlap {
        let begin = f64::from(self.tokenizer.timestamp_begin());
        let mut overlap = Overlap { first: begin, last: None };
        let Some(Stride { length, left, right }) = stride else { return overlap };
        self.time_offset -= left;
        if left != 0.0 {
            overlap.first = left / self.time_precision + begin;
        }
        if right != 0.0 {
            for &id in ids.iter().rev() {
                let Some(position) = self.tokenizer.timestamp(id) else { continue };
                // The last one is left to the next window, wherever it is.
                let is_before = f64::from(position) * self.time_precision < length - right;
                if overlap.last.is_some() && is_before {
                    break;
                }
                overlap.last = Some(id);
            }
        }
        overlap
    }

    /// When the token at a place begins and ends.
    fn times_of(&self, place: usize, ends: &[f64]) -> Result<(f64, f64)> {
        let end = |place: usize| {
            let missing = || Error::input(format!("token {place} has no time, which words need"));
            ends.get(place).map(|end| round(end + self.time_offset)).ok_or_else(missing)
        };
        let start = match place.checked_sub(1) {
            Some(before) => end(before)?,
            None => round(self.time_offset),
        };
        Ok((start, end(place)?))
    }

    /// Ends the open segment with all that is said about it, and begins another.
    fn close(&mut self) -> Result<Segment> {
        let has_words = self.level == TimestampLevel::Words;
        let run = join(&mem::take(&mut self.previous), has_words);
        let begun = self.begun();
        let mut segment = mem::replace(&mut self.open, begun);
        segment.text = self.tokenizer.decode(&run.ids, false)?;
        if has_words {
            let words = self.tokenizer.words(&run.ids, self.last_language)?;
            let timed = words.into_iter().map(|(text, range)| {
                let times = &run.times[range];
                Word {
                    text,
                    start: times.first().map(|(start, _)| *start),
                    end: times.last().map(|(_, end)| *end),
                    speaker: None,
                }
            });
            segment.words = timed.collect();
        }
        Ok(segment)
    }

    fn begun(&self) -> Segment {
        let language = self.last_language.map(str::to_owned);
        Segment { language, ..Segment::default() }
    }
}

/// Which timestamps lie in the overlaps of a window.
struct Overlap {
    /// Ids before this lie in the left one.
    first: f64,
    /// Ids from this on lie in the right one.
    last: Option<u32>,
}

/// The name of the language whose token this is.
fn language_of(token: &str) -> Option<&'static str> {
    language_name(token.strip_prefix("<|")?.strip_suffix("|>")?)
}

/// To hundredths, as Python rounds: by the exact value, of which no multiplication is.
fn round(seconds: f64) -> f64 {
    format!("{seconds:.2}").parse().unwrap_or(seconds)
}
