//! Models that hear.

mod traits;

pub use traits::{Ctc, SpeechSeq2Seq};
