//! Speech to text with models of one's own choice: what the pipeline `automatic-speech-recognition` is built on. And
//! what voices read.

pub mod activity;
pub mod ctc;
mod error_rate;
mod kokoro_tokenizer;
pub mod normalizer;
pub mod speakers;
mod spoken;
pub mod transcript;
mod vits_tokenizer;
pub mod whisper;
mod whisper_tokenizer;
mod xtts;

pub use error_rate::{ErrorRate, character_error_rate, word_error_rate};
pub use kokoro_tokenizer::KokoroTokenizer;
pub use spoken::SpokenIds;
pub use vits_tokenizer::VitsTokenizer;
pub use whisper_tokenizer::{
    AsrMerge, AsrOutput, LANGUAGES, Stride, TimestampLevel, WhisperTask, WhisperTokenizer,
    language_code, language_name,
};
pub use xtts::XttsTokenizer;
