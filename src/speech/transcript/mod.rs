//! What was said, and when: transcripts and the files that they are written to.
//!
//! ```
//! use sconce::speech::transcript::{Segment, Transcript, TranscriptFormat};
//!
//! let transcript = Transcript::of([
//!     Segment::new(" Good morning.").between(0.0, 1.5),
//!     Segment::new(" Let us begin.").between(1.5, 2.75),
//! ]);
//! let subtitles = transcript.to_text(TranscriptFormat::Srt, &Default::default())?;
//! assert!(subtitles.starts_with("1\n00:00:00,000 --> 00:00:01,500\nGood morning.\n\n2\n"));
//! # Ok::<(), sconce::Error>(())
//! ```

mod cues;
mod format;
mod timing;
mod writer;

use serde::{Deserialize, Serialize};

use crate::speech::speakers::{SpeakerTurn, speaker_between};

pub use format::{TranscriptFormat, TranscriptOptions};
pub use writer::TranscriptWriter;

/// What was said in a recording.
///
/// As JSON it has the fields of OpenAI's whisper: `text`, `segments` with `start`, `end`, `text` and
/// `words`, and `language`. Other fields are ignored when it is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Transcript {
    /// Everything that was said.
    pub text: String,
    /// What was said, piece by piece.
    pub segments: Vec<Segment>,
    /// The language, as whoever made the transcript names it: `english` or `en`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// A piece of a transcript: a sentence or what was said without a pause.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Segment {
    /// When it begins, in seconds from the beginning of the recording, if known.
    pub start: Option<f64>,
    /// When it ends, in seconds, if known.
    pub end: Option<f64>,
    /// What was said, with the space before it.
    pub text: String,
    /// The language, where it is known for the segment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Who speaks most of the time, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// Its words with their times, where the model gives them; characters, where those were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

/// A word of a transcript.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Word {
    /// The word, with the space before it and the punctuation behind it.
    #[serde(rename = "word")]
    pub text: String,
    /// When it begins, in seconds from the beginning of the recording, if known.
    pub start: Option<f64>,
    /// When it ends, in seconds, if known.
    pub end: Option<f64>,
    /// Who says it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
}

impl Transcript {
    /// The transcript of some segments: its text is theirs, its language that of the first.
    #[must_use]
    pub fn of(segments: impl IntoIterator<Item = Segment>) -> Self {
        let segments: Vec<_> = segments.into_iter().collect();
        let text = segments.iter().map(|segment| segment.text.as_str()).collect();
        let language = segments.iter().find_map(|segment| segment.language.clone());
        Self { text, segments, language }
    }

    /// Names who speaks in segments and words that have times: of each the one who speaks most of its time, or
    /// nobody where nobody does.
    pub fn assign_speakers(&mut self, turns: &[SpeakerTurn]) {
        for segment in &mut self.segments {
            segment.assign_speakers(turns);
        }
    }

    /// All words, in order; none where the segments have none.
    pub fn words(&self) -> impl Iterator<Item = &Word> {
        self.segments.iter().flat_map(|segment| &segment.words)
    }
}

impl Segment {
    /// A segment without times.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// The segment from `start` to `end`, in seconds.
    #[must_use]
    pub fn between(self, start: f64, end: f64) -> Self {
        Self { start: Some(start), end: Some(end), ..self }
    }

    /// The segment with its words.
    #[must_use]
    pub fn with_words(self, words: impl IntoIterator<Item = Word>) -> Self {
        Self { words: words.into_iter().collect(), ..self }
    }

    /// As [`Transcript::assign_speakers`].
    pub fn assign_speakers(&mut self, turns: &[SpeakerTurn]) {
        let speaker = |start: Option<f64>, end: Option<f64>| {
            speaker_between(turns, start?, end?).map(str::to_owned)
        };
        self.speaker = speaker(self.start, self.end);
        for word in &mut self.words {
            word.speaker = speaker(word.start, word.end);
        }
    }

    /// The segment, said so many seconds later.
    #[must_use]
    pub fn delayed(mut self, seconds: f64) -> Self {
        let later = |time: Option<f64>| time.map(|time| time + seconds);
        (self.start, self.end) = (later(self.start), later(self.end));
        for word in &mut self.words {
            (word.start, word.end) = (later(word.start), later(word.end));
        }
        self
    }
}

impl Word {
    /// A word from `start` to `end`, in seconds.
    #[must_use]
    pub fn new(text: impl Into<String>, start: f64, end: f64) -> Self {
        Self { text: text.into(), start: Some(start), end: Some(end), speaker: None }
    }
}
