//! From files to models that speak.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::models::auto::{FromFiles, checked};
use crate::models::raw_config::RawConfig;
use crate::models::speech::synthesis::kokoro::{KokoroConfig, KokoroModel};
use crate::models::speech::synthesis::speecht5::SpeechT5ForTextToSpeech;
use crate::models::speech::synthesis::traits::TextToWaveform;
use crate::models::speech::synthesis::vits::VitsModel;
use crate::models::speech::synthesis::xtts::Xtts;
use crate::options::LoadOptions;
use crate::source::ModelFiles;

/// A model that speaks.
impl FromFiles for dyn TextToWaveform {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        if KokoroConfig::is_one(&raw) {
            return Ok(checked(KokoroModel::from_files(files, options)?, options)?);
        }
        if Xtts::is_of(&raw)? {
            return Err(Error::unsupported(
                "XTTS writes codes: open it as `Xtts` and speak by `sound::utter`, or by the pipeline \
                 text-to-speech",
            ));
        }
        match raw.model_type()? {
            "vits" => Ok(checked(VitsModel::from_files(files, options)?, options)?),
            "speecht5" => {
                Ok(checked(SpeechT5ForTextToSpeech::from_files(files, options)?, options)?)
            }
            other => Err(Error::unsupported(format!(
                "{} is of the architecture {other:?}, which is not known as a model that speaks; \
                 supported are {}",
                files.origin(),
                KNOWN.join(", ")
            ))),
        }
    }
}

/// XTTS.
impl FromFiles for Xtts {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        checked(Self::from_files(files, options)?, options)
    }
}

/// By `model_type` of config.json, but for Kokoro, whose config has none.
const KNOWN: &[&str] = &["kokoro", "speecht5", "vits"];
