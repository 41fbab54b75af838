//! Frequency and presence penalties.

use std::collections::HashMap;

use super::{LogitsProcessor, checked, is_finite};
use crate::error::Result;

/// Lowers the logits of tokens by how often they have been generated: by `frequency` for each time, and by
/// `presence` once. The prompt does not count.
///
/// Reference: `frequency_penalty` and `presence_penalty` of OpenAI's API and of vLLM, which count generated
/// tokens, too; `llama_sampler_penalties` of llama.cpp, which counts the last 64 tokens, be they of the prompt.
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::FrequencyPresencePenalty;
///
/// let mut logits = [0.0; 3];
/// FrequencyPresencePenalty::new(0.5, 1.0, 1)?.process(&[2, 0, 0, 1], &mut logits)?;
/// assert_eq!(logits, [-2.0, -1.5, 0.0]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FrequencyPresencePenalty {
    frequency: f32,
    presence: f32,
    prompt: usize,
    counts: HashMap<u32, u32>,
}

impl FrequencyPresencePenalty {
    /// Both penalties are finite; negative ones favour what has been said. `prompt` is the number of tokens
    /// that do not count.
    ///
    /// # Errors
    ///
    /// When a penalty is NaN or infinite.
    pub fn new(frequency: f64, presence: f64, prompt: usize) -> Result<Self> {
        let penalty = |option, value| checked(option, value, "a finite number", is_finite);
        Ok(Self {
            frequency: penalty("frequency_penalty", frequency)? as f32,
            presence: penalty("presence_penalty", presence)? as f32,
            prompt,
            counts: HashMap::new(),
        })
    }
}

impl LogitsProcessor for FrequencyPresencePenalty {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        self.counts.clear();
        for &id in tokens.get(self.prompt..).unwrap_or_default() {
            *self.counts.entry(id).or_default() += 1;
        }
        for (&id, &count) in &self.counts {
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit -= count as f32 * self.frequency + self.presence;
            }
        }
        Ok(())
    }
}
