//! `token-classification` (`ner`): the entities of a text, with where they stand.
//!
//! Mirrors `pipelines/token_classification.py` of transformers 4.57.

mod entities;
mod options;

use std::sync::Arc;

use serde_json::{Map, Value};

pub use entities::Entity;
pub use options::{AggregationStrategy, TokenClassificationOptions};

use crate::error::{Error, Result};
use crate::models::heads::{Labels, TokenClassifier};
use crate::pipeline::arguments;
use crate::pipeline::characters::Characters;
use crate::pipeline::flow::{Measured, Work};
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf, from_text, pipeline};
use crate::pipeline::tokenize::{Rows, TokenizerOptions, token_batch};
use crate::tokenizer::{Encoding, TextInput, TruncationStrategy, Unfit};

/// A text, or the words of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextOrWords {
    /// A text.
    Text(String),
    /// A text split into words already: `is_split_into_words`.
    Words(Vec<String>),
}

pipeline! {
    /// Finds the entities of texts, or with no `aggregation_strategy` the labelled tokens.
    ///
    #[doc = include_str!("../../docs/tasks/token-classification.md")]
    TokenClassificationPipeline<dyn TokenClassifier>
}

impl TokenClassificationPipeline {
    /// The names of the labels, in the order of the logits.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        self.model.labels()
    }
}

impl TaskSteps for TokenClassificationPipeline {
    type Input = TextOrWords;
    type Output = Vec<Entity>;
    type Options = TokenClassificationOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        let rows = TokenizerOptions::default().truncation(TruncationStrategy::LongestFirst);
        let rows = Rows::new(&self.tokenizer, &*self.model, Some(&rows));
        options.check(rows.longest())?;
        Ok(Label { rows, model: Arc::clone(&self.model), options: options.clone() })
    }

    fn read_options(&self, options: Map<String, Value>) -> Result<TokenClassificationOptions> {
        TokenClassificationOptions::from_json(options)
    }

    fn read_input(
        &self,
        input: &Value,
        options: &TokenClassificationOptions,
    ) -> Result<Items<TextOrWords>> {
        let items = input.as_array().map(Vec::as_slice).unwrap_or_default();
        if options.is_split_into_words == Some(true) {
            let texts: Vec<Vec<String>> =
                match input.is_array() && !items.iter().all(Value::is_array) {
                    true => vec![arguments::item(input)?],
                    false => arguments::item(input)?,
                };
            return Ok(Items::many(texts.into_iter().map(TextOrWords::Words)));
        }
        if input.is_array() && items.is_empty() {
            return Err(Error::input("at least one text is needed"));
        }
        match items.iter().find(|item| item.is_array()) {
            None => Items::texts(input),
            Some(words) => {
                let wanted = "a text (set `is_split_into_words` for lists of words)";
                Err(arguments::misshapen(words, wanted))
            }
        }
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
    type Row = Encoding;
    type Answer = Vec<f32>;
    type Output = Vec<Entity>;

    fn prepare(&self, item: TextOrWords) -> Result<(Self::Kept, Vec<Encoding>)> {
        let encode = |input: TextInput<'_>| -> Result<Vec<Encoding>, Unfit> {
            match self.options.stride {
                Some(stride) => self.rows.windows(input, TruncationStrategy::LongestFirst, stride),
                None => Ok(vec![self.rows.row(input)?]),
            }
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

    fn forward(&self, rows: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        scores::rows(&self.model.classify_tokens(&token_batch(rows)?)?)
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
                Some(labels) => labels.contains(&entity.label),
                None => entity.label == "O",
            };
            found.extend(reader.entities(row, logits)?.into_iter().filter(|one| !ignored(one)));
        }
        Ok(if windows > 1 { entities::without_overlaps(found) } else { found })
    }
}

impl Measured for TextOrWords {
    fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Words(words) => words.iter().map(String::len).sum(),
        }
    }
}

from_text!(TextOrWords);

impl From<Vec<String>> for TextOrWords {
    fn from(words: Vec<String>) -> Self {
        Self::Words(words)
    }
}
