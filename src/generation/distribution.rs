//! Logits as a distribution over the vocabulary.

use crate::error::{Error, Result};
use crate::generation::softmax::Softmax;

/// Processed logits as a distribution over the vocabulary: what a [`Sampler`](super::Sampler) chooses
/// from. At least one logit is finite, and none is NaN or `+inf`.
#[derive(Debug, Clone, Copy)]
pub struct Distribution<'a> {
    logits: &'a [f32],
    softmax: Softmax,
}

impl<'a> Distribution<'a> {
    /// The softmax of `logits`, one for each item of the vocabulary.
    ///
    /// # Errors
    ///
    /// When the logits hold NaN or `+inf`, or are all `-inf`.
    pub fn of(logits: &'a [f32]) -> Result<Self> {
        let softmax = Softmax::of(logits);
        if softmax.is_valid() {
            return Ok(Self { logits, softmax });
        }
        if logits.iter().all(|&logit| logit == f32::NEG_INFINITY) {
            return Err(Error::input("the options leave no token to choose: every logit is -inf"));
        }
        Err(Error::Tensor(candle_core::Error::Msg(
            "the logits hold NaN or +inf: the weights are broken, the dtype is too narrow for them, or \
             an option such as `temperature` is extreme"
                .to_owned(),
        )))
    }

    /// The logits, `(vocab,)`.
    #[must_use]
    pub fn logits(&self) -> &'a [f32] {
        self.logits
    }

    /// The likeliest index; the lowest of equals, as in `torch.argmax`.
    #[must_use]
    pub fn likeliest(&self) -> usize {
        self.logits.iter().position(|&logit| logit == self.softmax.max()).unwrap_or(0)
    }

    /// The probability of an index; 0 outside the vocabulary.
    #[must_use]
    pub fn probability(&self, index: usize) -> f32 {
        self.logits.get(index).map_or(0.0, |&logit| self.softmax.probability(logit))
    }

    /// The natural logarithm of the probability of an index; `-inf` outside the vocabulary.
    #[must_use]
    pub fn log_probability(&self, index: usize) -> f32 {
        self.logits.get(index).map_or(f32::NEG_INFINITY, |&it| self.softmax.log_probability(it))
    }

    /// The index at which the summed probability of all up to and including it exceeds `uniform`, a
    /// number in [0, 1): drawn uniformly, it draws from the distribution. Never one of probability 0.
    #[must_use]
    pub fn draw(&self, uniform: f64) -> usize {
        let mut left = uniform * self.softmax.total();
        let mut last = 0;
        // After a filter nearly everything is -inf.
        let possible = self.logits.iter().enumerate();
        for (index, &logit) in possible.filter(|(_, it)| **it > f32::NEG_INFINITY) {
            let weight = f64::from(self.softmax.weight(logit));
            if weight > 0.0 {
                last = index;
                if left < weight {
                    break;
                }
                left -= weight;
            }
        }
        // Where rounding has left something over, the last that is possible.
        last
    }

    /// The softmax of the logits.
    pub(super) fn softmax(&self) -> Softmax {
        self.softmax
    }
}
