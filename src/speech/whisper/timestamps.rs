//! The rules by which Whisper writes timestamps.

use crate::error::Result;
use crate::generation::LogitsProcessor;
use crate::generation::softmax::Softmax;
use crate::kernels::softmax::largest;

/// Lets timestamps come as Whisper was trained to write them: in pairs around each part of the text, never
/// backwards, the first at once (`WhisperTimeStampLogitsProcessor`).
#[derive(Debug, Clone)]
pub struct TimestampRules {
    prompt: usize,
    no_timestamps: usize,
    eos: usize,
    max_initial: Option<usize>,
}

impl TimestampRules {
    /// Behind a prompt of so many tokens. Timestamps are the ids behind `no_timestamps_token_id`, text those
    /// before `eos_token_id`. The first timestamp is at most `max_initial_timestamp_index` steps of 0.02
    /// seconds.
    #[must_use]
    pub fn new(
        prompt: usize,
        no_timestamps_token_id: u32,
        eos_token_id: u32,
        max_initial_timestamp_index: Option<usize>,
    ) -> Self {
        Self {
            prompt,
            no_timestamps: no_timestamps_token_id as usize,
            eos: eos_token_id as usize,
            max_initial: max_initial_timestamp_index,
        }
    }
}

impl LogitsProcessor for TimestampRules {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let vocab = logits.len();
        let begin = (self.no_timestamps + 1).min(vocab);
        if let Some(logit) = logits.get_mut(self.no_timestamps) {
            *logit = f32::NEG_INFINITY;
        }
        let written = tokens.get(self.prompt..).unwrap_or_default();
        let is_timestamp = |id: &u32| *id as usize >= begin;
        let last = written.last().is_some_and(is_timestamp);
        // Before the second token there is as good as one.
        let last_but_one =
            written.len().checked_sub(2).is_none_or(|place| is_timestamp(&written[place]));
        match (last, last_but_one) {
            (true, true) => logits[begin..].fill(f32::NEG_INFINITY),
            (true, false) => logits[..self.eos.min(vocab)].fill(f32::NEG_INFINITY),
            (false, _) => {}
        }
        if let Some(latest) = written.iter().rfind(|id| is_timestamp(id)) {
            // The end of a part may be the beginning of the next.
            let earliest = *latest as usize + usize::from(!last || last_but_one);
            logits[begin..earliest.clamp(begin, vocab)].fill(f32::NEG_INFINITY);
        }
        if tokens.len() == self.prompt {
            logits[..begin].fill(f32::NEG_INFINITY);
            if let Some(index) = self.max_initial {
                logits[begin.saturating_add(index).saturating_add(1).min(vocab)..]
                    .fill(f32::NEG_INFINITY);
            }
        }
        let (text, timestamps) = logits.split_at_mut(begin);
        if Softmax::of(timestamps).log_sum() > largest(text) {
            text.fill(f32::NEG_INFINITY);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULED_OUT: f32 = f32::NEG_INFINITY;

    /// Text 0 to 3, the end 4, the start 5, no timestamps 6, timestamps 7 to 11.
    fn process(tokens: &[u32], max_initial: Option<usize>, mut logits: Vec<f32>) -> Vec<f32> {
        let mut rules = TimestampRules::new(1, 6, 4, max_initial);
        rules.process(tokens, &mut logits).unwrap();
        logits
    }

    fn left(tokens: &[u32], max_initial: Option<usize>) -> Vec<usize> {
        // Text is likelier than all timestamps together.
        let logits = [vec![5.0; 7], vec![0.0; 5]].concat();
        let processed = process(tokens, max_initial, logits);
        (0..12).filter(|&id| processed[id] > RULED_OUT).collect()
    }

    #[test]
    fn pairs_that_never_go_back() {
        assert_eq!(left(&[5], None), [7, 8, 9, 10, 11]);
        assert_eq!(left(&[5], Some(1)), [7, 8]);
        // Text after the first.
        assert_eq!(left(&[5, 8], None), [0, 1, 2, 3, 4, 5]);
        // Text, or a later timestamp.
        assert_eq!(left(&[5, 8, 0], None), [0, 1, 2, 3, 4, 5, 9, 10, 11]);
        // The end of a part: the same again, a later one, or the end of all.
        assert_eq!(left(&[5, 8, 0, 9], None), [4, 5, 9, 10, 11]);
        assert_eq!(left(&[5, 8, 0, 9, 9], None), [0, 1, 2, 3, 4, 5]);
        assert_eq!(left(&[5, 8, 0, 11, 11, 0], None), [0, 1, 2, 3, 4, 5]);
        assert_eq!(left(&[5, 11], Some(1)), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn timestamps_that_are_likelier_together_win() {
        let logits = [vec![1.0; 7], vec![0.0; 5]].concat();
        // ln 3 is more than 1, ln 2 is less.
        let processed = process(&[5, 8, 0], None, logits.clone());
        assert_eq!(processed[..7], [RULED_OUT; 7]);
        let processed = process(&[5, 9, 0], None, logits);
        assert_eq!(processed[..4], [1.0; 4]);
    }

    #[test]
    fn small_vocabularies_are_no_panic() {
        for vocab in 0..8 {
            for tokens in [&[][..], &[5], &[5, 8], &[5, 8, 0, u32::MAX], &[5, 8, 0, 9, 9]] {
                let mut logits = vec![0.0; vocab];
                TimestampRules::new(1, 6, 4, Some(usize::MAX))
                    .process(tokens, &mut logits)
                    .unwrap();
            }
        }
    }
}
