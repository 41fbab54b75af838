//! `automatic-speech-recognition`: what is said in a recording, and when.
//!
//! Mirrors `pipelines/automatic_speech_recognition.py` of transformers 4.57.

mod chunks;
mod model;
mod options;
mod output;
mod rows;
#[cfg(feature = "remote")]
mod served;
mod steps;
mod stream;
mod work;
mod written;

pub use model::AutomaticSpeechRecognitionPipeline;
pub use options::{
    AudioProgressCall, AutomaticSpeechRecognitionOptions, ReturnTimestamps, SpeakersOf,
    StrideLength,
};
pub use stream::TranscriptStream;
