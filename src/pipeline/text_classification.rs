//! `text-classification`: one label, or a score for each, of a text or a pair of texts.
//!
//! Mirrors `pipelines/text_classification.py` of transformers 4.57.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::heads::{Labels, ProblemType, SequenceClassifier};
use crate::options::LoadOptions;
use crate::pipeline::Task;
use crate::pipeline::TaskPipeline;
use crate::pipeline::classify::TextOrPair;
use crate::pipeline::classify::{Classify, Reading};
use crate::pipeline::flow::Flow;
use crate::pipeline::json;
use crate::pipeline::scores;
use crate::pipeline::tokenize::{Rows, TokenizerOptions};
use crate::pipeline::truncation::TruncationReport;
use crate::source::ModelFiles;
use crate::tokenizer::Tokenizer;

/// A label and how sure the model is of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LabelScore {
    /// The label, as the model's config names it.
    pub label: String,
    /// A probability, unless `function_to_apply` is `none`.
    pub score: f32,
}

/// Call options of [`TextClassificationPipeline`], by their Hugging Face names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TextClassificationOptions {
    /// The most rows of a forward pass. Default: as many as fit a budget of tokens.
    pub batch_size: Option<usize>,
    /// From logits to scores. Default: none for a regression, sigmoid for a single label or
    /// several that may hold at once, else softmax.
    pub function_to_apply: Option<ScoreFunction>,
    /// With `true` and without `top_k`, all labels in the model's order. Deprecated in transformers.
    pub return_all_scores: Option<bool>,
    /// How texts become tokens; in JSON these stand beside the other options.
    #[serde(skip)]
    pub tokenizer: TokenizerOptions,
    /// How many labels, best first. Default: the best one.
    #[serde(deserialize_with = "top_k")]
    pub top_k: Option<TopK>,
    /// Gets the numbers of the inputs that are cut.
    #[serde(skip)]
    pub truncation_report: Option<TruncationReport>,
}

/// How many labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopK {
    /// All of them: `None` in Python, null in JSON.
    All,
    /// The best so many.
    Best(usize),
}

/// From logits to scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreFunction {
    /// The logits themselves.
    None,
    /// Each by itself.
    Sigmoid,
    /// All add up to 1.
    Softmax,
}

fn top_k<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<TopK>, D::Error> {
    Ok(Some(Option::<usize>::deserialize(from)?.map_or(TopK::All, TopK::Best)))
}

/// Says which label fits a text or a pair of texts.
#[derive(Debug)]
pub struct TextClassificationPipeline {
    model: Arc<dyn SequenceClassifier>,
    tokenizer: Tokenizer,
}

impl TextClassificationPipeline {
    /// The best label of a text.
    ///
    /// # Errors
    ///
    /// When the text is longer than the model, or the model fails.
    pub fn run(&self, input: impl Into<TextOrPair>) -> Result<Vec<LabelScore>> {
        self.run_with(input, &TextClassificationOptions::default())
    }

    /// As [`run`](Self::run), with options.
    ///
    /// # Errors
    ///
    /// As there, and when an option is invalid.
    pub fn run_with(
        &self,
        input: impl Into<TextOrPair>,
        options: &TextClassificationOptions,
    ) -> Result<Vec<LabelScore>> {
        Ok(self.run_batch([input], options)?.pop().unwrap_or_default())
    }

    /// Many inputs, in order, each with what it would get alone.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); nothing is returned where one input fails.
    pub fn run_batch<T: Into<TextOrPair>>(
        &self,
        inputs: impl IntoIterator<Item = T>,
        options: &TextClassificationOptions,
    ) -> Result<Vec<Vec<LabelScore>>> {
        self.stream(inputs, options)?.collect()
    }

    /// As [`run_batch`](Self::run_batch), one output after the other, in bounded memory.
    ///
    /// # Errors
    ///
    /// When an option is invalid. An input that fails gives an error in its place.
    pub fn stream<T: Into<TextOrPair>, I: IntoIterator<Item = T>>(
        &self,
        inputs: I,
        options: &TextClassificationOptions,
    ) -> Result<impl Iterator<Item = Result<Vec<LabelScore>>> + use<T, I>> {
        let (model, call) = (Arc::clone(&self.model), options.clone());
        let work = Classify {
            reading: Reading::Texts,
            rows: Rows::new(&self.tokenizer, &*self.model, &options.tokenizer),
            model: Arc::clone(&self.model),
            output: move |logits| label_scores(logits, model.labels(), &call),
        };
        let inputs = inputs.into_iter().map(Into::into);
        Flow::new(work, inputs, options.batch_size, options.truncation_report.as_ref())
    }

    /// The names of the labels, in the order of the logits.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        self.model.labels()
    }
}

impl TaskPipeline for TextClassificationPipeline {
    const TASK: Task = Task::TextClassification;

    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let tokenizer = Tokenizer::from_files(files)?;
        Ok(Self { model: AutoModel::sequence_classifier_from(files, options)?, tokenizer })
    }

    fn call(
        &self,
        input: &Value,
        mut options: Map<String, Value>,
        report: &TruncationReport,
    ) -> Result<Value> {
        let names = ["add_special_tokens", "max_length", "padding", "truncation"];
        let tokenizer = json::options(json::split(&mut options, &names))?;
        let mut options: TextClassificationOptions = json::options(options)?;
        options.tokenizer = tokenizer;
        options.truncation_report = Some(report.clone());
        let is_legacy = options.top_k.is_none();
        let one = |mut scores: Vec<LabelScore>| match is_legacy && scores.len() == 1 {
            true => json::output(scores.pop()),
            false => json::output(scores),
        };
        match input {
            Value::Array(items) => {
                let inputs = items.iter().map(text_or_pair).collect::<Result<Vec<_>>>()?;
                let outputs = self.run_batch(inputs, &options)?;
                outputs.into_iter().map(one).collect::<Result<Vec<_>>>().map(Value::Array)
            }
            Value::String(_) if is_legacy => {
                Ok(Value::Array(vec![one(self.run_with(text_or_pair(input)?, &options)?)?]))
            }
            _ => one(self.run_with(text_or_pair(input)?, &options)?),
        }
    }
}

const INPUTS: &str = "text-classification takes a text, {\"text\": …, \"text_pair\": …} or a list \
                      of them";

fn text_or_pair(value: &Value) -> Result<TextOrPair> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    match (value, text("text"), text("text_pair")) {
        (Value::String(text), ..) => Ok(TextOrPair::Text(text.clone())),
        (Value::Object(fields), Some(text), None) if fields.len() == 1 => {
            Ok(TextOrPair::Text(text))
        }
        (Value::Object(fields), Some(text), Some(pair)) if fields.len() == 2 => {
            Ok(TextOrPair::Pair(text, pair))
        }
        _ => Err(Error::input(INPUTS)),
    }
}

/// The labels that the options ask for, with their scores.
fn label_scores(
    logits: Vec<f32>,
    labels: &Labels,
    options: &TextClassificationOptions,
) -> Vec<LabelScore> {
    let default = || match labels.problem_type {
        Some(ProblemType::Regression) => ScoreFunction::None,
        Some(ProblemType::MultiLabel) => ScoreFunction::Sigmoid,
        _ if logits.len() == 1 => ScoreFunction::Sigmoid,
        _ => ScoreFunction::Softmax,
    };
    let scores = options.function_to_apply.unwrap_or_else(default).apply(logits);
    let name =
        |label: usize| labels.names.get(label).cloned().unwrap_or_else(|| format!("LABEL_{label}"));
    let mut scored: Vec<_> = scores
        .into_iter()
        .enumerate()
        .map(|(label, score)| LabelScore { label: name(label), score })
        .collect();
    if options.top_k.is_none() && options.return_all_scores == Some(true) {
        return scored;
    }
    scored.sort_by(|a, b| b.score.total_cmp(&a.score));
    match options.top_k.unwrap_or(TopK::Best(1)) {
        TopK::All => {}
        TopK::Best(count) => scored.truncate(count),
    }
    scored
}

impl ScoreFunction {
    pub(super) fn apply(self, logits: Vec<f32>) -> Vec<f32> {
        match self {
            Self::None => logits,
            Self::Sigmoid => logits.into_iter().map(scores::sigmoid).collect(),
            Self::Softmax => scores::softmax(&logits),
        }
    }
}
