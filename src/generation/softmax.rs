//! Softmax over one row of logits, evaluated where it is asked for.

use crate::kernels::softmax;

/// What softmax needs to know of a row: `p(x) = exp(x - max) / total`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Softmax {
    max: f32,
    /// In f64, as torch accumulates; NaN where a logit is NaN or +inf, or all of them are -inf.
    total: f64,
}

impl Softmax {
    pub(crate) fn of(logits: &[f32]) -> Self {
        let max = softmax::largest(logits);
        Self { max, total: softmax::exponential_sum(logits, max) }
    }

    /// Whether the row is a distribution: some logit is finite, and none is NaN or +inf.
    pub(super) fn is_valid(&self) -> bool {
        self.total > 0.0
    }

    /// The largest logit.
    pub(super) fn max(&self) -> f32 {
        self.max
    }

    /// The sum of all [`weight`](Self::weight)s.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    /// The unnormalised probability of a logit.
    pub(super) fn weight(&self, logit: f32) -> f32 {
        softmax::exponential(logit - self.max)
    }

    pub(crate) fn probability(&self, logit: f32) -> f32 {
        (f64::from(self.weight(logit)) / self.total) as f32
    }

    /// The logarithm of the sum of the exponentials of all logits; `-inf` of none, NaN where one is NaN.
    pub(crate) fn log_sum(&self) -> f32 {
        if self.max == f32::NEG_INFINITY { self.max } else { self.max + self.total.ln() as f32 }
    }

    /// The natural logarithm of a logit's probability.
    pub(super) fn log_probability(&self, logit: f32) -> f32 {
        (f64::from(logit - self.max) - self.total.ln()) as f32
    }

    /// The log-probabilities of the logits of the row the softmax was made of.
    pub(super) fn log_probabilities(&self, logits: &[f32]) -> Vec<f32> {
        let log_total = self.total.ln() as f32;
        logits.iter().map(|logit| logit - self.max - log_total).collect()
    }

    /// `-Σ p ln p` over the row the softmax was made of, in nats.
    pub(super) fn entropy(&self, logits: &[f32]) -> f32 {
        let terms = logits.iter().filter(|&&logit| logit > f32::NEG_INFINITY).map(|&logit| {
            f64::from(self.log_probability(logit)) * f64::from(self.probability(logit))
        });
        -terms.sum::<f64>() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_any_length() {
        for length in [1, 15, 16, 17, 31, 48] {
            let logits: Vec<_> = (0..length).map(|index| (index * 7 % 5) as f32).collect();
            let softmax = Softmax::of(&logits);
            let total: f32 = logits.iter().map(|&logit| softmax.probability(logit)).sum();
            assert!((total - 1.0).abs() < 1e-6);
            assert_eq!(softmax.max(), logits.iter().copied().fold(0.0, f32::max));
        }
        assert!(!Softmax::of(&[]).is_valid());
        assert!(!Softmax::of(&[f32::NEG_INFINITY; 19]).is_valid());
        assert!(!Softmax::of(&[0.0, f32::NAN]).is_valid());
        assert!(!Softmax::of(&[0.0, f32::INFINITY]).is_valid());
    }
}
