//! Sound: what speech models read of it.

mod features;

pub use crate::media::Audio;
pub use features::AudioFeatures;
