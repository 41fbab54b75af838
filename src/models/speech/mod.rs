//! Models that hear.

pub mod config;
pub mod ctc;
pub mod synthesis;

pub(crate) mod families;

mod clap;
mod convolution;
mod encoder;
mod family;
mod open;
mod patches;
mod seq2seq;
mod spectrogram;
mod traits;

pub use config::SpeechSeq2SeqConfig;
pub use encoder::ConvolutionalEncoder;
pub(crate) use family::Family;
pub use seq2seq::WhisperForConditionalGeneration;
pub use synthesis::{
    KokoroModel, KokoroStages, Speech, SpeechPiece, SpeechPieces, SpeechRequest,
    SpeechT5ForTextToSpeech, SpeechT5HifiGan, TextToWaveform, VitsModel, VitsStages, Xtts,
    XttsCloning, XttsConfig, XttsDecoding, XttsSampling, XttsStep, XttsVoice,
};
pub use traits::{
    AudioClassifier, AudioTextModel, Ctc, LogitScales, SpeakerEncoder, SpeechSeq2Seq,
};
