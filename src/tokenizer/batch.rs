//! Many texts as one batch.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::tokenizer::encode::{EncodeOptions, TextInput};
use crate::tokenizer::encoding::Encoding;
use crate::tokenizer::shared::Tokenizer;
use crate::tokenizer::truncation::Truncation;

/// How to make a batch.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BatchOptions {
    /// How each text is encoded.
    pub encode: EncodeOptions,
    /// To what length rows are padded.
    pub padding: Padding,
    /// Where padding goes. `None`: the tokenizer's `padding_side`.
    pub padding_side: Option<PaddingSide>,
    /// Round the length up to a multiple of this.
    pub pad_to_multiple_of: Option<usize>,
    /// What to pad with. `None`: the tokenizer's padding token.
    pub pad_id: Option<u32>,
}

impl BatchOptions {
    /// Sets whether special tokens are put around each text.
    #[must_use]
    pub fn add_special_tokens(mut self, add: bool) -> Self {
        self.encode.add_special_tokens = add;
        self
    }

    /// Sets how texts that are too long are cut.
    #[must_use]
    pub fn truncation(mut self, truncation: Truncation) -> Self {
        self.encode.truncation = Some(truncation);
        self
    }

    /// Sets [`padding`](Self::padding).
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Sets [`padding_side`](Self::padding_side).
    #[must_use]
    pub fn padding_side(mut self, side: PaddingSide) -> Self {
        self.padding_side = Some(side);
        self
    }

    /// Sets [`pad_to_multiple_of`](Self::pad_to_multiple_of).
    #[must_use]
    pub fn pad_to_multiple_of(mut self, multiple: usize) -> Self {
        self.pad_to_multiple_of = Some(multiple);
        self
    }

    /// Sets [`pad_id`](Self::pad_id).
    #[must_use]
    pub fn pad_id(mut self, id: u32) -> Self {
        self.pad_id = Some(id);
        self
    }
}

/// To what length rows are padded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// The longest row's: `padding=True`.
    #[default]
    Longest,
    /// This many tokens: `padding="max_length"`.
    MaxLength(usize),
}

/// Encoded texts of one length.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BatchEncoding {
    /// Ids, attention mask and token types, `(rows, tokens)` each.
    pub tokens: TokenBatch,
    /// Each row with everything known about it, padding included.
    pub encodings: Vec<Encoding>,
}

impl Tokenizer {
    /// Many texts at once, in parallel, cut and padded to one length.
    ///
    /// # Errors
    ///
    /// As [`encode_with`](Self::encode_with) and [`pad`](Self::pad).
    pub fn encode_batch(
        &self,
        texts: &[impl AsRef<str> + Sync],
        options: &BatchOptions,
    ) -> Result<BatchEncoding> {
        let inputs: Vec<_> = texts.iter().map(|text| TextInput::from(text.as_ref())).collect();
        self.encode_batch_with(&inputs, options)
    }

    /// As [`encode_batch`](Self::encode_batch), for pairs and lists of words too.
    ///
    /// # Errors
    ///
    /// As [`encode_with`](Self::encode_with) and [`pad`](Self::pad).
    pub fn encode_batch_with(
        &self,
        inputs: &[TextInput<'_>],
        options: &BatchOptions,
    ) -> Result<BatchEncoding> {
        let rows = inputs
            .par_iter()
            .map(|&input| self.encode_with(input, &options.encode))
            .collect::<Result<Vec<_>>>()?;
        self.pad(rows, options)
    }

    /// Pads rows to one length; `options.encode` is ignored. For rows from elsewhere, such as the
    /// windows of a long text ([`Encoding::overflowing`]).
    ///
    /// # Errors
    ///
    /// When a row needs padding and there is no padding token, when a row is longer than
    /// [`Padding::MaxLength`], or when a row would be nothing but padding.
    pub fn pad(&self, mut rows: Vec<Encoding>, options: &BatchOptions) -> Result<BatchEncoding> {
        let longest = rows.iter().map(Encoding::len).max().unwrap_or(0);
        let mut length = match options.padding {
            Padding::Longest => longest,
            Padding::MaxLength(length) if longest > length => {
                let reason =
                    format!("{length} is less than a row's {longest} tokens: set truncation");
                return Err(Error::option("max_length", reason));
            }
            Padding::MaxLength(length) => length,
        };
        if let Some(multiple) = options.pad_to_multiple_of {
            length = (multiple > 0)
                .then(|| length.checked_next_multiple_of(multiple))
                .flatten()
                .ok_or_else(|| {
                    Error::option("pad_to_multiple_of", format!("{multiple} is not a length"))
                })?;
        }
        if length > longest.max(MOST_PADDED) {
            let option = match options.padding {
                Padding::MaxLength(asked) if asked > MOST_PADDED => "max_length",
                _ => "pad_to_multiple_of",
            };
            let reason = format!("rows of {length} tokens; padding goes up to {MOST_PADDED}");
            return Err(Error::option(option, reason));
        }
        if rows.iter().any(|row| row.len() < length) {
            let named = self.pad_token();
            let id = options.pad_id.or_else(|| named.map(|token| token.id)).ok_or_else(|| {
                Error::option(
                    "pad_id",
                    "the self has no padding token: name one, such as the eos token's",
                )
            })?;
            let padding = PadToken {
                id,
                type_id: self.shared.settings.pad_type_id,
                token: self.id_to_token(id).unwrap_or_default(),
            };
            let side = options.padding_side.unwrap_or_else(|| self.padding_side());
            rows.iter_mut().for_each(|row| padding.fill(row, length, side));
        }
        let ids = rows.iter().flat_map(|row| row.ids.iter().copied()).collect();
        let mask = rows.iter().flat_map(|row| row.attention_mask.iter().copied()).collect();
        let type_ids = rows.iter().flat_map(|row| row.type_ids.iter().copied()).collect();
        let mut tokens = TokenBatch::new(rows.len(), ids, mask)?;
        if self.returns_type_ids() {
            tokens = tokens.with_type_ids(type_ids)?;
        }
        Ok(BatchEncoding { tokens, encodings: rows })
    }
}

/// The longest row that is filled up: no model reads more tokens, and padding takes memory that no text
/// is there for.
const MOST_PADDED: usize = 1 << 20;

struct PadToken {
    id: u32,
    type_id: u32,
    token: String,
}

impl PadToken {
    fn fill(&self, row: &mut Encoding, length: usize, side: PaddingSide) {
        let count = length - row.len();
        add(&mut row.ids, self.id, count, side);
        add(&mut row.type_ids, self.type_id, count, side);
        add(&mut row.attention_mask, 0, count, side);
        add(&mut row.special_tokens_mask, 1, count, side);
        add(&mut row.offsets, (0, 0), count, side);
        add(&mut row.tokens, self.token.clone(), count, side);
        add(&mut row.word_ids, None, count, side);
        add(&mut row.sequence_ids, None, count, side);
    }
}

fn add<T: Clone>(list: &mut Vec<T>, value: T, count: usize, side: PaddingSide) {
    let at = match side {
        PaddingSide::Left => 0,
        PaddingSide::Right => list.len(),
    };
    list.splice(at..at, std::iter::repeat_n(value, count));
}
