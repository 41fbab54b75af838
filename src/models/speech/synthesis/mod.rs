//! Models that speak.

pub mod kokoro;
pub mod speecht5;
pub mod traits;
pub mod vits;

mod hifigan;
mod lists;
mod open;

pub use kokoro::{KokoroModel, KokoroStages};
pub use speecht5::{SpeechT5ForTextToSpeech, SpeechT5HifiGan};
pub use traits::{Speech, SpeechRequest, TextToWaveform};
pub use vits::{VitsModel, VitsStages};
