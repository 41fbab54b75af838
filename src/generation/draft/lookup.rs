//! Drafts that are copied from what was said before.

use std::collections::HashMap;

use super::{Draft, Drafter};
use crate::error::{Error, Result};
use crate::generation::plan::Plan;

/// Guesses that what followed the last tokens before follows them again
/// (`PromptLookupCandidateGenerator`): for answers that quote their prompt, as summaries, corrections
/// and edits do.
///
/// The longest n-gram at the end that came before decides, and of equally long ones the first. A guess
/// ends before an end-of-sequence id. (What processors rule out is guessed, too, and not accepted.)
#[derive(Debug, Clone)]
pub struct PromptLookup {
    num_tokens: usize,
    max_ngram: usize,
    /// The tokens that `places` is about.
    indexed: Vec<u32>,
    /// Where each token is.
    places: HashMap<u32, Vec<usize>>,
}

impl PromptLookup {
    /// Guesses at most `num_tokens` tokens (`prompt_lookup_num_tokens`), by n-grams of at most
    /// `max_ngram` tokens (`max_matching_ngram_size`, 2 in transformers).
    ///
    /// # Errors
    ///
    /// When one of them is 0.
    pub fn new(num_tokens: usize, max_ngram: usize) -> Result<Self> {
        for (name, value) in
            [("prompt_lookup_num_tokens", num_tokens), ("max_matching_ngram_size", max_ngram)]
        {
            if value == 0 {
                return Err(Error::option(name, "must be at least 1"));
            }
        }
        Ok(Self { num_tokens, max_ngram, indexed: Vec::new(), places: HashMap::new() })
    }

    /// Takes in tokens that have come since the last time.
    fn index(&mut self, tokens: &[u32]) {
        if !tokens.starts_with(&self.indexed) {
            self.indexed.clear();
            self.places.clear();
        }
        let from = self.indexed.len();
        for (place, &id) in tokens.iter().enumerate().skip(from) {
            self.places.entry(id).or_default().push(place);
        }
        self.indexed.extend_from_slice(&tokens[from..]);
    }

    /// Where the n-gram at the end came before: the place after it, and its length.
    fn found(&self) -> Option<(usize, usize)> {
        let (last, before) = self.indexed.split_last()?;
        let mut best = None;
        for &place in self.places.get(last)? {
            if place == before.len() {
                break;
            }
            let pairs = before[..place].iter().rev().zip(before.iter().rev());
            let length = 1 + pairs.take(self.max_ngram - 1).take_while(|(a, b)| a == b).count();
            if best.is_none_or(|(_, longest)| length > longest) {
                best = Some((place + 1, length));
            }
            if length == self.max_ngram {
                break;
            }
        }
        best
    }
}

impl Drafter for PromptLookup {
    fn draft(&mut self, tokens: &[u32], plan: &Plan, most: usize) -> Result<Draft> {
        self.index(tokens);
        let Some((start, kind)) = self.found() else { return Ok(Draft::default()) };
        let copied = tokens[start..].iter().take(self.num_tokens.min(most));
        let copied = copied.take_while(|id| !plan.eos_token_ids().contains(id)).copied();
        Ok(Draft { tokens: copied.collect(), kind })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::generation::GenerationConfig;
    use crate::models::ModelLimits;

    #[derive(Deserialize)]
    struct Case {
        tokens: Vec<u32>,
        eos: Option<Vec<u32>>,
        num_tokens: usize,
        max_ngram: usize,
        candidates: Vec<u32>,
    }

    /// Each case is looked up anew, and by one that has seen its beginning.
    #[test]
    fn as_transformers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/drafts/lookup.json");
        let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(cases.iter().filter(|case| !case.candidates.is_empty()).count() > 100);
        for case in cases {
            let config = GenerationConfig::default().eos_token_id(case.eos.unwrap_or_default());
            let plan = config.plan(&case.tokens, ModelLimits::new(100, 1000), None).unwrap();
            let mut lookup = PromptLookup::new(case.num_tokens, case.max_ngram).unwrap();
            for length in 1..=case.tokens.len() {
                let mut anew = PromptLookup::new(case.num_tokens, case.max_ngram).unwrap();
                let tokens = &case.tokens[..length];
                let found = lookup.draft(tokens, &plan, 100).unwrap();
                assert_eq!(found, anew.draft(tokens, &plan, 100).unwrap());
                if length == case.tokens.len() {
                    assert_eq!(found.tokens, case.candidates, "{:?}", case.tokens);
                }
            }
            assert!(lookup.draft(&[1, 2, 3], &plan, 100).unwrap().tokens.is_empty());
        }
    }
}
