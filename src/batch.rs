//! Rows of token ids, padded to one length; which rows of different lengths go together.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, none_of};

/// Where padding goes when rows of different lengths are made one batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaddingSide {
    /// Before the text: what a decoder needs to continue every row.
    Left,
    /// After the text: the default of encoders.
    #[default]
    Right,
}

impl PaddingSide {
    /// Both sides.
    pub const ALL: &'static [Self] = &[Self::Left, Self::Right];

    /// The name, as in Python and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

impl fmt::Display for PaddingSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PaddingSide {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|side| side.name().eq_ignore_ascii_case(name));
        let unknown = || Error::option("padding_side", none_of(name, &["left", "right"]));
        found.copied().ok_or_else(unknown)
    }
}

/// Token ids of shape `(rows, tokens)`, and which of them are padding.
///
/// ```
/// use sconce::batch::{PaddingSide, TokenBatch};
///
/// let batch = TokenBatch::padded(&[vec![5, 6, 7], vec![8]], 0, PaddingSide::Left)?;
/// assert_eq!(batch.ids(), [5, 6, 7, 0, 0, 8]);
/// assert_eq!(batch.attention_mask(), [1, 1, 1, 0, 0, 1]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBatch {
    rows: usize,
    tokens: usize,
    ids: Vec<u32>,
    /// 1 for a token, 0 for padding, `(rows, tokens)`.
    attention_mask: Vec<u8>,
    /// Which of two texts a token is of, `(rows, tokens)`.
    type_ids: Vec<u32>,
    /// 1 for a token that all tokens of its row attend to, `(rows, tokens)`; empty where there are none.
    global_attention_mask: Vec<u8>,
}

impl TokenBatch {
    /// One row without padding.
    ///
    /// # Errors
    ///
    /// When `ids` is empty.
    pub fn single(ids: &[u32]) -> Result<Self> {
        Self::new(1, ids.to_vec(), vec![1; ids.len()])
    }

    /// `rows` rows whose ids and mask lie one row after the other; the mask is 1 for a token and 0
    /// for padding.
    ///
    /// # Errors
    ///
    /// When there are no tokens, the lengths do not divide into rows or differ, the mask holds
    /// something other than 0 and 1, or a row is all padding.
    pub fn new(rows: usize, ids: Vec<u32>, attention_mask: Vec<u8>) -> Result<Self> {
        if ids.is_empty() {
            return Err(Error::input("no tokens: the prompt is empty"));
        }
        if rows == 0 || !ids.len().is_multiple_of(rows) {
            return Err(Error::input(format!("{} ids do not divide into {rows} rows", ids.len())));
        }
        if attention_mask.len() != ids.len() || attention_mask.iter().any(|&mask| mask > 1) {
            return Err(Error::input(format!(
                "the attention mask must hold a 0 or a 1 for each of the {} ids",
                ids.len()
            )));
        }
        let tokens = ids.len() / rows;
        if let Some(row) = attention_mask.chunks(tokens).position(|row| !row.contains(&1)) {
            return Err(Error::input(format!("row {row} is empty: it holds nothing but padding")));
        }
        let type_ids = vec![0; ids.len()];
        let global_attention_mask = Vec::new();
        Ok(Self { rows, tokens, ids, attention_mask, type_ids, global_attention_mask })
    }

    /// Rows of different lengths, padded with `pad_id` to the longest.
    ///
    /// # Errors
    ///
    /// When there are no rows or one is empty.
    pub fn padded(rows: &[Vec<u32>], pad_id: u32, side: PaddingSide) -> Result<Self> {
        let tokens = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut ids = Vec::with_capacity(rows.len() * tokens);
        let mut mask = Vec::with_capacity(rows.len() * tokens);
        for row in rows {
            let padding = tokens - row.len();
            let (before, after) = match side {
                PaddingSide::Left => (padding, 0),
                PaddingSide::Right => (0, padding),
            };
            ids.extend(std::iter::repeat_n(pad_id, before));
            ids.extend(row);
            ids.extend(std::iter::repeat_n(pad_id, after));
            mask.extend(std::iter::repeat_n(0, before));
            mask.extend(std::iter::repeat_n(1, row.len()));
            mask.extend(std::iter::repeat_n(0, after));
        }
        Self::new(rows.len(), ids, mask)
    }

    /// The same batch with token types: 1 for the second of two texts, one row after the other.
    /// They are 0 everywhere unless set; models without token types ignore them.
    ///
    /// # Errors
    ///
    /// When there are not as many as ids.
    pub fn with_type_ids(self, type_ids: Vec<u32>) -> Result<Self> {
        if type_ids.len() != self.ids.len() {
            let (types, ids) = (type_ids.len(), self.ids.len());
            return Err(Error::input(format!("{types} token types for {ids} ids")));
        }
        Ok(Self { type_ids, ..self })
    }

    /// The same batch with marked tokens, a 1 in the mask, one row after the other: all tokens of their row
    /// attend to them, and they to all. LED takes them; other models refuse them.
    ///
    /// # Errors
    ///
    /// When the mask does not hold a 0 or a 1 for each id, or a 1 where there is padding.
    pub fn with_global_attention_mask(self, mask: Vec<u8>) -> Result<Self> {
        if mask.len() != self.ids.len() || mask.iter().any(|&mask| mask > 1) {
            return Err(Error::input(format!(
                "the global attention mask must hold a 0 or a 1 for each of the {} ids",
                self.ids.len()
            )));
        }
        if let Some(at) = mask.iter().zip(&self.attention_mask).position(|(all, own)| all > own) {
            let (row, column) = (at / self.tokens, at % self.tokens);
            let reason =
                format!("row {row} has padding at {column}, which the global attention mask marks");
            return Err(Error::input(reason));
        }
        Ok(Self { global_attention_mask: mask, ..self })
    }

    /// The same batch with the first token of each row marked, wherever its padding is: what LED's summaries
    /// are made with.
    #[must_use]
    pub fn with_global_first_tokens(self) -> Self {
        let firsts = self.attention_mask.chunks(self.tokens).flat_map(|row| {
            let first = row.iter().position(|&mask| mask == 1);
            (0..row.len()).map(move |column| u8::from(Some(column) == first))
        });
        Self { global_attention_mask: firsts.collect(), ..self }
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The length of every row, padding included.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// All ids, one row after the other.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// 1 for a token, 0 for padding, one row after the other.
    #[must_use]
    pub fn attention_mask(&self) -> &[u8] {
        &self.attention_mask
    }

    /// 1 for each marked token, one row after the other; empty where none was asked for.
    #[must_use]
    pub fn global_attention_mask(&self) -> &[u8] {
        &self.global_attention_mask
    }

    /// The error for marked tokens, where a model has nothing to do with them.
    pub(crate) fn refuse_marked(&self) -> Result<()> {
        if self.global_attention_mask.contains(&1) {
            let reason = "a `global_attention_mask`, and the model has no global attention";
            return Err(Error::input(reason));
        }
        Ok(())
    }

    /// Which of two texts each token is of, one row after the other.
    #[must_use]
    pub fn type_ids(&self) -> &[u32] {
        &self.type_ids
    }
}

/// How much goes through a model at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// The most rows.
    pub(crate) rows: usize,
    /// The most tokens, padding included, of several rows.
    pub(crate) tokens: usize,
    /// Beyond so many tokens, at most an eighth is padding: below, one pass with padding is faster than
    /// several without.
    pub(crate) may_be_loose: usize,
}

/// Runs rows of any kind in batches of similar length, the longest first. `run` gets the indices of
/// a batch's rows and returns a result for each. The results are in the order of the rows.
pub(crate) fn by_length<R>(
    lengths: &[usize],
    budget: Budget,
    mut run: impl FnMut(&[usize]) -> Result<Vec<R>>,
) -> Result<Vec<R>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
    let mut results: Vec<Option<R>> = lengths.iter().map(|_| None).collect();
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let (batch, others) = rest.split_at(budget.fill(rest.iter().map(|&row| lengths[row])));
        for (&row, result) in batch.iter().zip(run(batch)?) {
            results[row] = Some(result);
        }
        rest = others;
    }
    let missing = || Error::input("the model gave fewer rows than it was given");
    results.into_iter().map(|row| row.ok_or_else(missing)).collect()
}

impl Budget {
    /// How many of the rows, whose lengths fall, make the next batch: at least one.
    fn fill(self, mut lengths: impl Iterator<Item = usize>) -> usize {
        let longest = lengths.next().unwrap_or(0);
        let (mut rows, mut filled) = (1, longest);
        for length in lengths.take(self.rows.saturating_sub(1)) {
            let padded = (rows + 1) * longest;
            filled += length;
            let is_wasteful = padded > self.may_be_loose && (padded - filled) * 8 > padded;
            if padded > self.tokens || is_wasteful {
                break;
            }
            rows += 1;
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_little_padding_and_few_tokens() {
        let fill = |lengths: &[usize], rows: usize| {
            Budget { rows, tokens: 2048, may_be_loose: 256 }.fill(lengths.iter().copied())
        };
        assert_eq!(fill(&[20, 6, 5], 8), 3);
        assert_eq!(fill(&[400, 390, 100], 8), 2);
        assert_eq!(fill(&[512; 9], 8), 4);
        assert_eq!(fill(&[10; 9], 2), 2);
        assert_eq!(fill(&[9000, 1], 8), 1);
    }

    #[test]
    fn results_are_in_the_order_of_the_rows() {
        let budget = Budget { rows: 2, tokens: 100, may_be_loose: 100 };
        let mut batches = Vec::new();
        let found = by_length(&[3, 9, 5, 0], budget, |rows| {
            batches.push(rows.to_vec());
            Ok(rows.to_vec())
        });
        assert_eq!(found.unwrap(), [0, 1, 2, 3]);
        assert_eq!(batches, [[1, 2], [0, 3]]);
        assert!(by_length(&[1, 1], budget, |_| Ok(vec![()])).is_err());
    }
}
