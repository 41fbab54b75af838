//! Processors that touch every logit alike.

use super::rank::rule_out_below;
use super::{LogitsProcessor, POSITIVE, checked, is_positive};
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

/// Divides by a temperature that grows with the entropy of the distribution: from `temperature - range` where one
/// token is certain to `temperature + range` where all are equally likely, along a curve of this `exponent`. At a
/// temperature of 0 the likeliest token alone is left.
///
/// Reference: `llama_sampler_temp_ext` of llama.cpp. Logits of `-inf` do not count.
#[derive(Debug, Clone)]
pub struct DynamicTemperature {
    lowest: f32,
    highest: f32,
    exponent: f32,
}

impl DynamicTemperature {
    /// `temperature`, `range` and `exponent` are above 0. Without a `range` there is [`Temperature`].
    ///
    /// # Errors
    ///
    /// When a number is out of its range.
    pub fn new(temperature: f64, range: f64, exponent: f64) -> Result<Self> {
        checked("temperature", temperature, POSITIVE, is_positive)?;
        checked("dynatemp_range", range, POSITIVE, is_positive)?;
        checked("dynatemp_exponent", exponent, POSITIVE, is_positive)?;
        Ok(Self {
            lowest: (temperature - range).max(0.0) as f32,
            highest: (temperature + range) as f32,
            exponent: exponent as f32,
        })
    }
}

impl LogitsProcessor for DynamicTemperature {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let possible = logits.iter().filter(|&&logit| logit > f32::NEG_INFINITY).count();
        if possible < 2 {
            return Ok(());
        }
        let softmax = Softmax::of(logits);
        let share = softmax.entropy(logits) / (possible as f32).ln();
        let temperature = self.lowest + (self.highest - self.lowest) * share.powf(self.exponent);
        if temperature > 0.0 {
            logits.iter_mut().for_each(|logit| *logit /= temperature);
        } else {
            rule_out_below(softmax.max(), logits);
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
