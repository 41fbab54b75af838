//! From `config.json` or GGUF metadata to the model it names.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
#[cfg(feature = "audio")]
use crate::models::bark::Bark;
#[cfg(feature = "audio")]
use crate::models::codecs::{self, Codec};
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
#[cfg(feature = "audio")]
use crate::models::music::MusicGen;
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq;
use crate::models::seq2seq::{EncoderDecoder, Seq2SeqClassifier, Seq2SeqLm, Seq2SeqSpans};
#[cfg(feature = "audio")]
use crate::models::speech::{self, SpeechSeq2Seq, WhisperForConditionalGeneration};
use crate::models::traits::{CausalLm, Model};
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource};
use crate::weights::{self, Weights};

/// Reads `config.json` (or GGUF metadata) and loads the model that it names.
///
/// ```no_run
/// use sconce::models::heads::Encoder;
/// use sconce::models::{AutoModel, CausalLm};
/// use sconce::{LoadOptions, ModelSource};
///
/// let options = LoadOptions::default();
/// let model = AutoModel::open::<dyn CausalLm>("HuggingFaceTB/SmolLM2-135M-Instruct", &options)?;
/// let files = ModelSource::from("./all-MiniLM-L6-v2").open()?;
/// let encoder = AutoModel::from_files::<dyn Encoder>(&files, &options)?;
/// # let _ = (model, encoder);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug)]
pub struct AutoModel;

impl AutoModel {
    /// Opens a source as a kind of model.
    ///
    /// # Errors
    ///
    /// When the source cannot be opened, and as [`from_files`](Self::from_files).
    pub fn open<M: FromFiles + ?Sized>(
        source: impl Into<ModelSource>,
        options: &LoadOptions,
    ) -> Result<Arc<M>> {
        M::from_files(&source.into().open()?, options)
    }

    /// As [`open`](Self::open), from an opened source.
    ///
    /// # Errors
    ///
    /// When the architecture is none of ours, its config asks for something unsupported, the checkpoint has
    /// no such head, or its weights are missing, broken or of the wrong shape.
    pub fn from_files<M: FromFiles + ?Sized>(
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Arc<M>> {
        M::from_files(files, options)
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

    /// A decoder that scores by its next token: one logit, the logit of `wanted` minus that of
    /// `unwanted`.
    pub(crate) fn next_token_scorer(
        body: Arc<dyn CausalLm>,
        wanted: u32,
        unwanted: Option<u32>,
    ) -> Result<Arc<dyn SequenceClassifier>> {
        Ok(Arc::new(NextTokenScorer::new(body, wanted, unwanted)?))
    }
}

/// A kind of model that [`AutoModel`] can make: `dyn CausalLm`, `dyn Seq2SeqLm`, `dyn Encoder` or one of
/// the other [heads](crate::models::heads).
pub trait FromFiles {
    /// Builds what the files name.
    ///
    /// # Errors
    ///
    /// As [`AutoModel::from_files`].
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>>;
}

/// A decoder-only language model.
impl FromFiles for dyn CausalLm {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        let family = decoder_family(files, &raw)?.ok_or_else(|| {
            let known = FAMILIES.iter().flat_map(|family| decoder_names(family, files));
            unknown(files, &raw, "a decoder", known)
        })?;
        let (model, _) = Decoder::load(family, &raw, files, options, Purpose::Logits)?;
        Ok(checked(model, options)?)
    }
}

/// An encoder-decoder.
impl FromFiles for dyn Seq2SeqLm {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        let family = seq2seq_family(files, &raw)?.ok_or_else(|| {
            let families = seq2seq::families::FAMILIES.iter();
            let known = families.flat_map(|family| family.types(files.gguf().is_some()));
            unknown(files, &raw, "an encoder-decoder", known)
        })?;
        let purpose = Purpose::Logits;
        Ok(checked(EncoderDecoder::load(family, &raw, files, options, purpose)?.0, options)?)
    }
}

/// An encoder-decoder that hears.
#[cfg(feature = "audio")]
impl FromFiles for dyn SpeechSeq2Seq {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        let family = speech_family(files, &raw)?.ok_or_else(|| {
            let families = speech::families::FAMILIES.iter();
            let known = families.flat_map(|family| family.model_types);
            unknown(files, &raw, "an encoder-decoder that hears", known)
        })?;
        let model = WhisperForConditionalGeneration::load_speech(family, &raw, files, options)?;
        Ok(checked(model, options)?)
    }
}

/// A codec.
#[cfg(feature = "audio")]
impl FromFiles for dyn Codec {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        codecs::from_files(files, options)
    }
}

/// MusicGen.
#[cfg(feature = "audio")]
impl FromFiles for MusicGen {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        let known = ["musicgen", "musicgen_melody"];
        if !known.contains(&raw.model_type()?) {
            return Err(unknown(files, &raw, "a model of music", known.iter()));
        }
        checked(Self::load(&raw, files, options)?, options)
    }
}

/// Bark.
#[cfg(feature = "audio")]
impl FromFiles for Bark {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        if raw.model_type()? != "bark" {
            return Err(unknown(files, &raw, "Bark", ["bark"].iter()));
        }
        checked(Self::load(&raw, files, options)?, options)
    }
}

/// An encoder or a decoder without a head, or the encoder of T5 and its kin: hidden states.
impl FromFiles for dyn Encoder {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        if let Some(family) = decoder_family(files, &raw)? {
            let purpose = Purpose::HiddenStates;
            return Ok(checked(Decoder::load(family, &raw, files, options, purpose)?.0, options)?);
        }
        Ok(checked(text_encoder(files, &raw, options)?.0, options)?)
    }
}

/// An encoder, a decoder or an encoder-decoder with a sequence-classification head.
impl FromFiles for dyn SequenceClassifier {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        if let Some(family) = seq2seq_family(files, &raw)? {
            return Ok(checked(Seq2SeqClassifier::load(family, &raw, files, options)?, options)?);
        }
        let Some(family) = decoder_family(files, &raw)? else {
            return Ok(headed::<SequenceHead>(files, options)?);
        };
        let (body, weights) = Decoder::load(family, &raw, files, options, Purpose::HiddenStates)?;
        let raw = family.dialect(files.gguf().is_some()).fields(&raw)?;
        Ok(checked(LastTokenClassifier::load(body, &raw, &weights)?, options)?)
    }
}

/// An encoder with a token-classification head.
impl FromFiles for dyn TokenClassifier {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        Ok(headed::<TokenHead>(files, options)?)
    }
}

/// An encoder or an encoder-decoder with a question-answering head.
impl FromFiles for dyn QuestionAnswerer {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
        let raw = RawConfig::read(files)?;
        if let Some(family) = seq2seq_family(files, &raw)? {
            return Ok(checked(Seq2SeqSpans::load(family, &raw, files, options)?, options)?);
        }
        Ok(headed::<SpanHead>(files, options)?)
    }
}

/// An encoder with a masked-language-model head.
impl FromFiles for dyn MaskedLm {
    fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<Self>> {
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

/// A loaded model, after warnings about options that could not be followed.
pub(super) fn checked<M: Model>(model: M, options: &LoadOptions) -> Result<Arc<M>> {
    weights::check(model.inventory(), options)?;
    Ok(Arc::new(model))
}

/// An encoder, or that of T5 and its kin.
fn text_encoder(
    files: &ModelFiles,
    raw: &RawConfig,
    options: &LoadOptions,
) -> Result<(TextEncoder, Weights)> {
    let with_encoder =
        seq2seq_family(files, raw)?.filter(|family| family.encoder == seq2seq::EncoderAlone::Used);
    if let Some(family) = with_encoder {
        return EncoderDecoder::load_encoder(family, raw, files, options);
    }
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

/// The family of encoder-decoders that a config names.
pub(super) fn seq2seq_family(
    files: &ModelFiles,
    raw: &RawConfig,
) -> Result<Option<&'static seq2seq::Family>> {
    let (name, is_gguf) = (raw.model_type()?, files.gguf().is_some());
    let named = |family: &&&seq2seq::Family| family.types(is_gguf).contains(&name);
    Ok(seq2seq::families::FAMILIES.iter().find(named).copied())
}

/// The family of encoder-decoders that hear that a config names; there are none in GGUF files.
#[cfg(feature = "audio")]
fn speech_family(files: &ModelFiles, raw: &RawConfig) -> Result<Option<&'static speech::Family>> {
    let name = raw.model_type()?;
    let named =
        |family: &&&speech::Family| files.gguf().is_none() && family.model_types.contains(&name);
    Ok(speech::families::FAMILIES.iter().find(named).copied())
}

/// The fields of a config.json, those of its part for text, and the sizes and special ids of its class
/// where it is silent: what the reference's config object holds.
pub(crate) fn config_fields(files: &ModelFiles) -> Result<Map<String, Value>> {
    let raw = RawConfig::read(files)?;
    let raw = match raw.section("text_config")? {
        Some(text) => raw.with_defaults_of(text),
        None => raw,
    };
    #[cfg(feature = "audio")]
    let raw = match speech_family(files, &raw) {
        Ok(Some(family)) => family.with_defaults(&raw),
        _ => raw,
    };
    Ok(match (decoder_family(files, &raw), seq2seq_family(files, &raw)) {
        (Ok(Some(family)), _) => family.hf.with_defaults(&raw),
        (_, Ok(Some(family))) => family.with_defaults(&raw),
        _ => raw,
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
    #[cfg(feature = "audio")]
    let hears = matches!(speech_family(files, raw), Ok(Some(_)));
    #[cfg(not(feature = "audio"))]
    let hears = false;
    let advice = match (decoder_family(files, raw), seq2seq_family(files, raw)) {
        _ if matches!(name, "bark" | "musicgen") => {
            ". It makes sound by way of a codec's codes: use it for text-to-audio"
        }
        _ if hears => {
            ". It is an encoder-decoder that hears: open it as `dyn SpeechSeq2Seq`, for \
             automatic-speech-recognition"
        }
        (Ok(Some(_)), _) => {
            ". It is a decoder alone: open it as `dyn CausalLm`, for text-generation"
        }
        (_, Ok(Some(_))) => {
            ". It is an encoder-decoder: open it as `dyn Seq2SeqLm`, for summarization, translation or \
             text2text-generation"
        }
        _ => "",
    };
    Error::unsupported(format!(
        "{origin} is of the architecture {name:?}, which is not known as {wanted}; supported are \
         {known}{advice}"
    ))
}
