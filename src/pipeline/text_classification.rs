//! `text-classification`: one label, or a score for each, of a text or a pair of texts.
//!
//! Mirrors `pipelines/text_classification.py` of transformers 4.57.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::Result;
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
use crate::source::json as json_file;
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
    /// Default: as the model's config says, else `false`.
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
    /// `return_all_scores` of config.json.
    returns_all_scores: Option<bool>,
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
        let (model, mut call) = (Arc::clone(&self.model), options.clone());
        call.return_all_scores = call.return_all_scores.or(self.returns_all_scores);
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
        let model = AutoModel::sequence_classifier_from(files, options)?;
        let tokenizer = Tokenizer::from_files(files)?;
        let config: Option<Value> = json_file::optional(files, "config.json")?;
        let returns_all_scores = config.and_then(|config| config["return_all_scores"].as_bool());
        Ok(Self { model, tokenizer, returns_all_scores })
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
        options.return_all_scores = options.return_all_scores.or(self.returns_all_scores);
        let is_legacy = options.top_k.is_none();
        // As in transformers, whether labels come as a list is for the options to say, not for their
        // number.
        let is_bare = is_legacy && !options.returns_all_scores();
        let one = |mut scores: Vec<LabelScore>| match is_bare {
            true => json::output(scores.pop()),
            false => json::output(scores),
        };
        if input.is_array() {
            let outputs = self.run_batch(json::item::<Vec<TextOrPair>>(input)?, &options)?;
            return outputs.into_iter().map(one).collect::<Result<Vec<_>>>().map(Value::Array);
        }
        let output = one(self.run_with(json::item::<TextOrPair>(input)?, &options)?)?;
        Ok(if input.is_string() && is_legacy { Value::Array(vec![output]) } else { output })
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
    if options.returns_all_scores() {
        return scored;
    }
    scored.sort_by(|a, b| b.score.total_cmp(&a.score));
    match options.top_k.unwrap_or(TopK::Best(1)) {
        TopK::All => {}
        TopK::Best(count) => scored.truncate(count),
    }
    scored
}

impl TextClassificationOptions {
    /// Whether all labels come, in the model's order.
    fn returns_all_scores(&self) -> bool {
        self.top_k.is_none() && self.return_all_scores == Some(true)
    }
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
