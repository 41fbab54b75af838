//! XTTS 2: speaks 17 languages in a voice that it has heard for some seconds.
//!
//! Source: `TTS/tts/models/xtts.py` and `TTS/tts/layers/xtts` of coqui-tts 0.28.0. A GPT writes codes of a voice and a
//! text; what it knew before each code goes to HiFi-GAN, which the speaker's embedding conditions.
//! <https://arxiv.org/abs/2406.04904>

mod cloning;
mod config;
mod decoding;
mod gpt;
mod model;
mod speaker;
mod style;
mod voice;

pub use config::{XttsCloning, XttsConfig, XttsSampling};
pub use decoding::XttsDecoding;
pub use gpt::XttsStep;
pub use model::Xtts;
pub use voice::XttsVoice;
