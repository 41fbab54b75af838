//! How probable tokens are by themselves, without the temperature.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
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
        let normalizers = [log_sum_exp(logits, 1.0), log_sum_exp(logits, self.temperature)];
        self.noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tokens.to_vec(), normalizers);
        Ok(())
    }
}

/// The logarithm of the sum of the exponentials of all values times `scale`; `-inf` of none.
pub(super) fn log_sum_exp(values: &[f32], scale: f32) -> f32 {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max) * scale;
    if largest.is_infinite() {
        return largest;
    }
    largest + values.iter().map(|value| (value * scale - largest).exp()).sum::<f32>().ln()
}
