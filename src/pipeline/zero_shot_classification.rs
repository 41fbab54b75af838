//! `zero-shot-classification`: which of any labels fits a text, asked of a model that knows whether
//! one sentence follows from another.
//!
//! Mirrors `pipelines/zero_shot_classification.py` of transformers 4.57.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::heads::SequenceClassifier;
use crate::options::LoadOptions;
use crate::pipeline::Task;
use crate::pipeline::TaskPipeline;
use crate::pipeline::flow::{Flow, Work};
use crate::pipeline::json::{self, OneOrMore};
use crate::pipeline::scores;
use crate::pipeline::tokenize::{Rows, TextTruncation, TokenizerOptions};
use crate::pipeline::truncation::TruncationReport;
use crate::source::ModelFiles;
use crate::tokenizer::{Encoding, TextInput, Tokenizer, TruncationStrategy};
use crate::warning::warn;

/// Call options of [`ZeroShotClassificationPipeline`], by their Hugging Face names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ZeroShotClassificationOptions {
    /// The most rows of a forward pass, one row per text and label. Default: as many as fit a
    /// budget of tokens.
    pub batch_size: Option<usize>,
    /// The labels, at least one. In JSON a list, or one text with commas between them.
    #[serde(deserialize_with = "labels")]
    pub candidate_labels: Vec<String>,
    /// The sentence that a label is put into, at `{}`. Default: `This example is {}.`
    pub hypothesis_template: Option<String>,
    /// Whether each label is judged by itself instead of against the others. Default: `false`.
    pub multi_label: Option<bool>,
    /// Gets the numbers of the inputs that are cut.
    #[serde(skip)]
    pub truncation_report: Option<TruncationReport>,
}

fn labels<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    Ok(match OneOrMore::deserialize(from)? {
        OneOrMore::More(labels) => labels,
        OneOrMore::One(text) => {
            let labels = text.split(',').map(str::trim).filter(|label| !label.is_empty());
            labels.map(str::to_owned).collect()
        }
    })
}

/// A text with its labels, the best first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ZeroShotClassification {
    /// The text.
    pub sequence: String,
    /// The labels, best first.
    pub labels: Vec<String>,
    /// A probability for each label.
    pub scores: Vec<f32>,
}

/// Says which of any labels fits a text.
#[derive(Debug)]
pub struct ZeroShotClassificationPipeline {
    model: Arc<dyn SequenceClassifier>,
    tokenizer: Tokenizer,
    /// The logits of "does not follow" and "follows".
    contradiction: usize,
    entailment: usize,
}

impl ZeroShotClassificationPipeline {
    /// Judges a text by labels.
    ///
    /// # Errors
    ///
    /// When there are no labels, the text is empty, a row is too long, or the model fails.
    pub fn run<L: Into<String>>(
        &self,
        text: impl Into<String>,
        candidate_labels: impl IntoIterator<Item = L>,
    ) -> Result<ZeroShotClassification> {
        let candidate_labels = candidate_labels.into_iter().map(Into::into).collect();
        let options = ZeroShotClassificationOptions { candidate_labels, ..Default::default() };
        self.run_with(text, &options)
    }

    /// As [`run`](Self::run), with options.
    ///
    /// # Errors
    ///
    /// As there, and when the template has no place for a label.
    pub fn run_with(
        &self,
        text: impl Into<String>,
        options: &ZeroShotClassificationOptions,
    ) -> Result<ZeroShotClassification> {
        let mut outputs = self.run_batch([text], options)?;
        outputs.pop().ok_or_else(|| Error::input("no text"))
    }

    /// Many texts, in order, each with what it would get alone.
    ///
    /// # Errors
    ///
    /// As [`run_with`](Self::run_with); nothing is returned where one text fails.
    pub fn run_batch<T: Into<String>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &ZeroShotClassificationOptions,
    ) -> Result<Vec<ZeroShotClassification>> {
        self.stream(texts, options)?.collect()
    }

    /// As [`run_batch`](Self::run_batch), one output after the other, in bounded memory.
    ///
    /// # Errors
    ///
    /// When an option is invalid. A text that fails gives an error in its place.
    pub fn stream<T: Into<String>, I: IntoIterator<Item = T>>(
        &self,
        texts: I,
        options: &ZeroShotClassificationOptions,
    ) -> Result<impl Iterator<Item = Result<ZeroShotClassification>> + use<T, I>> {
        if options.candidate_labels.is_empty() {
            return Err(Error::option("candidate_labels", "name at least one label"));
        }
        let template = options.hypothesis_template.as_deref().unwrap_or("This example is {}.");
        let hypotheses = options.candidate_labels.iter().map(|label| formatted(template, label));
        let hypotheses = hypotheses.collect::<Result<Vec<_>>>()?;
        if hypotheses[0] == template {
            let reason = "has no place for the label: put `{}` where it should go";
            return Err(Error::option("hypothesis_template", reason));
        }
        let first = TextTruncation::On(TruncationStrategy::OnlyFirst);
        let cut = TokenizerOptions { truncation: Some(first), ..Default::default() };
        let whole =
            TokenizerOptions { truncation: Some(TextTruncation::Off), ..Default::default() };
        let work = Judge {
            rows: Rows::new(&self.tokenizer, &*self.model, &cut),
            whole: Rows::new(&self.tokenizer, &*self.model, &whole),
            model: Arc::clone(&self.model),
            hypotheses,
            labels: options.candidate_labels.clone(),
            is_each_alone: options.multi_label == Some(true) || options.candidate_labels.len() == 1,
            contradiction: self.contradiction,
            entailment: self.entailment,
        };
        let texts = texts.into_iter().map(Into::into);
        Flow::new(work, texts, options.batch_size, options.truncation_report.as_ref())
    }
}

impl TaskPipeline for ZeroShotClassificationPipeline {
    const TASK: Task = Task::ZeroShotClassification;

    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::sequence_classifier_from(files, options)?;
        let tokenizer = Tokenizer::from_files(files)?;
        let labels = model.labels();
        let names = &labels.names;
        if names.len() < 2 {
            return Err(Error::unsupported(
                "zero-shot-classification needs a model for natural language inference, with labels \
                 such as entailment and contradiction; this one has a single label",
            ));
        }
        let found = labels.entailment();
        if let Some(id) = found.filter(|&id| id >= names.len()) {
            let count = names.len();
            return Err(Error::unsupported(format!(
                "{}: `label2id` says that entailment is label {id}, and the model has {count}",
                files.origin()
            )));
        }
        let last = names.len() - 1;
        if found.is_none() {
            warn(&format!(
                "no label of the model begins with `entail`: {:?} is taken",
                names[last]
            ));
        }
        let entailment = found.unwrap_or(last);
        let contradiction = if entailment == 0 { last } else { 0 };
        Ok(Self { model, tokenizer, contradiction, entailment })
    }

    fn call(
        &self,
        input: &Value,
        mut options: Map<String, Value>,
        report: &TruncationReport,
    ) -> Result<Value> {
        if options.get("multi_class").is_some_and(|old| !old.is_null()) {
            // Here the old name wins.
            options.remove("multi_label");
        }
        json::rename(&mut options, "multi_class", "multi_label");
        let mut options: ZeroShotClassificationOptions = json::options(options)?;
        options.truncation_report = Some(report.clone());
        json::texts(input, |texts| self.run_batch(texts, &options))
    }
}

/// Python's `template.format(label)`, for templates with `{}` or `{0}`.
fn formatted(template: &str, label: &str) -> Result<String> {
    let refuse = || {
        let reason = "should have one `{}` for the label; other braces are written `{{` and `}}`";
        Error::option("hypothesis_template", reason)
    };
    let mut text = String::with_capacity(template.len() + label.len());
    let mut rest = template;
    let mut unnumbered = 0;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let literal = rest.strip_prefix("{{").map(|after| ('{', after));
        if let Some((brace, after)) =
            literal.or_else(|| rest.strip_prefix("}}").map(|after| ('}', after)))
        {
            text.push(brace);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{}") {
            unnumbered += 1;
            text.push_str(label);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{0}") {
            text.push_str(label);
            rest = after;
        } else {
            return Err(refuse());
        }
    }
    text.push_str(rest);
    if unnumbered > 1 { Err(refuse()) } else { Ok(text) }
}

struct Judge {
    rows: Rows,
    whole: Rows,
    model: Arc<dyn SequenceClassifier>,
    hypotheses: Vec<String>,
    labels: Vec<String>,
    is_each_alone: bool,
    contradiction: usize,
    entailment: usize,
}

impl Work for Judge {
    type Item = String;
    type Kept = String;
    type Row = Vec<f32>;
    type Output = ZeroShotClassification;

    fn size(item: &String) -> usize {
        item.len()
    }

    fn prepare(&self, text: String) -> Result<(String, Vec<Encoding>)> {
        if text.is_empty() {
            return Err(Error::input("the text is empty"));
        }
        let row = |hypothesis: &String| {
            let pair = TextInput::Pair(&text, hypothesis);
            match self.rows.row(pair) {
                // As in transformers: a text too short to be cut is left whole.
                Err(Error::InvalidOption { option, .. }) if option == "truncation" => {
                    self.whole.row(pair)
                }
                row => row,
            }
        };
        let rows = self.hypotheses.iter().map(row).collect::<Result<Vec<_>>>()?;
        Ok((text, rows))
    }

    fn forward(&self, batch: &TokenBatch, _: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        scores::rows(&self.model.classify(batch)?)
    }

    fn finish(
        &self,
        sequence: String,
        rows: Vec<(Encoding, Vec<f32>)>,
    ) -> Result<ZeroShotClassification> {
        let scores: Vec<f32> = match self.is_each_alone {
            true => rows
                .iter()
                .map(|(_, row)| {
                    scores::softmax(&[row[self.contradiction], row[self.entailment]])[1]
                })
                .collect(),
            false => {
                let logits: Vec<f32> = rows.iter().map(|(_, row)| row[self.entailment]).collect();
                scores::softmax(&logits)
            }
        };
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        // transformers turns an ascending order round, so of equals the later comes first.
        order.reverse();
        Ok(ZeroShotClassification {
            sequence,
            labels: order.iter().map(|&label| self.labels[label].clone()).collect(),
            scores: order.iter().map(|&label| scores[label]).collect(),
        })
    }
}
