//! The models of `text-to-audio`, and what they give.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::audio::{Audio, ChromaFeatureExtractor};
use crate::error::Result;
use crate::generation::GenerationConfig;
use crate::models::bark::Bark;
use crate::models::music::MusicGen;
use crate::sound::BarkSettings;
use crate::source::ModelFiles;

/// A model that makes sound by way of a codec's codes, and how it goes by default.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SoundModel {
    /// MusicGen.
    Music {
        /// The model.
        model: Arc<MusicGen>,
        /// Its `generation_config.json`.
        defaults: Box<GenerationConfig>,
        /// What hears melodies; `None` for a model that follows none.
        melodies: Option<Box<ChromaFeatureExtractor>>,
    },
    /// Bark.
    Bark {
        /// The model.
        model: Arc<Bark>,
        /// Its `generation_config.json`.
        settings: Box<BarkSettings>,
        /// Where its voices are.
        files: Option<Arc<ModelFiles>>,
    },
}

/// Sound that a text has become. Read from JSON, it has no channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GeneratedAudio {
    /// The samples of each channel, which JSON does not hold.
    #[serde(skip)]
    pub channels: Vec<Vec<f32>>,
    /// Samples of each channel per second.
    pub sampling_rate: u32,
}

impl GeneratedAudio {
    /// The sound of one channel, the mean of all.
    ///
    /// # Errors
    ///
    /// When a sample is no finite number.
    pub fn mono(&self) -> Result<Audio> {
        let samples = self.channels.first().map_or(0, Vec::len);
        let count = self.channels.len().max(1) as f32;
        let mean = |at: usize| self.channels.iter().map(|channel| channel[at]).sum::<f32>() / count;
        Audio::new((0..samples).map(mean).collect(), self.sampling_rate)
    }
}
