//! The pipeline: a model and what it reads.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::audio::FeatureExtractor;
use crate::error::{Error, Result};
use crate::generation::GenerationConfig;
use crate::models::speech::{Ctc, SpeechSeq2Seq};
use crate::models::{AutoModel, Model};
use crate::options::LoadOptions;
use crate::pipeline::automatic_speech_recognition::options::{
    AutomaticSpeechRecognitionOptions, ReturnTimestamps,
};
#[cfg(feature = "remote")]
use crate::pipeline::automatic_speech_recognition::served::Served;
use crate::source::ModelFiles;
use crate::speech::ctc::CtcTokenizer;
use crate::speech::whisper::{Whisper, WhisperConfig};
use crate::tokenizer::Tokenizer;

/// Writes what is said in recordings, with a model here or at a [service](crate::source::remote).
///
/// Options of generation come from four places, and later ones override earlier ones: transformers'
/// defaults; the model's `generation_config.json`; the defaults of this pipeline (`num_beams` 5, and
/// `max_new_tokens` 256 unless the model states a length); the call.
///
/// The output is a [`Transcript`](crate::speech::transcript::Transcript); as JSON it is that of the Python pipeline: `text`, and with
/// [`return_timestamps`](AutomaticSpeechRecognitionOptions::return_timestamps) `chunks` with a `timestamp`
/// each.
///
#[doc = include_str!("../../../docs/tasks/automatic-speech-recognition.md")]
#[derive(Debug, Clone)]
pub struct AutomaticSpeechRecognitionPipeline {
    pub(super) engine: Engine,
}

/// Where the model is.
#[derive(Debug, Clone)]
pub(super) enum Engine {
    Local(Local),
    #[cfg(feature = "remote")]
    Served(Served),
}

/// A model that is computed here.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) parts: Arc<Parts>,
}

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) model: SpeechModel,
    pub(super) extractor: FeatureExtractor,
}

/// The models that write what they hear.
#[derive(Debug)]
pub(super) enum SpeechModel {
    Whisper {
        whisper: Whisper,
        /// Seconds from one timestamp to the next.
        time_precision: f64,
    },
    /// Any other encoder-decoder: Moonshine.
    Seq2Seq {
        model: Arc<dyn SpeechSeq2Seq>,
        tokenizer: Tokenizer,
        /// What the model says about generation.
        stored: Box<GenerationConfig>,
    },
    /// Models that write letter by letter: Wav2Vec2 and its kin.
    Ctc { model: Arc<dyn Ctc>, tokenizer: Box<CtcTokenizer> },
}

impl AutomaticSpeechRecognitionPipeline {
    /// A pipeline of a Whisper model and what it reads; both stay shared.
    ///
    /// # Errors
    ///
    /// When the extractor is not Whisper's.
    pub fn from_whisper(whisper: Whisper, extractor: FeatureExtractor) -> Result<Self> {
        let FeatureExtractor::Whisper(features) = &extractor else {
            return Err(Error::input("Whisper reads the features of a WhisperFeatureExtractor"));
        };
        let positions = whisper.config().max_source_positions.max(1);
        let time_precision = features.config().chunk_length as f64 / positions as f64;
        let model = SpeechModel::Whisper { whisper, time_precision };
        Ok(Self::here(model, extractor))
    }

    /// A pipeline of another encoder-decoder that hears, such as Moonshine.
    #[must_use]
    pub fn from_seq2seq(
        model: Arc<dyn SpeechSeq2Seq>,
        tokenizer: Tokenizer,
        extractor: FeatureExtractor,
        stored: GenerationConfig,
    ) -> Self {
        let model = SpeechModel::Seq2Seq { model, tokenizer, stored: Box::new(stored) };
        Self::here(model, extractor)
    }

    fn here(model: SpeechModel, extractor: FeatureExtractor) -> Self {
        Self { engine: Engine::Local(Local { parts: Arc::new(Parts { model, extractor }) }) }
    }

    /// A pipeline of a model that writes letter by letter, such as Wav2Vec2.
    #[must_use]
    pub fn from_ctc(
        model: Arc<dyn Ctc>,
        tokenizer: CtcTokenizer,
        extractor: FeatureExtractor,
    ) -> Self {
        Self::here(SpeechModel::Ctc { model, tokenizer: Box::new(tokenizer) }, extractor)
    }

    pub(in crate::pipeline) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        #[cfg(feature = "remote")]
        if let Some(model) = files.remote() {
            return Ok(Self { engine: Engine::Served(Served::open(model)?) });
        }
        if is_ctc(files)? {
            let model = AutoModel::from_files::<dyn Ctc>(files, options)?;
            let tokenizer = CtcTokenizer::open(files)?;
            return Ok(Self::from_ctc(model, tokenizer, FeatureExtractor::from_files(files)?));
        }
        let model = AutoModel::from_files::<dyn SpeechSeq2Seq>(files, options)?;
        let tokenizer = Tokenizer::from_files(files)?;
        let extractor = FeatureExtractor::from_files(files)?;
        if tokenizer.token_to_id("<|startoftranscript|>").is_some() {
            let config = WhisperConfig::from_files(files, &tokenizer)?;
            return Self::from_whisper(Whisper::from_parts(model, tokenizer, config)?, extractor);
        }
        let stored = GenerationConfig::from_files(files, &tokenizer)?;
        Ok(Self::from_seq2seq(model, tokenizer, extractor, stored))
    }

    fn parts(&self) -> Option<&Parts> {
        match &self.engine {
            Engine::Local(local) => Some(&local.parts),
            #[cfg(feature = "remote")]
            Engine::Served(_) => None,
        }
    }

    /// The Whisper model, for sharing or for calls that this pipeline has not; `None` for other models and
    /// those of services.
    #[must_use]
    pub fn whisper(&self) -> Option<&Whisper> {
        match &self.parts()?.model {
            SpeechModel::Whisper { whisper, .. } => Some(whisper),
            SpeechModel::Seq2Seq { .. } | SpeechModel::Ctc { .. } => None,
        }
    }

    /// The model, whichever it is; `None` where a service does.
    #[must_use]
    pub fn model(&self) -> Option<Arc<dyn Model>> {
        Some(match &self.parts()?.model {
            SpeechModel::Whisper { whisper, .. } => Arc::clone(whisper.model()) as Arc<dyn Model>,
            SpeechModel::Seq2Seq { model, .. } => Arc::clone(model) as Arc<dyn Model>,
            SpeechModel::Ctc { model, .. } => Arc::clone(model) as Arc<dyn Model>,
        })
    }

    /// The tokenizer of a model that generates; `None` for models that write letter by letter, and those of
    /// services.
    #[must_use]
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        match &self.parts()?.model {
            SpeechModel::Whisper { whisper, .. } => Some(whisper.tokenizer().tokenizer()),
            SpeechModel::Seq2Seq { tokenizer, .. } => Some(tokenizer),
            SpeechModel::Ctc { .. } => None,
        }
    }

    /// What makes features of recordings; `None` where a service does.
    #[must_use]
    pub fn feature_extractor(&self) -> Option<&FeatureExtractor> {
        Some(&self.parts()?.extractor)
    }

    /// Which times come with the text.
    pub(super) fn timestamps(
        &self,
        options: &AutomaticSpeechRecognitionOptions,
    ) -> Result<ReturnTimestamps> {
        match &self.engine {
            Engine::Local(local) => local.timestamps(options),
            #[cfg(feature = "remote")]
            Engine::Served(_) => Served::timestamps(options),
        }
    }

    /// Of samples that come without.
    pub(super) fn sampling_rate(&self) -> u32 {
        self.parts().map_or(16_000, |parts| parts.extractor.sampling_rate())
    }
}

impl Local {
    /// Which times come with the text: what is asked for, or else what the model's file says.
    pub(super) fn timestamps(
        &self,
        options: &AutomaticSpeechRecognitionOptions,
    ) -> Result<ReturnTimestamps> {
        let asked = options.return_timestamps.unwrap_or_default();
        match (&self.parts.model, asked) {
            (SpeechModel::Whisper { .. }, ReturnTimestamps::Char) => Err(Error::option(
                "return_timestamps",
                "Whisper gives times of segments (`true`) and of words (`\"word\"`), not of characters",
            )),
            (SpeechModel::Whisper { whisper, .. }, ReturnTimestamps::No) => {
                let is_default = whisper.config().return_timestamps == Some(true);
                Ok(if is_default { ReturnTimestamps::Segments } else { ReturnTimestamps::No })
            }
            (SpeechModel::Seq2Seq { .. }, asked) if asked != ReturnTimestamps::No => {
                Err(Error::option("return_timestamps", "this model writes no times: Whisper does"))
            }
            (SpeechModel::Ctc { .. }, ReturnTimestamps::Segments) => Err(Error::option(
                "return_timestamps",
                "this model gives times of words (`\"word\"`) and of characters (`\"char\"`)",
            )),
            (_, asked) => Ok(asked),
        }
    }

    pub(super) fn sampling_rate(&self) -> u32 {
        self.parts.extractor.sampling_rate()
    }

    /// The samples that chunks are whole numbers of.
    pub(super) fn align_to(&self) -> usize {
        match &self.parts.model {
            SpeechModel::Ctc { model, .. } => model.inputs_to_logits_ratio().max(1),
            SpeechModel::Whisper { .. } | SpeechModel::Seq2Seq { .. } => 1,
        }
    }
}

/// Whether the config names a model that writes letter by letter.
fn is_ctc(files: &ModelFiles) -> Result<bool> {
    let config: Option<Map<String, Value>> = files.json("config.json")?;
    let named = config.as_ref().and_then(|config| config.get("architectures")?.get(0)?.as_str());
    Ok(named.is_some_and(|name| name.ends_with("ForCTC")))
}
