//! From text to sound by way of codes: music by MusicGen, speech and more by Bark, speech in any voice by XTTS.
//!
//! The models are in [`models::music`](crate::models::music) and [`models::bark`](crate::models::bark) and
//! [`models::speech`](crate::models::speech); what is
//! here are their loops, which are built on [`generation`](crate::generation)'s plans and steppers.

mod bark;
mod compose;
mod delay;
mod utter;
mod voice;

pub use bark::{
    BarkSettings, CoarseSettings, FineSettings, SemanticSettings, Spoken, Stage, Voice, speak,
};
pub use compose::{ComposeInput, Composed, compose};
pub use utter::{Utterance, Uttered, utter};
pub use voice::XttsSpeaker;
