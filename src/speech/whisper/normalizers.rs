//! How probable tokens are by themselves, without the temperature.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::generation::softmax::Softmax;
use crate::generation::{LogitsProcessor, Token};

/// Stands behind all processors and notes what turns their scores into log-probabilities: those of beams are
/// not normalized, and those of drawn tokens have the temperature in them. Clones write down together.
#[derive(Debug, Clone)]
pub(super) struct Normalizers {
    temperature: f32,
    /// By all tokens before: of the scores as they are, and times the temperature.
    noted: Arc<Mutex<HashMap<Vec<u32>, [f32; 2]>>>,
}

impl Normalizers {
    /// For tokens drawn with a temperature, or found by beams with 0.
    pub(super) fn new(temperature: f64) -> Self {
        let temperature = if temperature > 0.0 { temperature as f32 } else { 1.0 };
        Self { temperature, noted: Arc::default() }
    }

    /// The log-probabilities of an answer's tokens. Those that beams report are `scores`, those that were drawn
    /// are normalized already.
    pub(super) fn logprobs(&self, prompt: &[u32], answer: &[Token], scores: bool) -> Vec<f32> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = prompt.to_vec();
        let logprob = |token: &Token| {
            let [plain, scaled] = noted.get(&before).copied().unwrap_or_default();
            before.push(token.id);
            let score = if scores { token.logprob } else { token.logprob + plain };
            score * self.temperature - scaled
        };
        answer.iter().map(logprob).collect()
    }
}

impl LogitsProcessor for Normalizers {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let plain = Softmax::of(logits).log_sum();
        let scaled = if self.temperature == 1.0 {
            plain
        } else {
            let scaled: Vec<_> = logits.iter().map(|logit| logit * self.temperature).collect();
            Softmax::of(&scaled).log_sum()
        };
        self.noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tokens.to_vec(), [plain, scaled]);
        Ok(())
    }
}
