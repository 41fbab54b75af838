//! Sound: what speech models read of it.

mod extractor;
mod features;
mod log_mel;
mod mel;
mod window;

pub use crate::media::Audio;
pub use extractor::{
    AstFeatureConfig, AstFeatureExtractor, FeatureExtractor, SeamlessM4TFeatureConfig,
    SeamlessM4TFeatureExtractor, Wav2Vec2FeatureConfig, Wav2Vec2FeatureExtractor,
    WhisperFeatureConfig, WhisperFeatureExtractor, WhisperFeatureStream,
};
pub use features::AudioFeatures;
