//! Models that hear.

pub mod config;
pub mod ctc;

pub(crate) mod families;

mod convolution;
mod encoder;
mod family;
mod seq2seq;
mod traits;

pub use config::SpeechSeq2SeqConfig;
pub use encoder::ConvolutionalEncoder;
pub(crate) use family::Family;
pub use seq2seq::WhisperForConditionalGeneration;
pub use traits::{AudioClassifier, Ctc, SpeechSeq2Seq};
