//! What Whisper returns.

use serde::{Deserialize, Serialize};

/// What Whisper wrote about one recording.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transcription {
    /// The code of the language that Whisper was asked for or detected, `"en"`; that of models which know
    /// English alone. `None` where the prompt names none.
    pub language: Option<String>,
    /// The parts of the text, in the order of their times.
    pub segments: Vec<Segment>,
    /// The windows in which the recording was read, in the order of their times.
    pub windows: Vec<Window>,
    /// Seconds of the recording.
    pub duration: f64,
    /// Whether it was cancelled before its end.
    pub cancelled: bool,
}

impl Transcription {
    /// All ids, timestamps included, without prompts and without ends: what `generate` of transformers
    /// returns as `sequences`.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.segments.iter().flat_map(|segment| &segment.ids).copied().collect()
    }

    /// The text of all segments.
    #[must_use]
    pub fn text(&self) -> String {
        self.segments.iter().map(|segment| segment.text.as_str()).collect()
    }
}

/// A part of a text, from one timestamp to the next; without timestamps all that was written about a
/// window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Segment {
    /// Seconds from the beginning of the recording.
    pub start: f64,
    /// Seconds from the beginning of the recording.
    pub end: f64,
    /// What Whisper wrote, timestamps included.
    pub ids: Vec<u32>,
    /// The same as text, without timestamps and special tokens.
    pub text: String,
    /// When each of `ids` ends, in seconds from the beginning of the recording (`token_timestamps`); empty
    /// without `return_token_timestamps`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_times: Vec<f64>,
    /// The words of `text` with their times; empty without `return_token_timestamps`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
    /// The place in [`Transcription::windows`] of the window that was heard.
    pub window: usize,
    /// [`Window::temperature`] of that window.
    pub temperature: f64,
    /// [`Window::avg_logprob`] of that window.
    pub avg_logprob: f32,
    /// [`Window::compression_ratio`] of that window.
    pub compression_ratio: f64,
    /// [`Window::no_speech_prob`] of that window.
    pub no_speech_prob: Option<f32>,
}

/// A word with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Word {
    /// The word, with the space before it and the punctuation around it.
    pub text: String,
    /// Seconds from the beginning of the recording.
    pub start: f64,
    /// Seconds from the beginning of the recording.
    pub end: f64,
    /// How probable its tokens were, on average, from 0 to 1.
    pub probability: f32,
}

/// How Whisper read one window of a recording, 30 seconds or less.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Window {
    /// Seconds from the beginning of the recording.
    pub start: f64,
    /// Seconds from the beginning of the recording.
    pub end: f64,
    /// The tokens that the decoder began with.
    pub prompt: Vec<u32>,
    /// The tokens that it wrote, the end included.
    pub ids: Vec<u32>,
    /// The natural logarithm of the probability of each of `ids`, after all processors and without the
    /// temperature.
    pub logprobs: Vec<f32>,
    /// The temperature that the tokens were drawn with; 0 where the likeliest were taken.
    pub temperature: f64,
    /// The mean of `logprobs`.
    pub avg_logprob: f32,
    /// How much smaller zlib makes the ids: above 2 where Whisper repeats itself.
    pub compression_ratio: f64,
    /// How probable it is that nobody speaks, from 0 to 1; `None` without `no_speech_threshold`.
    pub no_speech_prob: Option<f32>,
    /// Whether the window was skipped because nobody speaks in it.
    pub skipped: bool,
}

/// How probable it is that a language is spoken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LanguageProbability {
    /// The code, `"en"`.
    pub language: String,
    /// From 0 to 1; those of all languages add up to 1.
    pub probability: f32,
}

/// How much of a recording has been transcribed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AudioProgress {
    /// Seconds that are done.
    pub done: f64,
    /// Seconds in all.
    pub total: f64,
}
