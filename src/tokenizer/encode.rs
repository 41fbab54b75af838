//! From text to ids.

use serde::{Deserialize, Serialize};
use tokenizers::{InputSequence, TruncationDirection};

use crate::error::Result;
use crate::tokenizer::encoding::Encoding;
use crate::tokenizer::shared::Tokenizer;
use crate::tokenizer::tokens::Tokens;
use crate::tokenizer::truncation::{Of, Truncation, Unfit, truncate};
use crate::tokenizer::windows::{Cut, Windows};

/// What to encode.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum TextInput<'a> {
    /// One text.
    Text(&'a str),
    /// Two texts, as in question answering and natural language inference.
    Pair(&'a str, &'a str),
    /// A text already split into words (`is_split_into_words`): `word_ids` then count these.
    Words(&'a [&'a str]),
}

impl<'a> From<&'a str> for TextInput<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for TextInput<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<(&'a str, &'a str)> for TextInput<'a> {
    fn from((first, second): (&'a str, &'a str)) -> Self {
        Self::Pair(first, second)
    }
}

impl<'a> From<&'a [&'a str]> for TextInput<'a> {
    fn from(words: &'a [&'a str]) -> Self {
        Self::Words(words)
    }
}

/// How to encode.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EncodeOptions {
    /// Add special tokens around the text (default `true`). Text from a chat template is encoded
    /// without, because templates write their own.
    pub add_special_tokens: bool,
    /// Cut what is too long. `None`: keep all.
    pub truncation: Option<Truncation>,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { add_special_tokens: true, truncation: None }
    }
}

impl EncodeOptions {
    /// Sets [`add_special_tokens`](Self::add_special_tokens).
    #[must_use]
    pub fn add_special_tokens(mut self, add: bool) -> Self {
        self.add_special_tokens = add;
        self
    }

    /// Sets [`truncation`](Self::truncation).
    #[must_use]
    pub fn truncation(mut self, truncation: Truncation) -> Self {
        self.truncation = Some(truncation);
        self
    }
}

impl Tokenizer {
    /// The ids of one text, with special tokens: transformers' `tokenizer(text)`.
    ///
    /// # Errors
    ///
    /// When the vocabulary cannot express the text (it lacks both the characters and an unknown
    /// token).
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        self.encode_with(text, &EncodeOptions::default())
    }

    /// The ids of a text, a pair of texts or a list of words.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), and when `truncation` leaves no room for special tokens.
    pub fn encode_with<'a>(
        &self,
        input: impl Into<TextInput<'a>>,
        options: &EncodeOptions,
    ) -> Result<Encoding> {
        Ok(self.fit(input.into(), options)?)
    }

    /// As [`encode_with`](Self::encode_with), with the reason as a kind where a text cannot be cut as
    /// asked.
    pub(crate) fn fit(
        &self,
        input: TextInput<'_>,
        options: &EncodeOptions,
    ) -> Result<Encoding, Unfit> {
        let mut windows = self.windows(input, options)?;
        let mut first = windows.next().transpose()?.unwrap_or_default();
        first.overflowing = windows.collect::<Result<_>>()?;
        Ok(first)
    }

    /// The windows of a text, of which [`fit`](Self::fit) gives the first with the others in it.
    pub(crate) fn windows(
        &self,
        input: TextInput<'_>,
        options: &EncodeOptions,
    ) -> Result<Windows, Unfit> {
        let backend = &self.shared.backend;
        let split = |text: InputSequence<'_>| self.tokens(text);
        let (mut first, mut second) = match input {
            TextInput::Text(text) => (split(text.into())?, None),
            TextInput::Pair(first, second) => {
                let mut second = split(second.into())?;
                // Before it is cut: templates set this in the first window only.
                second.set_type_id(1);
                (split(first.into())?, Some(second))
            }
            TextInput::Words(words) => (split(words.into())?, None),
        };
        if options.add_special_tokens && backend.leaves_ends() {
            let eos = self.eos_token().map(|token| token.id);
            [Some(&mut first), second.as_mut()]
                .into_iter()
                .flatten()
                .for_each(|text| text.change(|text| drop_end(text, eos)));
        }
        let add_special_tokens = options.add_special_tokens;
        let template = self.template.clone();
        if let Some(truncation) = &options.truncation {
            let special = if add_special_tokens { template.length(second.is_some()) } else { 0 };
            if let Some((of, ranges)) =
                truncate(self, &mut first, second.as_mut(), truncation, special)?
            {
                let (text, other, is_second) = match (of, second) {
                    (Of::Second, Some(second)) => (second, Some(first.whole()), true),
                    (_, second) => (first, second.map(Tokens::whole), false),
                };
                let cut = Cut { template, add_special_tokens, text, other, is_second, ranges };
                return Ok(Windows::Cut(Box::new(cut)));
            }
        }
        Ok(Windows::of(template.apply(
            first.whole(),
            second.map(Tokens::whole),
            add_special_tokens,
        )?))
    }
}

/// Takes an end away that the template puts there again.
fn drop_end(text: &mut tokenizers::Encoding, eos: Option<u32>) {
    let last = text.get_ids().last().copied();
    if last.is_some() && last == eos {
        text.truncate(text.len() - 1, 0, TruncationDirection::Right);
        text.take_overflowing();
    }
}
