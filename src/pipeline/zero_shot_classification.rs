//! `zero-shot-classification`: which of any labels fits a text, asked of a model that knows whether
//! one sentence follows from another.
//!
//! Mirrors `pipelines/zero_shot_classification.py` of transformers 4.57.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::models::heads::SequenceClassifier;
use crate::pipeline::arguments::{self, OneOrMore};
use crate::pipeline::flow::Work;
use crate::pipeline::hypothesis::formatted;
use crate::pipeline::options::{TaskOptions, task_options};
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf, pipeline};
use crate::pipeline::tokenize::{Rows, TokenizerOptions, token_batch};
use crate::tokenizer::{Encoding, TextInput, TruncationStrategy, Unfit};
use crate::warning::warn;

task_options! {
    /// Call options of [`ZeroShotClassificationPipeline`], by their Hugging Face names.
    /// `candidate_labels` have no default.
    ZeroShotClassificationOptions {
        /// The labels, at least one. In JSON a list, or one text with commas between them.
        #[serde(deserialize_with = "labels")]
        candidate_labels: (Vec<String>),
        /// The sentence that a label is put into, at `{}`. Default: `This example is {}.`
        hypothesis_template: String,
        /// Whether each label is scored independently of the others. Default: `false`.
        multi_label: bool,
    }
}

fn labels<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Some(match OneOrMore::deserialize(from)? {
        OneOrMore::More(labels) => labels,
        OneOrMore::One(text) => {
            let labels = text.split(',').map(str::trim).filter(|label| !label.is_empty());
            labels.map(str::to_owned).collect()
        }
    }))
}

/// A text with its labels, the best first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ZeroShotClassification {
    /// The text.
    pub sequence: String,
    /// The labels, best first.
    pub labels: Vec<String>,
    /// A probability for each label.
    pub scores: Vec<f32>,
}

pipeline! {
    /// Scores a text against labels of your own. The options name the labels.
    ///
    #[doc = include_str!("../../docs/tasks/zero-shot-classification.md")]
    ZeroShotClassificationPipeline<dyn SequenceClassifier>
}

impl ZeroShotClassificationPipeline {
    /// Scores a text against labels.
    ///
    /// # Errors
    ///
    /// As [`run_with`](Self::run_with).
    pub fn classify<L: Into<String>>(
        &self,
        text: impl Into<String>,
        candidate_labels: impl IntoIterator<Item = L>,
    ) -> Result<ZeroShotClassification> {
        let options = ZeroShotClassificationOptions::default().candidate_labels(candidate_labels);
        self.run_with(text, &options)
    }

    /// The logits of "does not follow" and "follows".
    fn sides(&self) -> (usize, usize) {
        let labels = self.model.labels();
        let last = labels.names.len() - 1;
        let entailment = labels.entailment().unwrap_or(last);
        (if entailment == 0 { last } else { 0 }, entailment)
    }
}

impl TaskSteps for ZeroShotClassificationPipeline {
    type Input = String;
    type Output = ZeroShotClassification;
    type Options = ZeroShotClassificationOptions;

    fn check(&self) -> Result<()> {
        let (names, found) = (&self.model.labels().names, self.model.labels().entailment());
        match (names.len(), found) {
            (0 | 1, _) => Err(Error::unsupported(
                "zero-shot-classification needs a model for natural language inference, with labels \
                 such as entailment and contradiction; this one has a single label",
            )),
            (count, Some(id)) if id >= count => Err(Error::unsupported(format!(
                "`label2id` says that entailment is label {id}, and the model has {count}"
            ))),
            (_, Some(_)) => Ok(()),
            (count, None) => {
                let last = &names[count - 1];
                warn(&format!("no label of the model begins with `entail`: {last:?} is taken"));
                Ok(())
            }
        }
    }

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        let labels = options.candidate_labels.clone().unwrap_or_default();
        if labels.is_empty() {
            return Err(Error::option("candidate_labels", "name at least one label"));
        }
        let template = options.hypothesis_template.as_deref().unwrap_or("This example is {}.");
        let hypotheses = labels.iter().map(|label| formatted(template, label));
        let hypotheses = hypotheses.collect::<Result<Vec<_>>>()?;
        if hypotheses[0] == template {
            let reason = "has no place for the label: put `{}` where it should go";
            return Err(Error::option("hypothesis_template", reason));
        }
        let cut = TokenizerOptions::default().truncation(TruncationStrategy::OnlyFirst);
        let (contradiction, entailment) = self.sides();
        Ok(Judge {
            rows: Rows::new(&self.tokenizer, &*self.model, Some(&cut)),
            model: Arc::clone(&self.model),
            hypotheses,
            is_each_alone: options.multi_label == Some(true) || labels.len() == 1,
            labels,
            contradiction,
            entailment,
        })
    }

    fn read_options(&self, mut options: Map<String, Value>) -> Result<Self::Options> {
        if options.get("multi_class").is_some_and(|old| !old.is_null()) {
            // Here the old name wins.
            options.remove("multi_label");
        }
        arguments::rename(&mut options, "multi_class", "multi_label");
        TaskOptions::read(options)
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<String>> {
        Items::texts(input)
    }
}

struct Judge {
    rows: Rows,
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
    type Row = Encoding;
    type Answer = Vec<f32>;
    type Output = ZeroShotClassification;

    fn prepare(&self, text: String) -> Result<(String, Vec<Encoding>)> {
        if text.is_empty() {
            return Err(Error::input("the text is empty"));
        }
        let row = |hypothesis: &String| {
            let pair = TextInput::Pair(&text, hypothesis);
            match self.rows.row(pair) {
                // As in transformers: a text too short to be cut is left whole.
                Err(Unfit::TooShort(_)) => self.rows.whole(pair),
                row => row,
            }
        };
        let rows = self.hypotheses.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        Ok((text, rows))
    }

    fn forward(&self, rows: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        scores::rows(&self.model.classify(&token_batch(rows)?)?)
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
