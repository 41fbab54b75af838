//! DRY: don't repeat yourself.

use std::collections::HashMap;
use std::sync::Arc;

use super::{LogitsProcessor, checked, is_finite};
use crate::error::{Error, Result};
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Lowers the logits of tokens that would go on with a repetition: by
/// `multiplier * base^(length - allowed_length)`, where `length` is how many of the last tokens have come before
/// in the same order, followed by the token. The prompt counts. A repetition ends where a sequence breaker is,
/// and a token that is a breaker by itself is never punished.
///
/// Reference: `llama_sampler_dry` of llama.cpp, after oobabooga/text-generation-webui#5677.
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::Dry;
///
/// let mut logits = [0.0; 3];
/// Dry::new(1.0, 2.0, 1)?.process(&[1, 2, 0, 1, 2], &mut logits)?;
/// assert_eq!(logits, [-2.0, 0.0, 0.0]); // "1 2 0" has been said
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dry {
    multiplier: f64,
    base: f64,
    allowed_length: usize,
    last: usize,
    breakers: Breakers,
}

impl Dry {
    /// llama.cpp's defaults are a `base` of 1.75 and an `allowed_length` of 2. The last 64 tokens are looked at,
    /// and there are no sequence breakers.
    ///
    /// # Errors
    ///
    /// When `multiplier` is negative or not finite, or `base` is less than 1 or not finite.
    pub fn new(multiplier: f64, base: f64, allowed_length: usize) -> Result<Self> {
        let finite = |least: f64| move |it| it >= least && is_finite(it);
        checked("dry_multiplier", multiplier, "a finite number from 0 up", finite(0.0))?;
        checked("dry_base", base, "a finite number from 1 up", finite(1.0))?;
        Ok(Self { multiplier, base, allowed_length, last: LAST, breakers: Breakers::default() })
    }

    /// Looks at the last `tokens` tokens.
    #[must_use]
    pub fn penalty_last_n(self, tokens: usize) -> Self {
        Self { last: tokens, ..self }
    }

    /// Breaks repetitions at these sequences of ids, beside those there are already.
    ///
    /// # Errors
    ///
    /// When a sequence is empty.
    pub fn with_breakers(mut self, sequences: impl IntoIterator<Item = Vec<u32>>) -> Result<Self> {
        for sequence in sequences {
            let (&head, tail) = sequence
                .split_first()
                .ok_or_else(|| Error::option(BREAKERS, "holds an empty sequence"))?;
            self.breakers.tails.entry(head).or_default().push(tail.to_vec());
        }
        Ok(self)
    }

    /// Breaks repetitions at these texts, wherever in a token they begin and end. llama.cpp's defaults are
    /// `"\n"`, `":"`, `"\""` and `"*"`.
    ///
    /// # Errors
    ///
    /// When a text is empty.
    pub fn with_sequence_breakers(
        mut self,
        texts: &[impl AsRef<str>],
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let texts: Vec<_> = texts.iter().map(|text| text.as_ref().to_owned()).collect();
        if texts.iter().any(String::is_empty) {
            return Err(Error::option(BREAKERS, "the empty text would break everything"));
        }
        self.breakers.texts = Some(Arc::new((texts, tokenizer.clone())));
        Ok(self)
    }

    /// How many of the last tokens count: those after the last breaker. `None` where they are too few.
    fn limit(&mut self, last: &[u32]) -> Result<Option<usize>> {
        let mut limit = last.len();
        for back in 0..last.len() {
            let place = last.len() - 1 - back;
            let after = &last[place + 1..];
            let tails = self.breakers.tails(last[place])?.iter();
            if let Some(longest) = tails.filter(|tail| after.starts_with(tail)).map(Vec::len).max()
            {
                limit = back - longest;
                break;
            }
        }
        Ok(Some(limit).filter(|&limit| limit >= self.allowed_length))
    }
}

impl LogitsProcessor for Dry {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let last = &tokens[tokens.len().saturating_sub(self.last)..];
        if self.multiplier == 0.0 || last.len() <= self.allowed_length {
            return Ok(());
        }
        let Some(limit) = self.limit(last)? else { return Ok(()) };
        // The longest repetition that each token would go on with.
        let mut longest: HashMap<u32, usize> = HashMap::new();
        for (back, length) in common_ends(last).into_iter().enumerate().skip(1) {
            let length = length.min(limit);
            if length >= self.allowed_length {
                let next = longest.entry(last[last.len() - back]).or_default();
                *next = length.max(*next);
            }
        }
        let most = match self.base > 1.000_001 {
            true => (f64::from(f32::MAX).ln() / self.base.ln()) as usize,
            false => usize::MAX,
        };
        for (id, length) in longest {
            if !self.breakers.tails(id)?.iter().any(Vec::is_empty)
                && let Some(logit) = logits.get_mut(id as usize)
            {
                let excess = (length - self.allowed_length).min(most);
                *logit -= (self.multiplier * self.base.powf(excess as f64)) as f32;
            }
        }
        Ok(())
    }
}

/// For each number of tokens, how long an end the tokens without the last so many have in common with all
/// of them. By the Z algorithm, in linear time.
fn common_ends(tokens: &[u32]) -> Vec<usize> {
    let from_end = |index: usize| tokens[tokens.len() - 1 - index];
    let mut common = vec![0; tokens.len()];
    // The stretch that was compared last: it is equal to the end.
    let (mut left, mut right) = (0, 0);
    for back in 1..tokens.len() {
        let mut length = match back < right {
            true => common[back - left].min(right - back),
            false => 0,
        };
        while back + length < tokens.len() && from_end(length) == from_end(back + length) {
            length += 1;
        }
        common[back] = length;
        if back + length > right {
            (left, right) = (back, back + length);
        }
    }
    common
}

/// What a repetition ends at.
#[derive(Debug, Clone, Default)]
struct Breakers {
    /// For the token that a breaker begins in, the ids that must follow.
    tails: HashMap<u32, Vec<Vec<u32>>>,
    texts: Option<Arc<(Vec<String>, Tokenizer)>>,
}

impl Breakers {
    /// What must follow the token so that both are a breaker: nothing, if the token holds one.
    fn tails(&mut self, id: u32) -> Result<&[Vec<u32>]> {
        if !self.tails.contains_key(&id) {
            let tails = self.of_texts(id)?;
            self.tails.insert(id, tails);
        }
        Ok(&self.tails[&id])
    }

    fn of_texts(&self, id: u32) -> Result<Vec<Vec<u32>>> {
        let mut tails = Vec::new();
        let Some(of_texts) = &self.texts else { return Ok(tails) };
        let (texts, tokenizer) = &**of_texts;
        let token = tokenizer.decode(&[id], false)?;
        for text in texts {
            if token.contains(text) {
                tails.push(Vec::new());
                continue;
            }
            for (begun, _) in
                text.char_indices().skip(1).filter(|&(at, _)| token.ends_with(&text[..at]))
            {
                let rest = EncodeOptions::default().add_special_tokens(false);
                let tail = tokenizer.encode_with(&text[begun..], &rest)?.ids;
                if !tails.contains(&tail) {
                    tails.push(tail);
                }
            }
        }
        Ok(tails)
    }
}

/// The tokens that are looked at, in llama.cpp.
const LAST: usize = 64;
const BREAKERS: &str = "dry_sequence_breakers";
