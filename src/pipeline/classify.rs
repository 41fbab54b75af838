//! What pipelines on a sequence classifier share: a text or a pair in, its logits out.

use std::fmt;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::embeddings::messages::Messages;
use crate::error::Result;
use crate::models::heads::SequenceClassifier;
use crate::pipeline::flow::{Measured, Work};
use crate::pipeline::scores;
use crate::pipeline::skeleton::from_text;
use crate::pipeline::tokenize::{Rows, token_batch};
use crate::tokenizer::{Encoding, TextInput};

/// A text, or two that are read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextOrPair {
    /// One text.
    Text(String),
    /// Two texts: `{"text": …, "text_pair": …}`.
    Pair(String, String),
}

/// How a pair becomes a row.
pub(super) enum Reading {
    /// As the messages of `query` and `document` in the tokenizer's chat template, after a system
    /// message, where it is not empty: rerankers made of decoders.
    Messages { messages: Box<Messages>, system: String, limit: usize },
    /// One text after the other, as the tokenizer puts them together, behind a prompt.
    Texts { prompt: String },
}

/// Classifies texts and makes an output of each one's logits.
pub(super) struct Classify<F> {
    pub(super) rows: Rows,
    pub(super) reading: Reading,
    pub(super) model: Arc<dyn SequenceClassifier>,
    pub(super) output: F,
}

impl<O, F: Fn(Vec<f32>) -> O + Send + Sync + 'static> Work for Classify<F> {
    type Item = TextOrPair;
    type Kept = ();
    type Row = Encoding;
    type Answer = Vec<f32>;
    type Output = O;

    fn prepare(&self, item: TextOrPair) -> Result<((), Vec<Encoding>)> {
        let row = match (&item, &self.reading) {
            (TextOrPair::Text(text), Reading::Texts { prompt }) => {
                self.rows.row(TextInput::Text(&format!("{prompt}{text}")))?
            }
            (TextOrPair::Pair(first, second), Reading::Texts { prompt }) => {
                self.rows.row(TextInput::Pair(&format!("{prompt}{first}"), second))?
            }
            (item, Reading::Messages { messages, system, limit }) => {
                let texts = match item {
                    TextOrPair::Text(text) => vec![("user", text.as_str())],
                    TextOrPair::Pair(query, document) => {
                        vec![("query", query.as_str()), ("document", document.as_str())]
                    }
                };
                let row = messages.row(system, &texts, *limit)?;
                self.rows.check(&row)?;
                row
            }
        };
        Ok(((), vec![row]))
    }

    fn forward(&self, rows: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        scores::rows(&self.model.classify(&token_batch(rows)?)?)
    }

    fn finish(&self, (): (), rows: Vec<(Encoding, Vec<f32>)>) -> Result<O> {
        let logits = rows.into_iter().next().map(|(_, logits)| logits).unwrap_or_default();
        Ok((self.output)(logits))
    }
}

impl Measured for TextOrPair {
    fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Pair(first, second) => first.len() + second.len(),
        }
    }
}

from_text!(TextOrPair);

impl From<(&str, &str)> for TextOrPair {
    fn from((first, second): (&str, &str)) -> Self {
        Self::Pair(first.to_owned(), second.to_owned())
    }
}

/// A text; `{"text": …, "text_pair": …}`, where null is no pair; or `[["…", "…"]]`, an old form of a
/// pair that transformers 4 still takes.
impl<'de> Deserialize<'de> for TextOrPair {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Pair {
            text: String,
            text_pair: Option<String>,
        }

        struct Shapes;

        impl<'de> Visitor<'de> for Shapes {
            type Value = TextOrPair;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or {\"text\": …, \"text_pair\": …}")
            }

            fn visit_str<E>(self, text: &str) -> Result<TextOrPair, E> {
                Ok(text.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<TextOrPair, A::Error> {
                let Pair { text, text_pair } =
                    Pair::deserialize(MapAccessDeserializer::new(fields))?;
                Ok(match text_pair {
                    None => TextOrPair::Text(text),
                    Some(pair) => TextOrPair::Pair(text, pair),
                })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<TextOrPair, A::Error> {
                if let Ok(Some([first, second])) = items.next_element::<[String; 2]>()
                    && items.next_element::<IgnoredAny>()?.is_none()
                {
                    return Ok(TextOrPair::Pair(first, second));
                }
                Err(A::Error::invalid_type(Unexpected::Seq, &self))
            }
        }

        from.deserialize_any(Shapes)
    }
}
