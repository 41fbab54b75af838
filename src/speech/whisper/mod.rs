//! Whisper's `generate`: windows of recordings to tokens, segments and words with their times.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use sconce::audio::FeatureExtractor;
//! use sconce::speech::whisper::{Whisper, WhisperOptions};
//! use sconce::{LoadOptions, ModelSource};
//!
//! # fn main() -> sconce::Result<()> {
//! # let samples = vec![0.0; 16_000];
//! let files = ModelSource::from("openai/whisper-tiny").open()?;
//! let whisper = Whisper::from_files(&files, &LoadOptions::default())?;
//! let recording = FeatureExtractor::from_files(&files)?.extract(&samples, 16_000)?;
//!
//! let options = WhisperOptions::default().return_timestamps(true).return_token_timestamps(true);
//! let mut segments = whisper.stream(&[Arc::new(recording)], &options)?;
//! while let Some(segment) = segments.next() {
//!     let (_, segment) = segment?;
//!     println!("{:.2} to {:.2}:{}", segment.start, segment.end, segment.text);
//!     println!("{:.0} of {:.0} s", segments.progress().done, segments.progress().total);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # How a recording is read
//!
//! Recordings are read in windows of 30 seconds, one window of each at a time:
//!
//! 1. The encoder runs over the windows, once. What follows shares its result: beams, other temperatures, the
//!    detection of the language, and the times of words.
//! 2. At the beginning, the language is detected unless it is known.
//! 3. The decoder writes a text after its prompt: the language, the task, and with `condition_on_prev_tokens`
//!    the end of what was said before. Where the text repeats itself or is improbable, it is written once more
//!    at the next temperature. Where nobody speaks, it is dropped.
//! 4. Pairs of timestamps cut the text into [`Segment`]s. Behind the last pair the next window begins; a text
//!    that ends with a single timestamp is followed by silence, so the next window begins where this one ends.
//! 5. With `return_token_timestamps`, the decoder reads the text once more. The attention of some heads shows
//!    where each token was spoken.
//!
//! Reference: `models/whisper/generation_whisper.py` of transformers 4.57.6.

mod alignment;
mod compression;
mod config;
mod decoding;
mod model;
mod normalizers;
mod options;
mod parts;
mod run;
mod settings;
mod slices;
mod start;
mod stream;
mod timestamps;
mod transcribe;
mod transcription;
mod trim;
mod warping;

pub use compression::compression_ratio;
pub use config::WhisperConfig;
pub use model::Whisper;
pub use options::{PromptCondition, WhisperOptions};
pub use stream::SegmentStream;
pub use timestamps::TimestampRules;
pub use transcription::{AudioProgress, LanguageProbability, Segment, Transcription, Window, Word};
