//! A text as ids, and where each comes from.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A text as ids, with the place in the text that each id comes from. All lists have one entry per
/// token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

pub(super) fn convert(mut encoding: tokenizers::Encoding) -> Encoding {
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
