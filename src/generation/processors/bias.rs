//! Processors that favour or rule out given tokens and sequences.

use std::sync::Arc;

use super::{LogitsProcessor, checked, refuse_empty, rule_out};
use crate::error::Result;

/// Adds a bias to the last token of a sequence whenever the tokens before it are there; of `-inf`,
/// for sequences that must not come (`SequenceBiasLogitsProcessor`, `NoBadWordsLogitsProcessor`).
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::SequenceBias;
///
/// let mut logits = [0.5; 3];
/// SequenceBias::new([(vec![0], 1.0), (vec![3, 1], 2.0)])?.process(&[5, 3], &mut logits)?;
/// assert_eq!(logits, [1.5, 2.5, 0.5]); // id 1 comes after 3
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SequenceBias(Arc<[(Vec<u32>, f32)]>);

impl SequenceBias {
    /// Sequences with their biases. Of biases for the same sequence the last counts.
    ///
    /// # Errors
    ///
    /// When a sequence is empty, or a bias is NaN or `+inf`.
    pub fn new(biases: impl IntoIterator<Item = (Vec<u32>, f64)>) -> Result<Self> {
        let option = "sequence_bias";
        let mut kept: Vec<(Vec<u32>, f32)> = Vec::new();
        for (sequence, bias) in biases {
            refuse_empty(option, &sequence)?;
            let bias = checked(option, bias, "a number or -inf", |it| it < f64::INFINITY)? as f32;
            match kept.iter_mut().find(|(known, _)| *known == sequence) {
                Some(known) => known.1 = bias,
                None => kept.push((sequence, bias)),
            }
        }
        Ok(Self(kept.into()))
    }

    /// Sequences that are never completed. As in transformers, a word that is just one of the ids `eos` is
    /// ignored.
    ///
    /// # Errors
    ///
    /// When a word is empty.
    pub fn bad_words(words: impl IntoIterator<Item = Vec<u32>>, eos: &[u32]) -> Result<Self> {
        let mut kept = Vec::new();
        for word in words {
            refuse_empty("bad_words_ids", &word)?;
            if !matches!(word[..], [id] if eos.contains(&id)) {
                kept.push((word, f32::NEG_INFINITY));
            }
        }
        kept.sort_by(|a, b| a.0.cmp(&b.0));
        kept.dedup_by(|a, b| a.0 == b.0);
        Ok(Self(kept.into()))
    }
}

impl LogitsProcessor for SequenceBias {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        for (sequence, bias) in &*self.0 {
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
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::Suppress;
///
/// let mut logits = [1.0, 2.0, 3.0];
/// Suppress::always(&[1]).process(&[5], &mut logits)?;
/// assert_eq!(logits, [1.0, f32::NEG_INFINITY, 3.0]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Suppress {
    ids: Arc<[u32]>,
    only_at: Option<usize>,
}

impl Suppress {
    /// Ids that never come.
    #[must_use]
    pub fn always(ids: &[u32]) -> Self {
        Self { ids: ids.into(), only_at: None }
    }

    /// Ids that do not come when there are exactly `length` tokens, prompt included.
    #[must_use]
    pub fn at(length: usize, ids: &[u32]) -> Self {
        Self { ids: ids.into(), only_at: Some(length) }
    }
}

impl LogitsProcessor for Suppress {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if self.only_at.is_none_or(|length| length == tokens.len()) {
            rule_out(&self.ids, logits);
        }
        Ok(())
    }
}
