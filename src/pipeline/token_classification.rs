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
use crate::pipeline::tokenize::{RowWindows, Rows, TokenizerOptions, token_batch};
use crate::tokenizer::{Encoding, TextInput, TruncationStrategy};

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

/// A text whose entities are found window by window.
struct Labelling {
    text: Characters,
    /// Where each of the words that the text was put together from begins.
    word_starts: Option<Vec<usize>>,
    /// Those that are not made yet.
    windows: Option<RowWindows>,
    /// How many windows have been read, and what was found in them.
    read: usize,
    found: Vec<Entity>,
}

impl Label {
    fn find(&self, kept: &mut Labelling, rows: Vec<(Encoding, Vec<f32>)>) -> Result<()> {
        let reader = entities::Reader {
            tokenizer: self.rows.tokenizer(),
            labels: self.model.labels(),
            strategy: self.options.aggregation_strategy.unwrap_or_default(),
            text: &kept.text,
            word_starts: kept.word_starts.as_deref(),
            offsets: self.options.offset_mapping.as_deref(),
        };
        let ignored = |entity: &Entity| match &self.options.ignore_labels {
            Some(labels) => labels.contains(&entity.label),
            None => entity.label == "O",
        };
        kept.read += rows.len();
        for (row, logits) in &rows {
            let entities = reader.entities(row, logits)?.into_iter();
            kept.found.extend(entities.filter(|one| !ignored(one)));
        }
        Ok(())
    }
}

impl Work for Label {
    type Item = TextOrWords;
    type Kept = Labelling;
    type Row = Encoding;
    type Answer = Vec<f32>;
    type Output = Vec<Entity>;

    fn prepare(&self, item: TextOrWords) -> Result<(Labelling, Vec<Encoding>)> {
        let words: Vec<&str>;
        let input = match &item {
            TextOrWords::Text(text) => TextInput::Text(text),
            TextOrWords::Words(_) if self.rows.tokenizer().refuses_words() => {
                return Err(Error::option(
                    "is_split_into_words",
                    "this tokenizer tells words by the spaces between them; give it text, or set \
                     `add_prefix_space` in its tokenizer_config.json",
                ));
            }
            TextOrWords::Words(all) => {
                words = all.iter().map(String::as_str).collect();
                TextInput::Words(&words)
            }
        };
        let (windows, rows) = match self.options.stride {
            None => (None, vec![self.rows.row(input)?]),
            Some(stride) => {
                let strategy = TruncationStrategy::LongestFirst;
                let mut windows = self.rows.windows(input, strategy, stride)?;
                let rows = windows.some()?;
                (Some(windows), rows)
            }
        };
        let (text, word_starts) = match item {
            TextOrWords::Text(text) => (text, None),
            TextOrWords::Words(words) => {
                let delimiter = self.options.delimiter.as_deref().unwrap_or(" ");
                let gap = delimiter.chars().count();
                let mut next = 0;
                let mut starts = Vec::with_capacity(words.len());
                for word in &words {
                    starts.push(next);
                    next += word.chars().count() + gap;
                }
                (words.join(delimiter), Some(starts))
            }
        };
        let text = Characters::new(text);
        Ok((Labelling { text, word_starts, windows, read: 0, found: Vec::new() }, rows))
    }

    fn forward(&self, rows: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        scores::rows(&self.model.classify_tokens(&token_batch(rows)?)?)
    }

    fn next_rows(
        &self,
        kept: &mut Labelling,
        read: &mut Vec<(Encoding, Vec<f32>)>,
    ) -> Result<Vec<Encoding>> {
        self.find(kept, std::mem::take(read))?;
        kept.windows.as_mut().map_or_else(|| Ok(Vec::new()), RowWindows::some)
    }

    fn finish(&self, mut kept: Labelling, rows: Vec<(Encoding, Vec<f32>)>) -> Result<Vec<Entity>> {
        self.find(&mut kept, rows)?;
        let Labelling { read, found, .. } = kept;
        Ok(if read > 1 { entities::without_overlaps(found) } else { found })
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
