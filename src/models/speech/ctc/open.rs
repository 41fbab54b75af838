//! From files to encoders of speech with a head.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::models::auto::{FromFiles, checked};
use crate::models::raw_config::RawConfig;
use crate::models::speech::ctc::families::{FAMILIES, Family};
use crate::models::speech::ctc::{
    ClassifierHead, CtcHead, Head, Headed, SpeakerHead, SpeechEncoder,
};
use crate::models::speech::traits::{AudioClassifier, Ctc, SpeakerEncoder};
use crate::options::LoadOptions;
use crate::source::ModelFiles;

/// An encoder of speech with a head for letters.
impl FromFiles for dyn Ctc {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        Ok(checked(headed::<CtcHead>(files, options, None)?, options)?)
    }
}

/// An encoder of speech with a head for vectors of voices.
impl FromFiles for dyn SpeakerEncoder {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        Ok(checked(headed::<SpeakerHead>(files, options, None)?, options)?)
    }
}

/// An encoder of speech with a head for labels of whole recordings.
pub(crate) fn open_classifier(
    files: &ModelFiles,
    options: &LoadOptions,
) -> Result<Arc<dyn AudioClassifier>> {
    Ok(checked(headed::<ClassifierHead>(files, options, None)?, options)?)
}

/// A model with letters for many languages (MMS), with the adapter and the letters of one of them:
/// `adapter.fra.safetensors` or `adapter.fra.bin` for `fra`, `target_lang` of transformers. Opened
/// without a language, such a model has those of `model.safetensors`, which are usually English.
///
/// # Errors
///
/// When the model has no adapters of languages or the files of this one are missing, and as
/// [`AutoModel::from_files`](crate::models::AutoModel::from_files).
pub fn open_language(
    files: &ModelFiles,
    language: &str,
    options: &LoadOptions,
) -> Result<Arc<dyn Ctc>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if language.is_empty() || !language.chars().all(is_name) {
        let reason = format!("{language:?} is no code of a language such as \"fra\"");
        return Err(Error::option("language", reason));
    }
    Ok(checked(headed::<CtcHead>(files, options, Some(language))?, options)?)
}

fn headed<H: Head>(
    files: &ModelFiles,
    options: &LoadOptions,
    language: Option<&str>,
) -> Result<Headed<H>> {
    let raw = RawConfig::read(files)?;
    let family = family(files, &raw)?;
    let (body, weights) = SpeechEncoder::load(family, &raw, files, options, language)?;
    Headed::load(body, &raw, &weights)
}

fn family(files: &ModelFiles, raw: &RawConfig) -> Result<&'static Family> {
    let name = raw.model_type()?;
    let is_named = |family: &&&Family| family.model_types.contains(&name);
    let known = || FAMILIES.iter().flat_map(|family| family.model_types);
    match FAMILIES.iter().find(is_named) {
        Some(family) if files.gguf().is_none() => Ok(family),
        _ => Err(Error::unsupported(format!(
            "{} is of the architecture {name:?}, which is not known as an encoder of speech; supported \
             are {}",
            files.origin(),
            known().copied().collect::<Vec<_>>().join(", ")
        ))),
    }
}
