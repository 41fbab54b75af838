//! Drafts that are copied from what was said before.

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
        Ok(Self { num_tokens, max_ngram })
    }

    /// Where the n-gram at the end came before: the place after it, and its length. One pass over the tokens, however
    /// long n-grams are: the Z-algorithm, from the end.
    fn found(&self, tokens: &[u32]) -> Option<(usize, usize)> {
        let count = tokens.len();
        let from_end = |at: usize| tokens[count - 1 - at];
        // How many tokens up to each place, counted from the end, are those up to the end.
        let mut lengths = vec![0; count];
        // The match that reaches furthest back.
        let mut known = 0..0;
        let mut best = None;
        for at in 1..count {
            let mut length = match known.contains(&at) {
                true => known.end.min(at + lengths[at - known.start]) - at,
                false => 0,
            };
            while at + length < count && from_end(length) == from_end(at + length) {
                length += 1;
            }
            if at + length > known.end {
                known = at..at + length;
            }
            lengths[at] = length;
            let length = length.min(self.max_ngram);
            if length > 0 && best.is_none_or(|(_, longest)| length >= longest) {
                best = Some((count - at, length));
            }
        }
        best
    }
}

impl Drafter for PromptLookup {
    fn draft(&mut self, tokens: &[u32], plan: &Plan, most: usize) -> Result<Draft> {
        let Some((start, kind)) = self.found(tokens) else { return Ok(Draft::default()) };
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

    #[test]
    fn as_transformers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/drafts/lookup.json");
        let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(cases.iter().filter(|case| !case.candidates.is_empty()).count() > 100);
        for case in cases {
            let config = GenerationConfig::default().eos_token_id(case.eos.unwrap_or_default());
            let plan = config.plan(&case.tokens, ModelLimits::new(100, 1000), None).unwrap();
            let mut lookup = PromptLookup::new(case.num_tokens, case.max_ngram).unwrap();
            let found = lookup.draft(&case.tokens, &plan, 100).unwrap();
            assert_eq!(found.tokens, case.candidates, "{:?}", case.tokens);
            assert!(lookup.draft(&[1, 2, 3], &plan, 100).unwrap().tokens.is_empty());
        }
    }
    /// With a number of comparisons that grows with the square this would take minutes.
    #[test]
    fn n_grams_as_long_as_the_text() {
        let mut lookup = PromptLookup::new(10, usize::MAX).unwrap();
        let plan = Plan::new(&[7], 5);
        for period in [1, 2, 1000] {
            let tokens: Vec<u32> = (0..200_000).map(|at| at % period).collect();
            let found = lookup.draft(&tokens, &plan, 100).unwrap();
            let next: Vec<u32> = (0..10).map(|at| (200_000 + at) % period).collect();
            let copied = (period as usize).min(10);
            assert_eq!(
                (found.kind, found.tokens.as_slice()),
                (200_000 - period as usize, &next[..copied])
            );
        }
        assert_eq!(lookup.draft(&[], &plan, 9).unwrap(), Draft::default());
    }
}
