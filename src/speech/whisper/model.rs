//! A Whisper model with all that it takes to transcribe.

use std::sync::Arc;

use crate::audio::AudioFeatures;
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::speech::SpeechSeq2Seq;
use crate::nn::cache::KvCache;
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource};
use crate::speech::whisper::config::WhisperConfig;
use crate::speech::whisper::decoding::next_logits;
use crate::speech::whisper_tokenizer::WhisperTokenizer;
use crate::tokenizer::Tokenizer;

/// A Whisper model with all that it takes to transcribe. Clones share it.
#[derive(Debug, Clone)]
pub struct Whisper(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    model: Arc<dyn SpeechSeq2Seq>,
    tokenizer: WhisperTokenizer,
    config: WhisperConfig,
}

impl Whisper {
    /// Opens a source and loads all that is in it.
    ///
    /// # Errors
    ///
    /// As [`from_files`](Self::from_files), and when the source cannot be opened.
    pub fn open(source: impl Into<ModelSource>, options: &LoadOptions) -> Result<Self> {
        Self::from_files(&source.into().open()?, options)
    }

    /// Loads the model, the tokenizer and what an opened source says about generation.
    ///
    /// # Errors
    ///
    /// When a file is missing or malformed, or the model does not hear.
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let tokenizer = Tokenizer::from_files(files)?;
        let config = WhisperConfig::from_files(files, &tokenizer)?;
        let model = AutoModel::from_files::<dyn SpeechSeq2Seq>(files, options)?;
        Self::from_parts(model, tokenizer, config)
    }

    /// Of parts.
    ///
    /// # Errors
    ///
    /// When the tokenizer is not Whisper's, or the config makes no sense.
    pub fn from_parts(
        model: Arc<dyn SpeechSeq2Seq>,
        tokenizer: Tokenizer,
        config: WhisperConfig,
    ) -> Result<Self> {
        if config.median_filter_width.is_multiple_of(2) {
            let width = config.median_filter_width;
            let reason = format!("is {width}, but must be an odd number");
            return Err(Error::option("median_filter_width", reason));
        }
        let tokenizer = WhisperTokenizer::new(tokenizer)?;
        Ok(Self(Arc::new(Parts { model, tokenizer, config })))
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn SpeechSeq2Seq> {
        &self.0.model
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &WhisperTokenizer {
        &self.0.tokenizer
    }

    /// What the checkpoint says about generation.
    #[must_use]
    pub fn config(&self) -> &WhisperConfig {
        &self.0.config
    }

    /// The token that all begins with.
    pub(super) fn start_id(&self) -> Result<u32> {
        let id = self.config().decoder_start_token_id.or_else(|| self.model().start_id());
        let none = "the model's generation config has no `decoder_start_token_id` to begin with";
        id.ok_or_else(|| Error::option("decoder_start_token_id", none))
    }

    /// Whether an id is text: no timestamp, and no special token.
    pub(super) fn is_text(&self, id: u32) -> bool {
        let is_timestamp = self.config().timestamp_begin().is_some_and(|begin| id >= begin);
        !is_timestamp && !self.tokenizer().tokenizer().is_special(id)
    }

    /// Runs the encoder over windows.
    pub(super) fn encode(&self, windows: &[AudioFeatures]) -> Result<KvCache> {
        self.model().encode(&windows.iter().collect::<Vec<_>>())
    }

    /// The logits of all languages by their ids, for each window that was encoded, in the order of ids.
    pub(super) fn languages(&self, sources: &KvCache) -> Result<Vec<Vec<(u32, f32)>>> {
        let mut ids: Vec<_> =
            self.config().lang_to_id.iter().flatten().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        let start = vec![self.start_id()?];
        let logits = next_logits(&**self.model(), sources, &vec![start; sources.rows()])?;
        let of_languages = |logits: Vec<f32>| {
            let known = ids.iter().filter_map(|&id| Some((id, *logits.get(id as usize)?)));
            known.collect()
        };
        Ok(logits.into_iter().map(of_languages).collect())
    }
}
