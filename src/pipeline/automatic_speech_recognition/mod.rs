//! `automatic-speech-recognition`: what is said in a recording, and when.
//!
//! Mirrors `pipelines/automatic_speech_recognition.py` of transformers 4.57.

mod chunks;
mod input;
mod options;
mod output;
mod rows;
mod stream;
mod work;
mod written;

use std::sync::Arc;

use serde_json::Value;

pub use input::AudioInput;
pub use options::{
    AudioProgressCall, AutomaticSpeechRecognitionOptions, ReturnTimestamps, StrideLength,
};
pub use stream::TranscriptStream;

use crate::audio::FeatureExtractor;
use crate::error::{Error, Result};
use crate::generation::GenerationConfig;
use crate::media::Media;
use crate::models::AutoModel;
use crate::models::speech::SpeechSeq2Seq;
use crate::options::LoadOptions;
use crate::pipeline::automatic_speech_recognition::work::Hearing;
use crate::pipeline::input::Input;
use crate::pipeline::skeleton::{self, Items, TaskSteps, WorkOf};
use crate::source::ModelFiles;
use crate::speech::transcript::Transcript;
use crate::speech::whisper::{Whisper, WhisperConfig};
use crate::tokenizer::Tokenizer;

/// Writes what is said in recordings.
///
/// Options of generation come from four places, and later ones override earlier ones: transformers'
/// defaults; the model's `generation_config.json`; the defaults of this pipeline (`num_beams` 5, and
/// `max_new_tokens` 256 unless the model states a length); the call.
///
/// The output is a [`Transcript`]; as JSON it is that of the Python pipeline: `text`, and with
/// [`return_timestamps`](AutomaticSpeechRecognitionOptions::return_timestamps) `chunks` with a `timestamp`
/// each.
///
#[doc = include_str!("../../../docs/tasks/automatic-speech-recognition.md")]
#[derive(Debug, Clone)]
pub struct AutomaticSpeechRecognitionPipeline {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    model: SpeechModel,
    extractor: FeatureExtractor,
}

/// The models that write what they hear.
#[derive(Debug)]
enum SpeechModel {
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
        stored: GenerationConfig,
    },
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
        Ok(Self { parts: Arc::new(Parts { model, extractor }) })
    }

    /// A pipeline of another encoder-decoder that hears, such as Moonshine.
    #[must_use]
    pub fn from_seq2seq(
        model: Arc<dyn SpeechSeq2Seq>,
        tokenizer: Tokenizer,
        extractor: FeatureExtractor,
        stored: GenerationConfig,
    ) -> Self {
        let model = SpeechModel::Seq2Seq { model, tokenizer, stored };
        Self { parts: Arc::new(Parts { model, extractor }) }
    }

    pub(super) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
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

    /// The Whisper model, for sharing or for calls that this pipeline has not; `None` for other models.
    #[must_use]
    pub fn whisper(&self) -> Option<&Whisper> {
        match &self.parts.model {
            SpeechModel::Whisper { whisper, .. } => Some(whisper),
            SpeechModel::Seq2Seq { .. } => None,
        }
    }

    /// The tokenizer of a model that generates; `None` for models that write letter by letter.
    #[must_use]
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        match &self.parts.model {
            SpeechModel::Whisper { whisper, .. } => Some(whisper.tokenizer().tokenizer()),
            SpeechModel::Seq2Seq { tokenizer, .. } => Some(tokenizer),
        }
    }

    /// What makes features of recordings.
    #[must_use]
    pub fn feature_extractor(&self) -> &FeatureExtractor {
        &self.parts.extractor
    }

    /// What is said in one recording, segment by segment, while it is transcribed. Only Whisper writes
    /// segments before it has heard everything: without chunks after each window, and else after each batch
    /// of chunks.
    ///
    /// # Errors
    ///
    /// When an option is invalid, or the recording cannot be read.
    pub fn stream_segments(
        &self,
        input: impl Into<AudioInput>,
        options: &AutomaticSpeechRecognitionOptions,
    ) -> Result<TranscriptStream> {
        TranscriptStream::new(Hearing::new(self, options)?, input.into())
    }

    /// Which times come with the text: what is asked for, or else what the model's file says.
    fn timestamps(&self, options: &AutomaticSpeechRecognitionOptions) -> Result<ReturnTimestamps> {
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
            (_, asked) => Ok(asked),
        }
    }

    fn sampling_rate(&self) -> u32 {
        self.parts.extractor.sampling_rate()
    }
}

impl TaskSteps for AutomaticSpeechRecognitionPipeline {
    type Input = AudioInput;
    type Output = Transcript;
    type Options = AutomaticSpeechRecognitionOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        Hearing::new(self, options)
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<AudioInput>> {
        let rate = self.sampling_rate();
        match input {
            // A list of numbers is one recording.
            Value::Array(items) if !matches!(items.first(), Some(Value::Number(_))) => {
                let items = items.iter().map(|item| AudioInput::read(item, rate));
                Ok(Items::many(items.collect::<Result<Vec<_>>>()?))
            }
            one => AudioInput::read(one, rate).map(Items::One),
        }
    }

    fn read_media(&self, input: Input, _: &Self::Options) -> Result<AudioInput> {
        match input {
            Input::Media(Media::Audio(audio)) => Ok(audio.into()),
            Input::Bytes(bytes) => Ok(bytes.into()),
            other => AudioInput::read(&other.into_json()?, self.sampling_rate()),
        }
    }

    fn write_output(&self, output: Transcript, options: &Self::Options) -> Result<Value> {
        let has_language = options.return_language == Some(true);
        Ok(output::record(&output, self.timestamps(options)?, has_language))
    }

    /// What stands beside the samples of a recording comes back, each in a list.
    fn answer(&self, input: &Value, options: &Self::Options) -> Result<Option<Value>> {
        let extra = AudioInput::extra(input);
        if extra.is_empty() {
            return Ok(None);
        }
        let recording = AudioInput::read(input, self.sampling_rate())?;
        let output = skeleton::run(self, recording, options)?;
        let mut record = self.write_output(output, options)?;
        for (name, value) in extra {
            record[name] = Value::Array(vec![value]);
        }
        Ok(Some(record))
    }
}
