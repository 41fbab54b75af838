//! Options of Whisper's `generate`, by their Hugging Face names.

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use crate::error::{Error, Result, did_you_mean};
use crate::fields::{choices, options};
use crate::generation::{CancelHandle, GenerationConfig, LogitsProcessor, StoppingCriterion};
use crate::read::{Wrong, read_field};
use crate::speech::whisper_tokenizer::WhisperTask;

/// Options of Whisper's `generate`, by their Hugging Face names. `None` is what the model's
/// generation_config.json says, or else the default, which the field's docs name.
///
/// ```
/// use sconce::generation::GenerationConfig;
/// use sconce::speech::WhisperTask;
/// use sconce::speech::whisper::WhisperOptions;
///
/// let options = WhisperOptions::default()
///     .language("french")
///     .task(WhisperTask::Translate)
///     .return_timestamps(true)
///     .temperature([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
///     .compression_ratio_threshold(2.4)
///     .logprob_threshold(-1.0)
///     .no_speech_threshold(0.6)
///     .generation(GenerationConfig::default().num_beams(5));
/// let json = serde_json::json!({"language": "french", "task": "translate", "num_beams": 5});
/// let read: WhisperOptions = serde_json::from_value(json).unwrap();
/// assert_eq!(read.generation, options.generation);
/// ```
///
/// Reference: `models/whisper/generation_whisper.py` of transformers 4.57.6.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct WhisperOptions {
    /// What is spoken, by name (`"french"`), code (`"fr"`) or token (`"<|fr|>"`): one for all recordings, or
    /// one for each. Default: detected for each recording in its first 30 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Vec<String>>,
    /// Whether the text is in the language of the speakers or in English. Default: the former.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<WhisperTask>,
    /// Whether Whisper writes timestamps. Recordings longer than 30 seconds need them. Default: for those
    /// alone, unless the model's file says no; then they are an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_timestamps: Option<bool>,
    /// Whether tokens and words get times, which takes one more pass of the decoder for each window.
    /// Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_token_timestamps: Option<bool>,
    /// Whether the model takes languages and tasks. Default: what its file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_multilingual: Option<bool>,
    /// The ids of a text that is said to precede: [`WhisperTokenizer::prompt_ids`](crate::speech::WhisperTokenizer::prompt_ids).
    /// Names and spellings in it are followed. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_ids: Option<Vec<u32>>,
    /// Which windows follow the prompt where they follow what was said before, too. Default: the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_condition_type: Option<PromptCondition>,
    /// Whether a window follows what was said before it. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition_on_prev_tokens: Option<bool>,
    /// The temperature, or several to be tried one after the other until the thresholds are met. At 0 the
    /// likeliest tokens are taken, above 0 tokens are drawn. Default: 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Vec<f64>>,
    /// What zlib makes smaller than this is repetition, and tried again with the next temperature. OpenAI
    /// takes 2.4; with timestamps the ids of transformers want about 1.35. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_ratio_threshold: Option<f64>,
    /// What has a lower mean log-probability is tried again with the next temperature. OpenAI takes -1.
    /// Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprob_threshold: Option<f64>,
    /// A window is skipped if silence is more probable than this, and its text less probable than
    /// `logprob_threshold`, if there is one. OpenAI takes 0.6. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_speech_threshold: Option<f64>,
    /// With `return_token_timestamps`: whether words that are too long to be true, as those around pauses are,
    /// are shortened as openai-whisper does it. Not in transformers. Default: `false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trim_words: Option<bool>,
    /// Recordings of which a window is read at once. Not in transformers. Default: 8. The result does not
    /// depend on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    /// Ends it from another thread; what was transcribed until then is returned.
    #[serde(skip)]
    pub cancel: Option<CancelHandle>,
    /// Processors of your own, run after those of the options. Each answer gets a clone. Default: none.
    #[serde(skip)]
    pub logits_processor: Vec<Box<dyn LogitsProcessor>>,
    /// Stopping criteria of your own, which end a window. Each answer gets a clone. Default: none.
    #[serde(skip)]
    pub stopping_criteria: Vec<Box<dyn StoppingCriterion>>,
    /// Everything else that `generate` takes: `num_beams`, `max_new_tokens`, … Tokens are drawn where
    /// [`temperature`](Self::temperature) says so.
    #[serde(flatten)]
    pub generation: GenerationConfig,
}

choices! {
    /// Which windows follow a prompt.
    PromptCondition, "prompt_condition_type" {
        /// The first.
        FirstSegment = "first-segment",
        /// All of them; needs `condition_on_prev_tokens`.
        AllSegments = "all-segments",
    }
}

impl WhisperOptions {
    options!(@setter task WhisperTask);
    options!(@setter return_timestamps bool);
    options!(@setter return_token_timestamps bool);
    options!(@setter is_multilingual bool);
    options!(@setter prompt_ids (Vec<u32>));
    options!(@setter prompt_condition_type PromptCondition);
    options!(@setter condition_on_prev_tokens bool);
    options!(@setter compression_ratio_threshold f64);
    options!(@setter logprob_threshold f64);
    options!(@setter no_speech_threshold f64);
    options!(@setter trim_words bool);
    options!(@setter batch_size usize);
    options!(@setter cancel CancelHandle);

    /// Sets [`language`](Self#structfield.language) to one for all recordings.
    #[must_use]
    pub fn language(self, language: impl Into<String>) -> Self {
        self.languages([language])
    }

    /// Sets [`language`](Self#structfield.language) to one for each recording.
    #[must_use]
    pub fn languages(self, languages: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let language = Some(languages.into_iter().map(Into::into).collect());
        Self { language, ..self }
    }

    /// Sets [`temperature`](Self#structfield.temperature) to those that are tried one after the other.
    #[must_use]
    pub fn temperature(self, temperatures: impl IntoIterator<Item = f64>) -> Self {
        Self { temperature: Some(temperatures.into_iter().collect()), ..self }
    }

    /// Adds to [`logits_processor`](Self::logits_processor).
    #[must_use]
    pub fn with_processor(mut self, processor: impl LogitsProcessor + 'static) -> Self {
        self.logits_processor.push(Box::new(processor));
        self
    }

    /// Adds to [`stopping_criteria`](Self::stopping_criteria).
    #[must_use]
    pub fn with_stopping_criterion(mut self, criterion: impl StoppingCriterion + 'static) -> Self {
        self.stopping_criteria.push(Box::new(criterion));
        self
    }

    /// Sets [`generation`](Self::generation).
    #[must_use]
    pub fn generation(self, generation: GenerationConfig) -> Self {
        Self { generation, ..self }
    }

    /// Reads keyword arguments of Whisper's `generate`.
    ///
    /// # Errors
    ///
    /// When there is no such option, or its value has the wrong type.
    pub fn from_json(options: Map<String, Value>) -> Result<Self> {
        let mut read = Self::default();
        for (name, value) in options {
            if !read.set(&name, &value)? && !read.generation.set(&name, &value)? {
                let known = NAMES.iter().chain(GenerationConfig::NAMES);
                let reason = format!("there is no such option{}", did_you_mean(&name, known));
                return Err(Error::option(name, reason));
            }
        }
        Ok(read)
    }

    /// Sets an option of Whisper's own; `false` where it has none of that name.
    fn set(&mut self, name: &str, value: &Value) -> Result<bool> {
        fn read<T: de::DeserializeOwned>(name: &str, value: &Value) -> Result<Option<T>> {
            let wrong = |wrong: Wrong| Error::option(wrong.place, wrong.reason);
            read_field(name, value).map_err(wrong)
        }
        let listed = match value {
            Value::Null | Value::Array(_) => value.clone(),
            one => Value::Array(vec![one.clone()]),
        };
        match name {
            "language" => self.language = read(name, &listed)?,
            "task" => self.task = read(name, value)?,
            "return_timestamps" => self.return_timestamps = read(name, value)?,
            "return_token_timestamps" => self.return_token_timestamps = read(name, value)?,
            "is_multilingual" => self.is_multilingual = read(name, value)?,
            "prompt_ids" => self.prompt_ids = read(name, value)?,
            "prompt_condition_type" => self.prompt_condition_type = read(name, value)?,
            "condition_on_prev_tokens" => self.condition_on_prev_tokens = read(name, value)?,
            "temperature" => self.temperature = read(name, &listed)?,
            "compression_ratio_threshold" => self.compression_ratio_threshold = read(name, value)?,
            "logprob_threshold" => self.logprob_threshold = read(name, value)?,
            "no_speech_threshold" => self.no_speech_threshold = read(name, value)?,
            "trim_words" => self.trim_words = read(name, value)?,
            "batch_size" => self.batch_size = read(name, value)?,
            // What comes out has segments in any case.
            "return_segments" => {
                let _ignored: Option<bool> = read(name, value)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Refuses values that make no sense, alone or with others.
    pub(super) fn check(&self) -> Result<()> {
        let temperatures = self.temperature.as_deref().unwrap_or(&[0.0]);
        if temperatures.is_empty() {
            return Err(Error::option("temperature", "is an empty list"));
        }
        if let Some(wrong) =
            temperatures.iter().find(|it| !(0.0..f64::from(f32::MAX)).contains(*it))
        {
            return Err(Error::option(
                "temperature",
                format!("is {wrong}, but must be at least 0"),
            ));
        }
        if self.generation.temperature.is_some() {
            let reason = "belongs to Whisper's own options, which may have several";
            return Err(Error::option("temperature", reason));
        }
        let draws = temperatures.iter().any(|&temperature| temperature > 0.0);
        match self.generation.do_sample {
            Some(true) if !draws => {
                return Err(Error::option("do_sample", "needs a `temperature` above 0"));
            }
            Some(false) if draws => {
                return Err(Error::option("do_sample", "is false, but `temperature` is above 0"));
            }
            _ => {}
        }
        for (name, threshold) in [
            ("compression_ratio_threshold", self.compression_ratio_threshold),
            ("logprob_threshold", self.logprob_threshold),
            ("no_speech_threshold", self.no_speech_threshold),
        ] {
            if threshold.is_some_and(f64::is_nan) {
                return Err(Error::option(name, "is no number"));
            }
        }
        if self.batch_size == Some(0) {
            return Err(Error::option("batch_size", "must be at least 1"));
        }
        match self.generation.num_return_sequences {
            None | Some(1) => Ok(()),
            Some(_) => Err(Error::option(
                "num_return_sequences",
                "there is one transcript of a recording; transcribe again with another `seed`",
            )),
        }
    }
}

/// As [`from_json`](WhisperOptions::from_json).
impl<'de> Deserialize<'de> for WhisperOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::from_json(Map::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Whisper's own options.
const NAMES: &[&str] = &[
    "language",
    "task",
    "return_timestamps",
    "return_token_timestamps",
    "is_multilingual",
    "prompt_ids",
    "prompt_condition_type",
    "condition_on_prev_tokens",
    "temperature",
    "compression_ratio_threshold",
    "logprob_threshold",
    "no_speech_threshold",
    "trim_words",
    "batch_size",
    "return_segments",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(options: &Value) -> Result<WhisperOptions> {
        WhisperOptions::from_json(options.as_object().unwrap().clone())
    }

    #[test]
    fn json_there_and_back() {
        let given = json!({
            "language": "fr", "task": "translate", "temperature": 0, "num_beams": 2,
            "prompt_ids": [3, 4], "prompt_condition_type": "all-segments", "logprob_threshold": null,
            "return_segments": true,
        });
        let options = read(&given).unwrap();
        assert_eq!(options.language.as_deref(), Some(["fr".to_owned()].as_slice()));
        assert_eq!(options.temperature, Some(vec![0.0]));
        assert_eq!(options.generation.num_beams, Some(2));
        let written = serde_json::to_value(&options).unwrap();
        let expected = json!({
            "language": ["fr"], "task": "translate", "temperature": [0.0], "num_beams": 2,
            "prompt_ids": [3, 4], "prompt_condition_type": "all-segments",
        });
        assert_eq!(written, expected);
        assert_eq!(serde_json::to_value(read(&written).unwrap()).unwrap(), expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (options, message) in [
            (json!({"langage": "fr"}), "did you mean \"language\""),
            (json!({"task": "transscribe"}), "did you mean \"transcribe\""),
            (json!({"temperature": "hot"}), "`temperature"),
            (json!({"language": ["fr", null]}), "`language"),
            (json!({"num_beans": 2}), "num_beams"),
        ] {
            let error = read(&options).unwrap_err().to_string();
            assert!(error.contains(message), "{options}: {error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (options, message) in [
            (json!({"temperature": []}), "empty"),
            (json!({"temperature": [0.0, -0.5]}), "-0.5"),
            (json!({"do_sample": true}), "`temperature` above 0"),
            (json!({"do_sample": false, "temperature": 0.5}), "above 0"),
            (json!({"batch_size": 0}), "at least 1"),
            (json!({"num_return_sequences": 2}), "seed"),
        ] {
            let error = read(&options).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(message), "{options}: {error}");
        }
        read(&json!({"do_sample": true, "temperature": [0.0, 0.5]})).unwrap().check().unwrap();
    }
}
