//! Processors that favour or rule out given tokens and sequences.

use super::{LogitsProcessor, rule_out};
use crate::error::Result;

/// Adds a bias to the last token of a sequence whenever the tokens before it are there; of `-inf`,
/// for sequences that must not come (`SequenceBiasLogitsProcessor`, `NoBadWordsLogitsProcessor`).
#[derive(Debug, Clone)]
pub(in crate::generation) struct SequenceBias(Vec<(Vec<u32>, f32)>);

impl SequenceBias {
    /// Of biases for the same sequence the last counts; empty sequences are the caller's to refuse.
    pub(in crate::generation) fn new(biases: impl Iterator<Item = (Vec<u32>, f32)>) -> Self {
        let mut kept: Vec<(Vec<u32>, f32)> = Vec::new();
        for (sequence, bias) in biases {
            match kept.iter_mut().find(|(known, _)| *known == sequence) {
                Some(known) => known.1 = bias,
                None => kept.push((sequence, bias)),
            }
        }
        Self(kept)
    }
}

impl LogitsProcessor for SequenceBias {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        for (sequence, bias) in &self.0 {
            let Some((last, prefix)) = sequence.split_last() else { continue };
            // transformers wants as many tokens as the whole sequence has, though its prefix is one
            // shorter.
            let completes =
                prefix.is_empty() || (sequence.len() <= tokens.len() && tokens.ends_with(prefix));
            if completes && let Some(logit) = logits.get_mut(*last as usize) {
                *logit += bias;
            }
        }
        Ok(())
    }
}

/// Rules tokens out, always (`SuppressTokensLogitsProcessor`) or only when there are just so many
/// tokens (`SuppressTokensAtBeginLogitsProcessor`).
#[derive(Debug, Clone)]
pub(in crate::generation) struct Suppress {
    pub(in crate::generation) ids: Vec<u32>,
    pub(in crate::generation) only_at: Option<usize>,
}

impl LogitsProcessor for Suppress {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if self.only_at.is_none_or(|length| length == tokens.len()) {
            rule_out(&self.ids, logits);
        }
        Ok(())
    }
}
