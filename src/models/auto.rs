//! From `config.json` or GGUF metadata to the model it names.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::models::decoder::families::FAMILIES;
use crate::models::decoder::{Decoder, Family, Purpose};
use crate::models::encoder;
use crate::models::encoder::{
    Head, Headed, MaskedHead, SequenceHead, SpanHead, TextEncoder, TokenHead,
};
use crate::models::heads::{
    Encoder, MaskedLm, QuestionAnswerer, SequenceClassifier, TokenClassifier,
};
use crate::models::last_token::{LastTokenClassifier, NextTokenScorer};
use crate::models::raw_config::RawConfig;
use crate::models::traits::{CausalLm, Model};
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource};
use crate::weights::{self, Weights};

/// Reads `config.json` (or GGUF metadata) and builds whatever it names.
#[derive(Debug)]
pub struct AutoModel;

impl AutoModel {
    /// A decoder-only language model.
    ///
    /// # Errors
    ///
    /// When the source cannot be opened, its architecture is none of ours, its config asks for
    /// something unsupported, or its weights are missing, broken or of the wrong shape.
    pub fn causal_lm(
        source: impl Into<ModelSource>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn CausalLm>> {
        Self::causal_lm_from(&source.into().open()?, options)
    }

    /// As [`causal_lm`](Self::causal_lm), from a source that is open already.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn causal_lm_from(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<dyn CausalLm>> {
        let raw = RawConfig::read(files)?;
        let family = decoder_family(files, &raw)?.ok_or_else(|| {
            let known = FAMILIES.iter().flat_map(|family| decoder_names(family, files));
            unknown(files, &raw, "a decoder", known)
        })?;
        let (model, _) = Decoder::load(family, &raw, files, options, Purpose::Logits)?;
        Ok(checked(model, options)?)
    }

    /// An encoder without a head, or a decoder without one: hidden vectors.
    ///
    /// # Errors
    ///
    /// When the source cannot be opened, its architecture is none of ours, its config asks for
    /// something unsupported, or its weights are missing, broken or of the wrong shape.
    pub fn encoder(
        source: impl Into<ModelSource>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn Encoder>> {
        Self::encoder_from(&source.into().open()?, options)
    }

    /// As [`encoder`](Self::encoder), from a source that is open already.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn encoder_from(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<dyn Encoder>> {
        let raw = RawConfig::read(files)?;
        Ok(match decoder_family(files, &raw)? {
            Some(family) => {
                let purpose = Purpose::HiddenStates;
                checked(Decoder::load(family, &raw, files, options, purpose)?.0, options)?
            }
            None => checked(text_encoder(files, &raw, options)?.0, options)?,
        })
    }

    /// Whether a checkpoint is of a language model that reads from left to right: an architecture
    /// `…ForCausalLM`, unless `is_causal` is false; a decoder, where a GGUF file does not say more.
    pub(crate) fn is_causal_lm(files: &ModelFiles) -> Result<bool> {
        let raw = RawConfig::read(files)?;
        if files.gguf().is_some() {
            return Ok(decoder_family(files, &raw)?.is_some());
        }
        let architectures = raw.texts("architectures")?.unwrap_or_default();
        let is_causal_lm = architectures.first().is_some_and(|name| name.ends_with("ForCausalLM"));
        Ok(is_causal_lm && raw.flag("is_causal", true)?)
    }

    /// An encoder with a sequence-classification head, or a decoder with one.
    ///
    /// # Errors
    ///
    /// As for [`encoder`](Self::encoder), and when the checkpoint has no such head.
    pub fn sequence_classifier(
        source: impl Into<ModelSource>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn SequenceClassifier>> {
        Self::sequence_classifier_from(&source.into().open()?, options)
    }

    /// As [`sequence_classifier`](Self::sequence_classifier), from a source that is open already.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn sequence_classifier_from(
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Arc<dyn SequenceClassifier>> {
        let raw = RawConfig::read(files)?;
        let Some(family) = decoder_family(files, &raw)? else {
            return Ok(headed::<SequenceHead>(files, options)?);
        };
        let (body, weights) = Decoder::load(family, &raw, files, options, Purpose::HiddenStates)?;
        let raw = family.dialect(files.gguf().is_some()).fields(&raw)?;
        Ok(checked(LastTokenClassifier::load(body, &raw, &weights)?, options)?)
    }

    /// A decoder that scores by its next token: one logit, that of `wanted` less that of
    /// `unwanted`.
    pub(crate) fn next_token_scorer(
        body: Arc<dyn CausalLm>,
        wanted: u32,
        unwanted: Option<u32>,
    ) -> Result<Arc<dyn SequenceClassifier>> {
        Ok(Arc::new(NextTokenScorer::new(body, wanted, unwanted)?))
    }

    /// An encoder with a token-classification head.
    ///
    /// # Errors
    ///
    /// As for [`encoder`](Self::encoder), and when the checkpoint has no such head.
    pub fn token_classifier(
        source: impl Into<ModelSource>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn TokenClassifier>> {
        Self::token_classifier_from(&source.into().open()?, options)
    }

    /// As [`token_classifier`](Self::token_classifier), from a source that is open already.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn token_classifier_from(
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Arc<dyn TokenClassifier>> {
        Ok(headed::<TokenHead>(files, options)?)
    }

    /// An encoder with a question-answering head.
    ///
    /// # Errors
    ///
    /// As for [`encoder`](Self::encoder), and when the checkpoint has no such head.
    pub fn question_answerer(
        source: impl Into<ModelSource>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn QuestionAnswerer>> {
        Self::question_answerer_from(&source.into().open()?, options)
    }

    /// As [`question_answerer`](Self::question_answerer), from a source that is open already.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn question_answerer_from(
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Arc<dyn QuestionAnswerer>> {
        Ok(headed::<SpanHead>(files, options)?)
    }

    /// An encoder with a masked-language-model head.
    ///
    /// # Errors
    ///
    /// As for [`encoder`](Self::encoder), and when the checkpoint has no such head.
    pub fn masked_lm(
        source: impl Into<ModelSource>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn MaskedLm>> {
        Self::masked_lm_from(&source.into().open()?, options)
    }

    /// As [`masked_lm`](Self::masked_lm), from a source that is open already.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn masked_lm_from(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<dyn MaskedLm>> {
        Ok(headed::<MaskedHead>(files, options)?)
    }
}

fn headed<H: Head>(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Headed<H>>>
where
    Headed<H>: Model,
{
    let raw = RawConfig::read(files)?;
    let (body, weights) = text_encoder(files, &raw, options)?;
    checked(Headed::load(body, &raw, &weights)?, options)
}

/// A loaded model, whose options did what was asked for, or it is told.
fn checked<M: Model>(model: M, options: &LoadOptions) -> Result<Arc<M>> {
    weights::check(model.inventory(), options)?;
    Ok(Arc::new(model))
}

fn text_encoder(
    files: &ModelFiles,
    raw: &RawConfig,
    options: &LoadOptions,
) -> Result<(TextEncoder, Weights)> {
    let name = raw.model_type()?;
    let names = |family: &encoder::families::Family| match files.gguf() {
        None => family.model_types,
        Some(_) => family.gguf_architectures,
    };
    let families = encoder::families::FAMILIES;
    let family = families.iter().find(|family| names(family).contains(&name)).ok_or_else(|| {
        unknown(files, raw, "an encoder", families.iter().flat_map(|family| names(family)))
    })?;
    TextEncoder::load(family, raw, files, options)
}

fn decoder_names(family: &Family, files: &ModelFiles) -> &'static [&'static str] {
    family.dialect(files.gguf().is_some()).types
}

/// The family of decoders that a config names.
pub(super) fn decoder_family(
    files: &ModelFiles,
    raw: &RawConfig,
) -> Result<Option<&'static Family>> {
    let name = raw.model_type()?;
    let named = |family: &&&Family| decoder_names(family, files).contains(&name);
    Ok(FAMILIES.iter().find(named).copied())
}

/// The fields of a config.json, those of its part for text, and the sizes and special ids of its class
/// where it is silent: what the reference's config object holds.
pub(crate) fn config_fields(files: &ModelFiles) -> Result<Map<String, Value>> {
    let raw = RawConfig::read(files)?;
    let raw = match raw.section("text_config")? {
        Some(text) => raw.with_defaults_of(text),
        None => raw,
    };
    Ok(match decoder_family(files, &raw) {
        Ok(Some(family)) => family.hf.with_defaults(&raw),
        Ok(None) | Err(_) => raw,
    }
    .into_fields())
}

fn unknown<'a>(
    files: &ModelFiles,
    raw: &RawConfig,
    wanted: &str,
    known: impl Iterator<Item = &'a &'static str>,
) -> Error {
    let (origin, name) = (files.origin(), raw.model_type().unwrap_or_default());
    let known: BTreeSet<&str> = known.copied().collect();
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    Error::unsupported(format!(
        "{origin} is of the architecture {name:?}, which is not known as {wanted}; supported are {known}"
    ))
}
