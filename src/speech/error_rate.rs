//! How much of a transcript is wrong, as jiwer 4.0 counts it.

use std::ops::Add;

use serde::{Deserialize, Serialize};

/// The edits that make the reference of a transcript.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorRate {
    /// The fewest words (or characters) to replace, insert or delete.
    pub edits: usize,
    /// Words (or characters) of the reference.
    pub length: usize,
}

impl ErrorRate {
    /// Edits for each word of the reference; above 1 where there are more. Without a word in the reference
    /// it is the number of edits, as in jiwer.
    #[must_use]
    pub fn rate(self) -> f64 {
        self.edits as f64 / self.length.max(1) as f64
    }
}

impl Add for ErrorRate {
    type Output = Self;

    /// Of several texts together.
    fn add(self, other: Self) -> Self {
        Self { edits: self.edits + other.edits, length: self.length + other.length }
    }
}

/// The word error rate (WER). Words are what spaces separate: what is written in two ways, in case or
/// punctuation, counts as wrong, so [normalize](crate::speech::normalizer) both texts first.
///
/// ```
/// let rate = sconce::speech::word_error_rate("the cat sat", "the cat sits down");
/// assert_eq!((rate.edits, rate.length), (2, 3));
/// ```
#[must_use]
pub fn word_error_rate(reference: &str, hypothesis: &str) -> ErrorRate {
    compare(&words(reference), &words(hypothesis))
}

/// The character error rate (CER); spaces count, but not those around the text.
#[must_use]
pub fn character_error_rate(reference: &str, hypothesis: &str) -> ErrorRate {
    let characters = |text: &str| text.trim().chars().collect::<Vec<_>>();
    compare(&characters(reference), &characters(hypothesis))
}

/// As jiwer splits: several whitespace characters count as a space, a single tab does not.
fn words(text: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(text.len());
    let mut characters = text.trim().chars().peekable();
    while let Some(c) = characters.next() {
        let is_run =
            c.is_whitespace() && characters.peek().is_some_and(|next| next.is_whitespace());
        if is_run {
            while characters.next_if(|next| next.is_whitespace()).is_some() {}
        }
        spaced.push(if is_run { ' ' } else { c });
    }
    spaced.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The Levenshtein distance, in memory for one row.
fn compare<T: PartialEq>(reference: &[T], hypothesis: &[T]) -> ErrorRate {
    let mut row: Vec<usize> = (0..=hypothesis.len()).collect();
    for (line, word) in reference.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in hypothesis.iter().enumerate() {
            let replaced = diagonal + usize::from(word != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    ErrorRate { edits: row[hypothesis.len()], length: reference.len() }
}
