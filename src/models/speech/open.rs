//! From files to models that classify what they hear.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::models::auto::{FromFiles, checked};
use crate::models::raw_config::RawConfig;
use crate::models::speech::clap::{self, ClapModel};
use crate::models::speech::ctc;
use crate::models::speech::spectrogram::{self, SpectrogramTransformer};
use crate::models::speech::traits::{AudioClassifier, AudioTextModel};
use crate::options::LoadOptions;
use crate::source::ModelFiles;

/// A spectrogram transformer, or an encoder of speech with a head for labels of whole recordings.
impl FromFiles for dyn AudioClassifier {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        if raw.model_type()? == spectrogram::MODEL_TYPE {
            return Ok(checked(SpectrogramTransformer::load(&raw, files, options)?, options)?);
        }
        ctc::open_classifier(files, options)
    }
}

/// CLAP.
impl FromFiles for dyn AudioTextModel {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        let name = raw.model_type()?;
        if name != clap::MODEL_TYPE {
            return Err(Error::unsupported(format!(
                "{} is of the architecture {name:?}, which is not known as one for sounds and texts; \
                 supported is {}",
                files.origin(),
                clap::MODEL_TYPE
            )));
        }
        Ok(checked(ClapModel::load(&raw, files, options)?, options)?)
    }
}
