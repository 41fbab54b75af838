//! From text to ids.

use std::ops::Range;

use tokenizers::{InputSequence, TruncationDirection};

use crate::error::Result;
use crate::tokenizer::shared::Tokenizer;
use crate::tokenizer::truncation::{Truncation, Unfit, truncate};

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
#[derive(Debug, Clone)]
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

/// A text as ids, with the place in the text that each id comes from. All lists have one entry per
/// token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encoding {
    /// Token ids.
    pub ids: Vec<u32>,
    /// `token_type_ids`: 0 for the first text, 1 for the second, as in the model's template.
    pub type_ids: Vec<u32>,
    /// 1 for a token, 0 for padding.
    pub attention_mask: Vec<u8>,
    /// 1 for a special token that was put there and for padding, 0 for text.
    pub special_tokens_mask: Vec<u8>,
    /// Begin and end in the text, in characters (Unicode scalar values, as Python counts them);
    /// `(0, 0)` for special tokens.
    pub offsets: Vec<(usize, usize)>,
    /// The tokens as the vocabulary spells them.
    pub tokens: Vec<String>,
    /// The word of the text that a token belongs to; `None` for special tokens.
    pub word_ids: Vec<Option<u32>>,
    /// The text that a token belongs to, 0 or 1; `None` for special tokens.
    pub sequence_ids: Vec<Option<usize>>,
    /// The rest of a truncated text, in windows of the same length. If both texts of a pair are
    /// truncated, each window of one text comes with each window of the other. If these would have
    /// more than four million tokens, the windows of both texts come side by side.
    pub overflowing: Vec<Self>,
}

impl Encoding {
    /// The number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The byte range of each token in the text, for slicing; [`offsets`](Self::offsets) count
    /// characters. `text` is the text that was encoded; of a pair, the first (`sequence` 0) or the
    /// second (1). Tokens of the other text have empty ranges.
    ///
    /// ```
    /// use sconce::tokenizer::Tokenizer;
    ///
    /// let text = "Zoë Müller";
    /// let encoding = Tokenizer::open("./tests/goldens/encoders/bert-tiny")?.encode(text)?;
    /// let bytes = encoding.bytes(text, 0);
    /// let last = encoding.len() - 2; // before [SEP]
    /// assert_eq!(&text[bytes[1].start..bytes[last].end], text);
    /// assert_eq!((encoding.offsets[last].1, bytes[last].end), (10, 12));
    /// # Ok::<(), sconce::Error>(())
    /// ```
    #[must_use]
    pub fn bytes(&self, text: &str, sequence: usize) -> Vec<Range<usize>> {
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let byte = |character: usize| starts.get(character).copied().unwrap_or(text.len());
        let tokens = self.offsets.iter().zip(&self.sequence_ids);
        tokens
            .map(|(&(start, end), of)| match *of == Some(sequence) {
                true => byte(start)..byte(end).max(byte(start)),
                false => 0..0,
            })
            .collect()
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
        let backend = &self.shared.backend;
        let split = |text: InputSequence<'_>| backend.split(text, self.side);
        let (mut first, mut second) = match input {
            TextInput::Text(text) => (split(text.into())?, None),
            TextInput::Pair(first, second) => {
                let mut second = split(second.into())?;
                // Before it is cut: templates set this in the first window only.
                second.set_type_ids(vec![1; second.len()]);
                (split(first.into())?, Some(second))
            }
            TextInput::Words(words) => (split(words.into())?, None),
        };
        if options.add_special_tokens && backend.leaves_ends() {
            let eos = self.eos_token().map(|token| token.id);
            [Some(&mut first), second.as_mut()]
                .into_iter()
                .flatten()
                .for_each(|text| drop_end(text, eos));
        }
        if let Some(truncation) = &options.truncation {
            let special = match options.add_special_tokens {
                true => self.template.length(second.is_some()),
                false => 0,
            };
            truncate(self, &mut first, second.as_mut(), truncation, special)?;
        }
        let whole = self.template.apply(first, second, options.add_special_tokens)?;
        Ok(convert(whole))
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

fn convert(mut encoding: tokenizers::Encoding) -> Encoding {
    let overflowing = encoding.take_overflowing().into_iter().map(convert).collect();
    let small = |mask: &[u32]| mask.iter().map(|&value| u8::from(value != 0)).collect();
    Encoding {
        ids: encoding.get_ids().to_vec(),
        type_ids: encoding.get_type_ids().to_vec(),
        attention_mask: small(encoding.get_attention_mask()),
        special_tokens_mask: small(encoding.get_special_tokens_mask()),
        offsets: encoding.get_offsets().to_vec(),
        tokens: encoding.get_tokens().to_vec(),
        word_ids: encoding.get_word_ids().to_vec(),
        sequence_ids: encoding.get_sequence_ids(),
        overflowing,
    }
}
