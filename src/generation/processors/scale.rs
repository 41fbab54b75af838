//! Processors that touch every logit alike.

use super::{LogitsProcessor, checked, is_positive};
use crate::error::Result;
use crate::generation::softmax::Softmax;

/// Divides by the temperature (`TemperatureLogitsWarper`).
#[derive(Debug, Clone)]
pub struct Temperature(f32);

impl Temperature {
    /// Divides by `temperature`, above 0: below 1 makes the likely likelier.
    ///
    /// # Errors
    ///
    /// When `temperature` is out of its range.
    pub fn new(temperature: f64) -> Result<Self> {
        let rule =
            "a strictly positive number; for the likeliest token always, turn `do_sample` off";
        Ok(Self(checked("temperature", temperature, rule, is_positive)? as f32))
    }
}

impl LogitsProcessor for Temperature {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        for logit in logits {
            *logit /= self.0;
        }
        Ok(())
    }
}

/// Replaces NaN by 0 and infinities by the largest finite values (`InfNanRemoveLogitsProcessor`).
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveInvalid;

impl LogitsProcessor for RemoveInvalid {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        for logit in logits {
            *logit = if logit.is_nan() { 0.0 } else { logit.clamp(f32::MIN, f32::MAX) };
        }
        Ok(())
    }
}

/// Logits to log-probabilities (`LogitNormalization`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Renormalize;

impl LogitsProcessor for Renormalize {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let softmax = Softmax::of(logits);
        for logit in logits {
            *logit = softmax.log_probability(*logit);
        }
        Ok(())
    }
}
