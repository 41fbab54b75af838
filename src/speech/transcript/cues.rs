//! Subtitles of segments, as the `SubtitlesWriter` of OpenAI's whisper makes them.

use crate::speech::transcript::TranscriptOptions;
use crate::speech::transcript::timing::{Timed, TimedSegment, milliseconds};

/// What is shown between two times, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cue {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) text: String,
}

/// Puts words into lines and lines into subtitles.
#[derive(Debug)]
pub(super) struct Cues {
    /// What becomes of a text in this format.
    escape: fn(&str) -> String,
    highlights: bool,
    max_line_count: Option<usize>,
    max_line_width: usize,
    max_words_per_line: usize,
    /// Whether every segment begins a subtitle.
    keeps_segments: bool,
    /// Words that no subtitle has shown yet; those that begin a line begin with a line break.
    open: Vec<Timed>,
    /// Characters of the last line, and lines of the open subtitle.
    line_length: usize,
    line_count: usize,
    /// When the last word began.
    last: Option<f64>,
}

impl Cues {
    pub(super) fn new(options: &TranscriptOptions, escape: fn(&str) -> String) -> Self {
        Self {
            escape,
            highlights: options.highlight_words.unwrap_or(false),
            max_line_count: options.max_line_count,
            max_line_width: options.max_line_width.unwrap_or(NO_LIMIT),
            max_words_per_line: options.max_words_per_line.unwrap_or(NO_LIMIT),
            keeps_segments: options.max_line_count.is_none() || options.max_line_width.is_none(),
            open: Vec::new(),
            line_length: 0,
            line_count: 1,
            last: None,
        }
    }

    /// The subtitles that are complete now.
    pub(super) fn push(&mut self, segment: TimedSegment) -> Vec<Cue> {
        let mut complete = Vec::new();
        if segment.words.is_empty() {
            self.flush(&mut complete);
            let Timed { text, start, end } = segment.whole;
            let text = (self.escape)(text.trim());
            let (start, end) = (milliseconds(start), milliseconds(end));
            complete.push(Cue { start, end, text });
            return complete;
        }
        for line in segment.words.chunks(self.max_words_per_line) {
            for (index, word) in line.iter().enumerate() {
                self.add(index == 0 && self.keeps_segments, word.clone(), &mut complete);
            }
        }
        // The next segment would do it.
        if self.keeps_segments {
            self.flush(&mut complete);
        }
        complete
    }

    /// The last subtitle.
    pub(super) fn finish(&mut self) -> Vec<Cue> {
        let mut complete = Vec::new();
        self.flush(&mut complete);
        complete
    }

    fn add(&mut self, breaks: bool, mut word: Timed, complete: &mut Vec<Cue>) {
        let long_pause =
            !self.keeps_segments && word.start - self.last.unwrap_or(word.start) > LONG_PAUSE;
        let breaks = breaks && !self.open.is_empty();
        let has_room = self.line_length + length(&word.text) <= self.max_line_width;
        self.last = Some(word.start);
        if self.line_length > 0 && has_room && !long_pause && !breaks {
            self.line_length += length(&word.text);
            self.open.push(word);
            return;
        }
        word.text = word.text.trim().to_owned();
        let is_full = self
            .max_line_count
            .is_some_and(|most| !self.open.is_empty() && (long_pause || self.line_count >= most));
        let before = self.line_length;
        self.line_length = length(&word.text);
        if is_full || breaks {
            let length = self.line_length;
            self.flush(complete);
            self.line_length = length;
        } else if before > 0 {
            self.line_count += 1;
            word.text.insert(0, '\n');
        }
        self.open.push(word);
    }

    /// Ends the open subtitle.
    fn flush(&mut self, complete: &mut Vec<Cue>) {
        let words = std::mem::take(&mut self.open);
        (self.line_count, self.line_length) = (1, 0);
        let (Some(first), Some(last)) = (words.first(), words.last()) else { return };
        let texts: Vec<_> = words.iter().map(|word| (self.escape)(&word.text)).collect();
        let (start, end) = (milliseconds(first.start), milliseconds(last.end));
        if !self.highlights {
            complete.push(Cue { start, end, text: texts.concat() });
            return;
        }
        let mut shown = start;
        for (at, word) in words.iter().enumerate() {
            let (start, end) = (milliseconds(word.start), milliseconds(word.end));
            if shown != start {
                complete.push(Cue { start: shown, end: start, text: texts.concat() });
            }
            let underlined = |(index, text): (usize, &String)| match index == at {
                true => underlined(text),
                false => text.clone(),
            };
            let text = texts.iter().enumerate().map(underlined).collect();
            complete.push(Cue { start, end, text });
            shown = end;
        }
    }
}

/// The text underlined, but for the space before it.
fn underlined(text: &str) -> String {
    let word = text.trim_start();
    let space = &text[..text.len() - word.len()];
    format!("{space}<u>{word}</u>")
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Of lines, where none is asked for.
const NO_LIMIT: usize = 1000;

/// Seconds without a word after which a new subtitle begins.
const LONG_PAUSE: f64 = 3.0;
