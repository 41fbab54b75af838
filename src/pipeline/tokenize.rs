//! From a text to a row of the model, with nothing cut in silence.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::{Error, Result, none_of};
use crate::models::{ModelLimits, TextModel};
use crate::read::described;
use crate::tokenizer::{
    EncodeOptions, Encoding, TextInput, Tokenizer, Truncation, TruncationStrategy,
};

/// How texts become tokens: the keyword arguments of Python's tokenizers that pipelines pass on.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TokenizerOptions {
    /// Whether special tokens are put around a text. Default: `true`.
    pub add_special_tokens: Option<bool>,
    /// The most tokens of a row. Default: the tokenizer's `model_max_length`, or what the model
    /// can read. Given without `truncation`, it turns that on, as in transformers.
    pub max_length: Option<usize>,
    /// Accepted and not needed: rows are padded as batches need it, and padding changes no result.
    pub padding: Option<Value>,
    /// Which text is cut where a row is too long. Default: none, and a row longer than the model is
    /// an error.
    pub truncation: Option<TextTruncation>,
}

/// Which text of a row is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTruncation {
    /// None: `false`, `do_not_truncate`.
    Off,
    /// As [`TruncationStrategy`] says: `true`, `longest_first`, `only_first`, `only_second`.
    On(TruncationStrategy),
}

impl<'de> Deserialize<'de> for TextTruncation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::Bool(false) => Ok(Self::Off),
            Value::Bool(true) => Ok(Self::On(TruncationStrategy::LongestFirst)),
            Value::String(name) => match name.as_str() {
                "do_not_truncate" => Ok(Self::Off),
                "longest_first" => Ok(Self::On(TruncationStrategy::LongestFirst)),
                "only_first" => Ok(Self::On(TruncationStrategy::OnlyFirst)),
                "only_second" => Ok(Self::On(TruncationStrategy::OnlySecond)),
                _ => Err(D::Error::custom(none_of(&name, &TRUNCATIONS))),
            },
            other => {
                let (found, names) = (described(&other), TRUNCATIONS.join(", "));
                Err(D::Error::custom(format!("{found} is none of true, false, {names}")))
            }
        }
    }
}

const TRUNCATIONS: [&str; 4] = ["do_not_truncate", "longest_first", "only_first", "only_second"];

/// Makes rows of texts for one call.
pub(super) struct Rows {
    tokenizer: Tokenizer,
    /// What the model reads.
    limits: ModelLimits,
    options: TokenizerOptions,
}

impl Rows {
    pub(super) fn new(
        tokenizer: &Tokenizer,
        model: &(impl TextModel + ?Sized),
        options: &TokenizerOptions,
    ) -> Self {
        Self { tokenizer: tokenizer.clone(), limits: model.limits(), options: options.clone() }
    }

    /// The row of one text or pair. What is cut off is its `overflowing`.
    pub(super) fn row(&self, input: TextInput<'_>) -> Result<Encoding> {
        let strategy = match self.options.truncation {
            Some(TextTruncation::On(strategy)) => Some(strategy),
            None => self.options.max_length.map(|_| TruncationStrategy::LongestFirst),
            Some(TextTruncation::Off) => None,
        };
        let mut row = self.windows(input, strategy.map(|kind| (kind, 0)))?;
        let rest = row.split_off(1);
        let mut first = row.swap_remove(0);
        first.overflowing = rest;
        Ok(first)
    }

    /// The windows of a text, `stride` tokens of which overlap.
    pub(super) fn windows(
        &self,
        input: TextInput<'_>,
        cut: Option<(TruncationStrategy, usize)>,
    ) -> Result<Vec<Encoding>> {
        let special = self.options.add_special_tokens.unwrap_or(true);
        let mut encode = EncodeOptions::default().add_special_tokens(special);
        if let Some((strategy, stride)) = cut {
            let to = Truncation::to(self.longest()).strategy(strategy).stride(stride);
            encode = encode.truncation(to);
        }
        let mut first = self.tokenizer.encode_with(input, &encode)?;
        let rest = std::mem::take(&mut first.overflowing);
        let mut windows: Vec<_> = std::iter::once(first).chain(rest).collect();
        if !self.tokenizer.returns_type_ids() {
            // Models of one type have no other; the tokenizers crate numbers the second text of all
            // windows but the first 1, whatever the template says.
            windows.iter_mut().for_each(|window| window.type_ids.fill(0));
        }
        windows.iter().try_for_each(|window| self.check(window))?;
        Ok(windows)
    }

    /// Refuses a row that is empty, longer than the model reads, or not of its vocabulary.
    pub(super) fn check(&self, row: &Encoding) -> Result<()> {
        let (tokens, limit) = (row.len(), self.limits.context);
        if tokens == 0 {
            return Err(Error::input("the text is empty: it has no tokens"));
        }
        if tokens > limit {
            let reason = format!(
                "a text of {tokens} tokens is longer than the {limit} that the model reads: set \
                 `truncation` to cut it, or split it"
            );
            return Err(Error::option("truncation", reason));
        }
        self.tokenizer.check_known(&row.ids, self.limits.vocab)
    }

    /// The most tokens of a row that may be cut.
    pub(super) fn longest(&self) -> usize {
        let limit = self.options.max_length.or_else(|| self.tokenizer.model_max_length());
        limit.unwrap_or(self.limits.context)
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}
