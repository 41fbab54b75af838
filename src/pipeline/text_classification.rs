//! `text-classification`: one label, or a score for each, of a text or a pair of texts.
//!
//! Mirrors `pipelines/text_classification.py` of transformers 4.57.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::Result;
use crate::models::heads::{Labels, ProblemType, SequenceClassifier};
use crate::pipeline::arguments;
use crate::pipeline::classify::{Classify, Reading, TextOrPair};
use crate::pipeline::options::{TaskOptions, task_options};
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf, pipeline};
use crate::pipeline::tokenize::{Rows, TokenizerOptions};

/// A label and how sure the model is of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LabelScore {
    /// The label, as the model's config names it.
    pub label: String,
    /// A probability, unless `function_to_apply` is `none`.
    pub score: f32,
}

impl LabelScore {
    /// Each label with its score, the best first; equals stay in the order of the labels.
    pub(super) fn ranked(
        labels: impl IntoIterator<Item = String>,
        scores: impl IntoIterator<Item = f32>,
    ) -> Vec<Self> {
        let scored = labels.into_iter().zip(scores);
        let mut scored: Vec<_> = scored.map(|(label, score)| Self { label, score }).collect();
        scored.sort_by(|a, b| b.score.total_cmp(&a.score));
        scored
    }
}

task_options! {
    /// Call options of [`TextClassificationPipeline`], by their Hugging Face names.
    TextClassificationOptions {
        /// From logits to scores. Default: none for a regression, sigmoid for a single label or
        /// several that may hold at once, else softmax.
        function_to_apply: ScoreFunction,
        /// With `true` and without `top_k`, all labels in the model's order. Deprecated in transformers.
        /// Default: as the model's config says, else `false`.
        return_all_scores: bool,
        /// Tokenization options; in JSON they stand next to the other options.
        #[serde(skip)]
        tokenizer: TokenizerOptions,
        /// How many labels, best first. Default: the best one.
        #[serde(deserialize_with = "top_k")]
        top_k: TopK,
    }
}

/// How many labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopK {
    /// All of them: `None` in Python, null in JSON.
    All,
    /// The best `n`.
    Best(usize),
}

/// From logits to scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScoreFunction {
    /// The logits themselves.
    None,
    /// Each by itself.
    Sigmoid,
    /// All add up to 1.
    Softmax,
}

pub(super) fn top_k<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TopK>, D::Error> {
    Ok(Some(Option::<usize>::deserialize(from)?.map_or(TopK::All, TopK::Best)))
}

impl Serialize for TopK {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => to.serialize_none(),
            Self::Best(count) => count.serialize(to),
        }
    }
}

pipeline! {
    /// Classifies a text or a pair of texts.
    ///
    #[doc = include_str!("../../docs/tasks/text-classification.md")]
    TextClassificationPipeline<dyn SequenceClassifier>
}

impl TextClassificationPipeline {
    /// The names of the labels, in the order of the logits.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        self.model.labels()
    }
}

impl TaskSteps for TextClassificationPipeline {
    type Input = TextOrPair;
    type Output = Vec<LabelScore>;
    type Options = TextClassificationOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        let (model, call) = (Arc::clone(&self.model), options.clone());
        Ok(Classify {
            reading: Reading::Texts { prompt: String::new() },
            rows: Rows::new(&self.tokenizer, &*self.model, options.tokenizer.as_ref()),
            model: Arc::clone(&self.model),
            output: move |logits| label_scores(logits, model.labels(), &call),
        })
    }

    fn read_options(&self, mut options: Map<String, Value>) -> Result<Self::Options> {
        let names = ["add_special_tokens", "max_length", "padding", "truncation"];
        let tokenizer = arguments::options(arguments::split(&mut options, &names))?;
        Ok(Self::Options::read(options)?.tokenizer(tokenizer))
    }

    /// As in transformers, the options decide whether labels come as a list, not their number.
    fn read_input(&self, input: &Value, options: &Self::Options) -> Result<Items<TextOrPair>> {
        if input.is_array() {
            return Ok(Items::many(arguments::item::<Vec<TextOrPair>>(input)?));
        }
        let item = arguments::item(input)?;
        Ok(match input.is_string() && options.top_k.is_none() {
            true => Items::many([item]),
            false => Items::One(item),
        })
    }

    fn write_output(&self, mut scores: Vec<LabelScore>, options: &Self::Options) -> Result<Value> {
        match options.top_k.is_none() && !options.returns_all_scores(self.labels()) {
            true => arguments::output(scores.pop()),
            false => arguments::output(scores),
        }
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
    let names = (0..).map(name);
    if options.returns_all_scores(labels) {
        return names.zip(scores).map(|(label, score)| LabelScore { label, score }).collect();
    }
    let mut scored = LabelScore::ranked(names, scores);
    match options.top_k.unwrap_or(TopK::Best(1)) {
        TopK::All => {}
        TopK::Best(count) => scored.truncate(count),
    }
    scored
}

impl TextClassificationOptions {
    /// Whether all labels come, in the model's order.
    fn returns_all_scores(&self, labels: &Labels) -> bool {
        self.top_k.is_none() && self.return_all_scores.unwrap_or(labels.return_all_scores)
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
