//! Call options, by their Hugging Face names.

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::fields::options;
use crate::generation::{CancelHandle, GenerationConfig, LogitsProcessor, StoppingCriterion};
use crate::pipeline::arguments;
use crate::pipeline::options::{CallOptions, Progress, TaskOptions, TruncationReport};
use crate::pipeline::text_to_text::Kind;
use crate::tokenizer::TruncationStrategy;

/// Call options of `summarization`, `translation` and `text2text-generation`, by their Hugging Face names.
/// `None` is the default, which the field's docs name. As JSON they are keyword arguments of the Python
/// pipelines.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct TextToTextOptions {
    /// Texts per forward pass. Default: 16, and fewer long ones. The result does not depend on it.
    pub batch_size: Option<usize>,
    /// Ends generation from another thread; what was generated until then is returned.
    #[serde(skip)]
    pub cancel: Option<CancelHandle>,
    /// Whether spaces before punctuation are removed from the output (` .`, ` ,`, ` n't`). Default:
    /// `false`.
    pub clean_up_tokenization_spaces: Option<bool>,
    /// Whether the output says how each text came about: [`WrittenText::details`](super::WrittenText::details).
    /// Not in Python. Default: `false`.
    pub details: Option<bool>,
    /// Whether the output is token ids. Default: `false`.
    pub return_tensors: Option<bool>,
    /// `summarization`: whether a text that is longer than the model reads is split between sentences, and
    /// the summaries of the parts are joined by spaces. Not in Python. Default: `false`.
    pub split_long_texts: Option<bool>,
    /// `translation`: the language of the texts, by the codes of the model. Multilingual models other than
    /// Marian's need it; models of one pair of languages ignore it.
    pub src_lang: Option<String>,
    /// Generation ends at the first token of this text, and no longer at the model's own end tokens, as
    /// in Python. To end at the whole text, use `stop_strings`. Default: none.
    pub stop_sequence: Option<String>,
    /// `translation`: the language to translate to. Multilingual models need it; models of one pair of
    /// languages ignore it.
    pub tgt_lang: Option<String>,
    /// Whether a text is cut that is longer than the tokenizer's `model_max_length` or than the model reads,
    /// whichever is less. Default: no, and one that is longer than the model reads is an error.
    pub truncation: Option<TruncationStrategy>,
    /// Where the progress of a long call is reported. Default: a bar on stderr.
    #[serde(skip)]
    pub progress: Option<Progress>,
    /// Processors of your own, run after those of [`generation`](Self::generation). Each answer gets a
    /// clone. Default: none.
    #[serde(skip)]
    pub logits_processor: Vec<Box<dyn LogitsProcessor>>,
    /// Stopping criteria of your own. Each answer gets a clone. Default: none.
    #[serde(skip)]
    pub stopping_criteria: Vec<Box<dyn StoppingCriterion>>,
    /// Receives the numbers of the truncated texts.
    #[serde(skip)]
    pub truncation_report: Option<TruncationReport>,
    /// Everything that `generate` takes: `num_beams`, `max_new_tokens`, `min_length`, …
    #[serde(flatten)]
    pub generation: GenerationConfig,
}

impl TextToTextOptions {
    options!(@setter batch_size usize);
    options!(@setter cancel CancelHandle);
    options!(@setter clean_up_tokenization_spaces bool);
    options!(@setter details bool);
    options!(@setter return_tensors bool);
    options!(@setter split_long_texts bool);
    options!(@setter src_lang String);
    options!(@setter stop_sequence String);
    options!(@setter tgt_lang String);
    options!(@setter truncation TruncationStrategy);
    options!(@setter progress Progress);
    options!(@setter truncation_report TruncationReport);

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

    /// Reads keyword arguments of the Python pipelines.
    ///
    /// # Errors
    ///
    /// When there is no such option, or its value has the wrong type.
    pub fn from_json(mut options: Map<String, Value>) -> Result<Self> {
        let take = &mut options;
        // Texts are what comes out unless `return_tensors` asks for ids; Python, too, ignores its value.
        let _ignored: Option<bool> = arguments::take(take, "return_text")?;
        let mut read = Self {
            batch_size: arguments::take(take, "batch_size")?,
            clean_up_tokenization_spaces: arguments::take(take, "clean_up_tokenization_spaces")?,
            details: arguments::take(take, "details")?,
            return_tensors: arguments::take(take, "return_tensors")?,
            split_long_texts: arguments::take(take, "split_long_texts")?,
            src_lang: arguments::take(take, "src_lang")?,
            stop_sequence: arguments::take(take, "stop_sequence")?,
            tgt_lang: arguments::take(take, "tgt_lang")?,
            truncation: arguments::take(take, "truncation")?,
            ..Self::default()
        };
        arguments::generation(&mut read.generation, options, &OF_PIPELINE)?;
        Ok(read)
    }

    /// Refuses what does not go together, and what other tasks than this one are asked for.
    pub(super) fn check(&self, kind: Kind) -> Result<()> {
        let asked = |name, is_set: bool, of: Kind| match is_set && kind != of {
            true => Err(Error::option(name, format!("is an option of {}", of.name()))),
            false => Ok(()),
        };
        asked("src_lang", self.src_lang.is_some(), Kind::Translation)?;
        asked("tgt_lang", self.tgt_lang.is_some(), Kind::Translation)?;
        asked("split_long_texts", self.splits(), Kind::Summarization)?;
        if self.splits() && self.return_tensors == Some(true) {
            return Err(Error::option(
                "split_long_texts",
                "gives texts, and excludes `return_tensors`",
            ));
        }
        if self.truncation == Some(TruncationStrategy::OnlySecond) {
            return Err(Error::option("truncation", "there is no second text"));
        }
        Ok(())
    }

    pub(super) fn splits(&self) -> bool {
        self.split_long_texts == Some(true)
    }
}

/// Options that are the pipelines' own.
const OF_PIPELINE: [&str; 10] = [
    "batch_size",
    "clean_up_tokenization_spaces",
    "details",
    "return_tensors",
    "return_text",
    "split_long_texts",
    "src_lang",
    "stop_sequence",
    "tgt_lang",
    "truncation",
];

impl From<GenerationConfig> for TextToTextOptions {
    fn from(generation: GenerationConfig) -> Self {
        Self { generation, ..Self::default() }
    }
}

/// Keyword arguments of the Python pipelines, as [`from_json`](TextToTextOptions::from_json) reads them.
impl<'de> Deserialize<'de> for TextToTextOptions {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        Self::from_json(Map::deserialize(from)?).map_err(de::Error::custom)
    }
}

impl TaskOptions for TextToTextOptions {
    fn read(options: Map<String, Value>) -> Result<Self> {
        Self::from_json(options)
    }

    fn call(&self) -> CallOptions {
        CallOptions {
            batch_size: self.batch_size,
            progress: self.progress.clone().unwrap_or_default(),
            truncation_report: self.truncation_report.clone(),
            ..CallOptions::default()
        }
    }

    fn report_to(&mut self, report: TruncationReport) {
        self.truncation_report = Some(report);
    }
}
