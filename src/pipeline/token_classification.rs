//! `token-classification` (`ner`): the entities of a text, with where they stand.
//!
//! Mirrors `pipelines/token_classification.py` of transformers 4.57.

mod entities;
mod options;

use std::sync::Arc;

use serde_json::{Map, Value};

pub use entities::Entity;
pub use options::{AggregationStrategy, TokenClassificationOptions};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::heads::{Labels, TokenClassifier};
use crate::options::LoadOptions;
use crate::pipeline::Task;
use crate::pipeline::TaskPipeline;
use crate::pipeline::characters::Characters;
use crate::pipeline::flow::{Flow, Work};
use crate::pipeline::json;
use crate::pipeline::scores;
use crate::pipeline::tokenize::{Rows, TextTruncation, TokenizerOptions};
use crate::pipeline::truncation::TruncationReport;
use crate::source::ModelFiles;
use crate::tokenizer::{Encoding, TextInput, Tokenizer, TruncationStrategy};

/// A text, or the words of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextOrWords {
    /// A text.
    Text(String),
    /// A text split into words already: `is_split_into_words`.
    Words(Vec<String>),
}

/// Finds the entities of texts.
#[derive(Debug)]
pub struct TokenClassificationPipeline {
    model: Arc<dyn TokenClassifier>,
    tokenizer: Tokenizer,
}

impl TokenClassificationPipeline {
    /// The labelled tokens of a text.
    ///
    /// # Errors
    ///
    /// When the text has no tokens, or the model fails.
    pub fn run(&self, input: impl Into<TextOrWords>) -> Result<Vec<Entity>> {
        self.run_with(input, &TokenClassificationOptions::default())
    }

    /// As [`run`](Self::run), with options.
    ///
    /// # Errors
    ///
    /// As there, and when an option is invalid.
    pub fn run_with(
        &self,
        input: impl Into<TextOrWords>,
        options: &TokenClassificationOptions,
    ) -> Result<Vec<Entity>> {
        Ok(self.run_batch([input], options)?.pop().unwrap_or_default())
    }

    /// Many texts, in order, each with what it would get alone.
    ///
    /// # Errors
    ///
    /// As [`run_with`](Self::run_with); nothing is returned where one text fails.
    pub fn run_batch<T: Into<TextOrWords>>(
        &self,
        inputs: impl IntoIterator<Item = T>,
        options: &TokenClassificationOptions,
    ) -> Result<Vec<Vec<Entity>>> {
        self.stream(inputs, options)?.collect()
    }

    /// As [`run_batch`](Self::run_batch), one output after the other, in bounded memory.
    ///
    /// # Errors
    ///
    /// When an option is invalid. A text that fails gives an error in its place.
    pub fn stream<T: Into<TextOrWords>, I: IntoIterator<Item = T>>(
        &self,
        inputs: I,
        options: &TokenClassificationOptions,
    ) -> Result<impl Iterator<Item = Result<Vec<Entity>>> + use<T, I>> {
        let cut = TextTruncation::On(TruncationStrategy::LongestFirst);
        let rows = TokenizerOptions { truncation: Some(cut), ..Default::default() };
        let rows = Rows::new(&self.tokenizer, &*self.model, &rows);
        options.check(rows.longest())?;
        let work = Label { rows, model: Arc::clone(&self.model), options: options.clone() };
        let inputs = inputs.into_iter().map(Into::into);
        Flow::new(work, inputs, options.batch_size, options.truncation_report.as_ref())
    }

    /// The names of the labels, in the order of the logits.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        self.model.labels()
    }
}

impl TaskPipeline for TokenClassificationPipeline {
    const TASK: Task = Task::TokenClassification;

    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::token_classifier_from(files, options)?;
        Ok(Self { model, tokenizer: Tokenizer::from_files(files)? })
    }

    fn call(
        &self,
        input: &Value,
        options: Map<String, Value>,
        report: &TruncationReport,
    ) -> Result<Value> {
        let mut options = TokenClassificationOptions::from_json(options)?;
        options.truncation_report = Some(report.clone());
        if options.is_split_into_words != Some(true) {
            if input.as_array().is_some_and(Vec::is_empty) {
                return Err(Error::input("at least one text is needed"));
            }
            let words =
                input.as_array().and_then(|items| items.iter().find(|item| item.is_array()));
            if let Some(words) = words {
                let wanted = "a text (set `is_split_into_words` for lists of words)";
                return Err(json::misshapen(words, wanted));
            }
            return json::texts(input, |texts| self.run_batch(texts, &options));
        }
        let is_one = input.as_array().is_some_and(|items| !items.iter().all(Value::is_array));
        let texts: Vec<Vec<String>> = match is_one {
            true => vec![json::item(input)?],
            false => json::item(input)?,
        };
        json::output(self.run_batch(texts, &options)?)
    }
}

struct Label {
    rows: Rows,
    model: Arc<dyn TokenClassifier>,
    options: TokenClassificationOptions,
}

impl Work for Label {
    type Item = TextOrWords;
    /// The text, and where each of the words it was put together from begins.
    type Kept = (Characters, Option<Vec<usize>>);
    type Row = Vec<f32>;
    type Output = Vec<Entity>;

    fn size(item: &TextOrWords) -> usize {
        match item {
            TextOrWords::Text(text) => text.len(),
            TextOrWords::Words(words) => words.iter().map(String::len).sum(),
        }
    }

    fn prepare(&self, item: TextOrWords) -> Result<(Self::Kept, Vec<Encoding>)> {
        let encode = |input: TextInput<'_>| match self.options.stride {
            Some(stride) => {
                self.rows.windows(input, Some((TruncationStrategy::LongestFirst, stride)))
            }
            None => Ok(vec![self.rows.row(input)?]),
        };
        match item {
            TextOrWords::Text(text) => {
                let rows = encode(TextInput::Text(&text))?;
                Ok(((Characters::new(text), None), rows))
            }
            TextOrWords::Words(_) if self.rows.tokenizer().refuses_words() => Err(Error::option(
                "is_split_into_words",
                "this tokenizer tells words by the spaces between them; give it text, or set \
                     `add_prefix_space` in its tokenizer_config.json",
            )),
            TextOrWords::Words(words) => {
                let parts: Vec<&str> = words.iter().map(String::as_str).collect();
                let rows = encode(TextInput::Words(&parts))?;
                let delimiter = self.options.delimiter.as_deref().unwrap_or(" ");
                let gap = delimiter.chars().count();
                let mut next = 0;
                let mut starts = Vec::with_capacity(words.len());
                for word in &words {
                    starts.push(next);
                    next += word.chars().count() + gap;
                }
                Ok(((Characters::new(words.join(delimiter)), Some(starts)), rows))
            }
        }
    }

    fn forward(&self, batch: &TokenBatch, _: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        scores::rows(&self.model.classify_tokens(batch)?)
    }

    fn finish(
        &self,
        (text, word_starts): Self::Kept,
        rows: Vec<(Encoding, Vec<f32>)>,
    ) -> Result<Vec<Entity>> {
        let windows = rows.len();
        let mut found = Vec::new();
        for (row, logits) in &rows {
            let reader = entities::Reader {
                tokenizer: self.rows.tokenizer(),
                labels: self.model.labels(),
                strategy: self.options.aggregation_strategy.unwrap_or_default(),
                text: &text,
                word_starts: word_starts.as_deref(),
                offsets: self.options.offset_mapping.as_deref(),
            };
            let ignored = |entity: &Entity| match &self.options.ignore_labels {
                Some(labels) => labels.iter().any(|label| label == entity.label()),
                None => entity.label() == "O",
            };
            found.extend(reader.entities(row, logits)?.into_iter().filter(|one| !ignored(one)));
        }
        Ok(if windows > 1 { entities::without_overlaps(found) } else { found })
    }
}

impl From<&str> for TextOrWords {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for TextOrWords {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for TextOrWords {
    fn from(words: Vec<String>) -> Self {
        Self::Words(words)
    }
}
