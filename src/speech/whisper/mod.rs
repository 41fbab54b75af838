//! Whisper's `generate`: windows of recordings to tokens, segments and words with their times.
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
