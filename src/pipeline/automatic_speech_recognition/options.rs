//! Call options, by their Hugging Face names.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::fields::options;
use crate::generation::CancelHandle;
use crate::pipeline::arguments;
use crate::pipeline::options::{CallOptions, Progress, TaskOptions, TruncationReport};
use crate::speech::ctc::CtcBeamOptions;
use crate::speech::speakers::Diarizer;
use crate::speech::whisper::{AudioProgress, WhisperOptions};

/// Call options of `automatic-speech-recognition`, by their Hugging Face names. `None` is the default, which
/// the field's docs name. As JSON they are keyword arguments of the Python pipeline; those of `generate`
/// may stand in `generate_kwargs` or beside it.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct AutomaticSpeechRecognitionOptions {
    /// Recordings, or chunks of them, that the model reads at once. Default: 8. The result does not depend
    /// on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    /// Cuts recordings into chunks of so many seconds, which overlap, and puts their texts together. Whisper
    /// by itself reads long recordings more exactly; chunks are faster, as many are read at once. Default: 0,
    /// no chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_length_s: Option<f64>,
    /// Seconds at both ends of a chunk that it shares with its neighbours. Default: a sixth of the chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride_length_s: Option<StrideLength>,
    /// Which times come with the text. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_timestamps: Option<ReturnTimestamps>,
    /// Whisper: whether the language comes with the text, by its English name. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_language: Option<bool>,
    /// Whether the warning about chunks of an encoder-decoder is left out. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore_warning: Option<bool>,
    /// Models that write letter by letter (CTC): a search over prefixes of texts, without a language model,
    /// in place of the likeliest letter of each frame. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder_kwargs: Option<CtcBeamOptions>,
    /// Who says who speaks: the segments and words of the transcript then name their
    /// [speakers](crate::speech::transcript::Segment::speaker), and so do `chunks` in JSON. It needs times, and the
    /// whole recording in memory. Default: nobody.
    #[serde(skip)]
    pub diarizer: Option<SpeakersOf>,
    /// Receives how many seconds have been transcribed, after each window of Whisper's. Default: a bar on
    /// stderr, as [`progress`](Self::progress) says.
    #[serde(skip)]
    pub audio_progress: Option<AudioProgressCall>,
    /// Ends the call from another thread; what was transcribed until then is returned.
    #[serde(skip)]
    pub cancel: Option<CancelHandle>,
    /// Where the progress of a long call is reported: finished recordings. Default: a bar on stderr, which
    /// counts seconds of audio.
    #[serde(skip)]
    pub progress: Option<Progress>,
    /// Everything that `generate` takes: `language`, `task`, `num_beams`, … Options of Whisper's alone are
    /// errors with other models, and all of them with models that do not generate.
    #[serde(flatten)]
    pub generate: WhisperOptions,
}

/// Which times come with a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReturnTimestamps {
    /// None: `false`.
    #[default]
    No,
    /// Those of segments, with Whisper: `true`.
    Segments,
    /// Those of words: `"word"`.
    Word,
    /// Those of characters, with models that write letter by letter (CTC): `"char"`.
    Char,
}

/// What a chunk shares with its neighbours, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StrideLength {
    /// As much on both sides.
    Both(f64),
    /// On the left and on the right.
    Each(f64, f64),
}

/// A [`Diarizer`] of a call.
#[derive(Clone)]
pub struct SpeakersOf(Arc<dyn Diarizer>);

impl SpeakersOf {
    /// As a diarizer tells them.
    pub fn new(diarizer: impl Diarizer + 'static) -> Self {
        Self(Arc::new(diarizer))
    }

    pub(super) fn diarizer(&self) -> &dyn Diarizer {
        &*self.0
    }
}

impl fmt::Debug for SpeakersOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpeakersOf")
    }
}

/// A function that is told how much has been transcribed.
#[derive(Clone)]
pub struct AudioProgressCall(Arc<dyn Fn(AudioProgress) + Send + Sync>);

impl AudioProgressCall {
    /// Of a function.
    pub fn new(told: impl Fn(AudioProgress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    pub(super) fn call(&self, progress: AudioProgress) {
        (self.0)(progress);
    }
}

impl fmt::Debug for AudioProgressCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AudioProgressCall")
    }
}

impl AutomaticSpeechRecognitionOptions {
    options!(@setter batch_size usize);
    options!(@setter chunk_length_s f64);
    options!(@setter stride_length_s StrideLength);
    options!(@setter return_timestamps ReturnTimestamps);
    options!(@setter return_language bool);
    options!(@setter ignore_warning bool);
    options!(@setter decoder_kwargs CtcBeamOptions);
    options!(@setter diarizer SpeakersOf);
    options!(@setter audio_progress AudioProgressCall);
    options!(@setter cancel CancelHandle);
    options!(@setter progress Progress);

    /// Sets [`generate`](Self::generate).
    #[must_use]
    pub fn generate(self, generate: WhisperOptions) -> Self {
        Self { generate, ..self }
    }

    /// Sets the language of [`generate`](Self::generate): what is spoken, by name (`"french"`) or code.
    #[must_use]
    pub fn language(self, language: impl Into<String>) -> Self {
        Self { generate: self.generate.language(language), ..self }
    }

    /// Reads keyword arguments of the Python pipeline.
    ///
    /// # Errors
    ///
    /// When there is no such option, or its value has the wrong type.
    pub fn from_json(mut options: Map<String, Value>) -> Result<Self> {
        let take = &mut options;
        let mut read = Self {
            batch_size: arguments::take(take, "batch_size")?,
            chunk_length_s: arguments::take(take, "chunk_length_s")?,
            stride_length_s: arguments::take(take, "stride_length_s")?,
            return_timestamps: arguments::take(take, "return_timestamps")?,
            return_language: arguments::take(take, "return_language")?,
            ignore_warning: arguments::take(take, "ignore_warning")?,
            decoder_kwargs: arguments::take(take, "decoder_kwargs")?,
            ..Self::default()
        };
        if let Some(more) = arguments::take::<Map<String, Value>>(take, "generate_kwargs")? {
            for (name, value) in more {
                // As keyword arguments go over those of the dictionary.
                options.entry(name).or_insert(value);
            }
        }
        read.generate = WhisperOptions::from_json(options)?;
        Ok(read)
    }

    /// Refuses numbers that mean nothing.
    pub(super) fn check(&self) -> Result<()> {
        let seconds = |name, value: Option<f64>| match value {
            Some(value) if !(value >= 0.0 && value.is_finite()) => {
                Err(Error::option(name, format!("{value} is no number of seconds")))
            }
            _ => Ok(()),
        };
        seconds("chunk_length_s", self.chunk_length_s)?;
        let (left, right) = match self.stride_length_s {
            None => (None, None),
            Some(StrideLength::Both(both)) => (Some(both), None),
            Some(StrideLength::Each(left, right)) => (Some(left), Some(right)),
        };
        seconds("stride_length_s", left)?;
        seconds("stride_length_s", right)
    }
}

/// Keyword arguments of the Python pipeline, as
/// [`from_json`](AutomaticSpeechRecognitionOptions::from_json) reads them.
impl<'de> Deserialize<'de> for AutomaticSpeechRecognitionOptions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        Self::from_json(Map::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl TaskOptions for AutomaticSpeechRecognitionOptions {
    fn read(options: Map<String, Value>) -> Result<Self> {
        Self::from_json(options)
    }

    fn call(&self) -> CallOptions {
        let progress = match self.progress.clone().unwrap_or_default() {
            // It counts seconds, and is drawn where they are.
            Progress::Bar => Progress::Off,
            other => other,
        };
        CallOptions { batch_size: self.batch_size, progress, ..CallOptions::default() }
    }

    /// Nothing is cut.
    fn report_to(&mut self, _: TruncationReport) {}
}

impl Serialize for ReturnTimestamps {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::No => to.serialize_bool(false),
            Self::Segments => to.serialize_bool(true),
            Self::Word => to.serialize_str("word"),
            Self::Char => to.serialize_str("char"),
        }
    }
}

impl<'de> Deserialize<'de> for ReturnTimestamps {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Read;

        impl Visitor<'_> for Read {
            type Value = ReturnTimestamps;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, \"word\" or \"char\"")
            }

            fn visit_bool<E>(self, value: bool) -> std::result::Result<ReturnTimestamps, E> {
                Ok(if value { ReturnTimestamps::Segments } else { ReturnTimestamps::No })
            }

            fn visit_str<E: de::Error>(
                self,
                name: &str,
            ) -> std::result::Result<ReturnTimestamps, E> {
                match name {
                    "word" => Ok(ReturnTimestamps::Word),
                    "char" => Ok(ReturnTimestamps::Char),
                    _ => Err(E::invalid_value(de::Unexpected::Str(name), &self)),
                }
            }
        }

        from.deserialize_any(Read)
    }
}

impl Serialize for StrideLength {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Both(both) => both.serialize(to),
            Self::Each(left, right) => [left, right].serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for StrideLength {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = StrideLength;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds, or two of them")
            }

            fn visit_f64<E>(self, seconds: f64) -> std::result::Result<StrideLength, E> {
                Ok(StrideLength::Both(seconds))
            }

            fn visit_u64<E>(self, seconds: u64) -> std::result::Result<StrideLength, E> {
                Ok(StrideLength::Both(seconds as f64))
            }

            fn visit_i64<E>(self, seconds: i64) -> std::result::Result<StrideLength, E> {
                Ok(StrideLength::Both(seconds as f64))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut seconds: A,
            ) -> std::result::Result<StrideLength, A::Error> {
                let two = (seconds.next_element()?, seconds.next_element()?);
                match (two, seconds.next_element::<de::IgnoredAny>()?) {
                    ((Some(left), Some(right)), None) => Ok(StrideLength::Each(left, right)),
                    _ => Err(de::Error::invalid_length(0, &self)),
                }
            }
        }

        from.deserialize_any(Read)
    }
}
