//! Models that speak.

pub mod kokoro;
pub mod speecht5;
pub mod traits;
pub mod vits;
pub mod xtts;

mod hifigan;
mod lists;
mod open;

pub use kokoro::{KokoroModel, KokoroStages};
pub use speecht5::{SpeechT5ForTextToSpeech, SpeechT5HifiGan};
pub use traits::{Speech, SpeechPiece, SpeechPieces, SpeechRequest, TextToWaveform};
pub use vits::{VitsModel, VitsStages};
pub use xtts::{Xtts, XttsCloning, XttsConfig, XttsDecoding, XttsSampling, XttsStep, XttsVoice};
