//! `text-to-audio`: music and speech by models that write a codec's codes, MusicGen and Bark.
//!
//! Mirrors `pipelines/text_to_audio.py` of transformers 4.57. Ours are `voice_preset`, `prompt`, `melody`, `seed` and
//! `cancel`.

mod model;
mod options;
mod work;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::audio::{Audio, ChromaFeatureExtractor};
use crate::error::Result;
use crate::generation::GenerationConfig;
use crate::media::Media;
use crate::models::AutoModel;
use crate::models::bark::Bark;
use crate::models::music::MusicGen;
use crate::options::LoadOptions;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};
use crate::sound::BarkSettings;
use crate::source::ModelFiles;
use crate::tokenizer::Tokenizer;
pub use model::{GeneratedAudio, SoundModel};
pub use options::TextToAudioOptions;
use work::Sounding;

/// Turns texts into music, speech and noises.
///
#[doc = include_str!("../../../docs/tasks/text-to-audio.md")]
#[derive(Debug, Clone)]
pub struct TextToAudioPipeline {
    model: SoundModel,
    tokenizer: Tokenizer,
}

impl TextToAudioPipeline {
    /// A pipeline of a loaded model and its tokenizer; both stay shared.
    #[must_use]
    pub fn from_parts(model: SoundModel, tokenizer: Tokenizer) -> Self {
        Self { model, tokenizer }
    }

    pub(super) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let is_bark = architecture(files)?.as_deref() == Some("bark");
        let model = match is_bark {
            true => {
                let settings = Box::new(BarkSettings::from_files(files)?);
                let model = AutoModel::from_files::<Bark>(files, options)?;
                settings.check(&model)?;
                SoundModel::Bark { model, settings, files: Some(Arc::new(files.folder("")?)) }
            }
            false => SoundModel::Music {
                model: AutoModel::from_files::<MusicGen>(files, options)?,
                defaults: Box::default(),
                melodies: None,
            },
        };
        let tokenizer = Tokenizer::from_files(files)?;
        let model = match model {
            SoundModel::Music { model, .. } => {
                let defaults = Box::new(GenerationConfig::from_files(files, &tokenizer)?);
                let hears = || ChromaFeatureExtractor::from_files(files).map(Box::new);
                let melodies = model.hears_melodies().then(hears).transpose()?;
                SoundModel::Music { model, defaults, melodies }
            }
            bark @ SoundModel::Bark { .. } => bark,
        };
        Ok(Self { model, tokenizer })
    }

    /// The model, for sharing or inspection.
    #[must_use]
    pub fn model(&self) -> &SoundModel {
        &self.model
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}

/// Whether the model is one of this task's, and not one of `text-to-speech`.
pub(super) fn writes_codes(files: &ModelFiles) -> Result<bool> {
    Ok(architecture(files)?
        .is_some_and(|name| matches!(name.as_str(), "bark" | "musicgen" | "musicgen_melody")))
}

/// The architecture that config.json names.
fn architecture(files: &ModelFiles) -> Result<Option<String>> {
    let config: Option<Map<String, Value>> = files.json("config.json")?;
    let name = config.and_then(|mut config| config.remove("model_type"));
    Ok(name.and_then(|name| name.as_str().map(str::to_owned)))
}

impl TaskSteps for TextToAudioPipeline {
    type Input = String;
    type Output = GeneratedAudio;
    type Options = TextToAudioOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        Sounding::new(&self.model, &self.tokenizer, options)
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<String>> {
        Items::texts(input)
    }

    fn take_media(&self, output: &mut GeneratedAudio) -> Vec<Media> {
        let sampling_rate = output.sampling_rate;
        let channels = std::mem::take(&mut output.channels).into_iter();
        channels.map(|samples| Media::Audio(Audio { samples, sampling_rate })).collect()
    }
}
