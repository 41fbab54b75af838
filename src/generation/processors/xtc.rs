//! XTC: exclude top choices.

use super::{LogitsProcessor, checked};
use crate::error::Result;
use crate::generation::random::{Random, XTC};
use crate::generation::softmax::Softmax;

/// Sometimes rules out all tokens that are at least as likely as a threshold but the least likely of them: the
/// best choices go, and a good one stays. Below two such tokens nothing changes.
///
/// Reference: `llama_sampler_xtc` of llama.cpp. Of equally likely tokens the one with the highest id stays.
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::Xtc;
///
/// let mut logits = [3.0, 2.9, 0.0];
/// Xtc::new(1.0, 0.1, 0)?.process(&[5], &mut logits)?;
/// assert_eq!(logits, [f32::NEG_INFINITY, 2.9, 0.0]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Xtc {
    probability: f64,
    threshold: f64,
    least: usize,
    random: Random,
}

impl Xtc {
    /// Works in a share `probability` of all steps, 0 to 1, on tokens of probability `threshold` or more, 0 to
    /// 1; above 0.5 there are never two such tokens. llama.cpp's default `threshold` is 0.1.
    ///
    /// # Errors
    ///
    /// When a number is out of its range.
    pub fn new(probability: f64, threshold: f64, seed: u64) -> Result<Self> {
        for (option, value) in [("xtc_probability", probability), ("xtc_threshold", threshold)] {
            checked(option, value, "in [0, 1]", |it| (0.0..=1.0).contains(&it))?;
        }
        Ok(Self { probability, threshold, least: 1, random: Random::seeded(seed, XTC) })
    }

    /// Does nothing where fewer than `least` tokens would be left.
    #[must_use]
    pub fn min_tokens_to_keep(self, least: usize) -> Self {
        Self { least, ..self }
    }
}

impl LogitsProcessor for Xtc {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if self.random.uniform() >= self.probability {
            return Ok(());
        }
        let softmax = Softmax::of(logits);
        let threshold = self.threshold as f32;
        let is_top = |&(_, &logit): &(usize, &f32)| {
            logit > f32::NEG_INFINITY && softmax.probability(logit) >= threshold
        };
        let mut top: Vec<_> =
            logits.iter().enumerate().filter(is_top).map(|(index, &it)| (it, index)).collect();
        let Some(last) = top.iter().copied().reduce(|a, b| if b.0 <= a.0 { b } else { a }) else {
            return Ok(());
        };
        let possible = logits.iter().filter(|&&logit| logit > f32::NEG_INFINITY).count();
        if possible - (top.len() - 1) >= self.least {
            top.retain(|&it| it.1 != last.1);
            for (_, index) in top {
                logits[index] = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    fn reseed(&mut self, seed: u64) {
        self.random = Random::seeded(seed, XTC);
    }
}
