//! Processors that touch every logit alike.

use super::rank::rule_out_below;
use super::{LogitsProcessor, POSITIVE, checked, is_positive};
use crate::error::Result;
use crate::generation::softmax::Softmax;

/// Divides by the temperature (`TemperatureLogitsWarper`).
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::Temperature;
///
/// let mut logits = [1.0, 2.0];
/// Temperature::new(0.5)?.process(&[5], &mut logits)?;
/// assert_eq!(logits, [2.0, 4.0]);
/// # Ok::<(), sconce::Error>(())
/// ```
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
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::DynamicTemperature;
///
/// let mut logits = [3.0, 3.0];
/// DynamicTemperature::new(1.0, 0.5, 1.0)?.process(&[5], &mut logits)?;
/// assert!((logits[0] - 2.0f32).abs() < 1e-4); // nothing is certain: the temperature is 1.5
/// # Ok::<(), sconce::Error>(())
/// ```
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
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::RemoveInvalid;
///
/// let mut logits = [f32::NAN, f32::INFINITY];
/// RemoveInvalid.process(&[5], &mut logits)?;
/// assert_eq!(logits, [0.0, f32::MAX]);
/// # Ok::<(), sconce::Error>(())
/// ```
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
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::Renormalize;
///
/// let mut logits = [7.0, 7.0];
/// Renormalize.process(&[5], &mut logits)?;
/// assert!((logits[0] + 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Renormalize;

impl LogitsProcessor for Renormalize {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let softmax = Softmax::of(logits);
        if softmax.max() == f32::NEG_INFINITY {
            // Nothing is left, which is for the sampler to say: divided by a sum of 0 it would be NaN.
            return Ok(());
        }
        for logit in logits {
            *logit = softmax.log_probability(*logit);
        }
        Ok(())
    }
}
