//! What `text-to-speech` returns.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::media::Audio;

/// A spoken text. Read from JSON, it has no samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
#[non_exhaustive]
pub struct SpokenText {
    /// The sound, which JSON does not hold.
    #[serde(skip)]
    pub audio: Audio,
    /// Samples per second.
    pub sampling_rate: u32,
    /// Where each part of the text is heard: its sentences, or the whole of it.
    pub parts: Vec<SpokenPart>,
}

/// A spoken text as JSON has it.
#[derive(Deserialize)]
struct Written {
    sampling_rate: u32,
    parts: Vec<SpokenPart>,
}

impl From<Written> for SpokenText {
    fn from(Written { sampling_rate, parts }: Written) -> Self {
        Self { audio: Audio { samples: Vec::new(), sampling_rate }, sampling_rate, parts }
    }
}

/// A part of a text and where it is heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpokenPart {
    /// What is said.
    pub text: String,
    /// The number of the first sample.
    pub start: usize,
    /// The number of the sample behind the last.
    pub end: usize,
    /// When its words are heard, where the model knows: VITS and Kokoro. A voice that is given phonemes has words of
    /// phonemes.
    pub words: Vec<SpokenSpan>,
    /// When its letters or phonemes are heard, as the voice reads them, where the model knows.
    pub symbols: Vec<SpokenSpan>,
}

/// A word, a letter or a phoneme, and where it is heard. As many samples as the sampling rate are a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpokenSpan {
    /// What is said.
    pub text: String,
    /// The number of the first sample.
    pub start: usize,
    /// The number of the sample behind the last.
    pub end: usize,
}

/// Where nothing can be said.
pub(super) fn nothing() -> Error {
    Error::input("nothing to speak: the text is empty, or the voice knows none of its characters")
}
