//! From text to sound by way of a codec's codes: music by MusicGen, speech and more by Bark.
//!
//! The models are in [`models::music`](crate::models::music) and [`models::bark`](crate::models::bark); what is
//! here are their loops, which are built on [`generation`](crate::generation)'s plans and steppers.

mod bark;
mod compose;
mod delay;

pub use bark::{
    BarkSettings, CoarseSettings, FineSettings, SemanticSettings, Spoken, Stage, Voice, speak,
};
pub use compose::{ComposeInput, Composed, compose};
