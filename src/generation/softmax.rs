//! Softmax over one row of logits, evaluated where it is asked for.

/// What softmax needs to know of a row: `p(x) = exp(x - max) / total`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Softmax {
    max: f32,
    /// In f64, as torch accumulates; NaN where a logit is NaN or +inf, or all of them are -inf.
    total: f64,
}

impl Softmax {
    pub(crate) fn of(logits: &[f32]) -> Self {
        let (groups, rest) = logits.as_chunks::<LANES>();
        let mut maxima = [f32::NEG_INFINITY; LANES];
        let mut totals = [0.0; LANES];
        for group in groups {
            for (max, &logit) in maxima.iter_mut().zip(group) {
                *max = larger(*max, logit);
            }
        }
        let max = maxima.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger);
        for group in groups {
            let weights = group.map(|logit| exp(logit - max));
            for (total, weight) in totals.iter_mut().zip(weights) {
                *total += f64::from(weight);
            }
        }
        let rest = rest.iter().map(|&logit| f64::from(exp(logit - max)));
        Self { max, total: totals.into_iter().chain(rest).sum() }
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
        exp(logit - self.max)
    }

    pub(crate) fn probability(&self, logit: f32) -> f32 {
        (f64::from(self.weight(logit)) / self.total) as f32
    }

    /// The natural logarithm of a logit's probability.
    pub(super) fn log_probability(&self, logit: f32) -> f32 {
        (f64::from(logit - self.max) - self.total.ln()) as f32
    }

    /// Makes log-probabilities of the logits of the row the softmax was made of.
    pub(super) fn log_probabilities(&self, logits: &mut [f32]) {
        let log_total = self.total.ln() as f32;
        for logit in logits {
            *logit = *logit - self.max - log_total;
        }
    }

    /// `-Σ p ln p` over the row the softmax was made of, in nats.
    pub(super) fn entropy(&self, logits: &[f32]) -> f32 {
        let terms = logits.iter().filter(|&&logit| logit > f32::NEG_INFINITY).map(|&logit| {
            f64::from(self.log_probability(logit)) * f64::from(self.probability(logit))
        });
        -terms.sum::<f64>() as f32
    }
}

/// The larger of two numbers, the first where the second is NaN.
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// The exponential of a number that is not positive, to within 2 units in the last place; 0 below
/// -87, NaN for NaN. Without branches and calls, so that a loop over it becomes vector code, which
/// takes a third of the time of the standard library's: for a vocabulary of 150,000 that is felt.
///
/// After `expf` of Cephes (S. Moshier).
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding it leaves a number rounded to an integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts, of which the first has so few bits that its product with n is exact.
    let r = clamped - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = (1.987_569_1e-4 * r + 1.398_2e-3) * r + 8.333_452e-3;
    let p = ((p * r + 4.166_579_6e-2) * r + 1.666_666_5e-1) * r + 0.5;
    let p = p * r * r + r + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    let mask = if x < -87.0 { 0 } else { u32::MAX };
    f32::from_bits((p * power).to_bits() & mask)
}

/// Logits treated side by side, so that a loop over them becomes vector code.
const LANES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_the_exponential() {
        for step in 0..=870_000 {
            let x = step as f32 * -1e-4;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 2.4e-7, "{x}: {} {exact}", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!((exp(-87.5), exp(f32::MIN), exp(f32::NEG_INFINITY)), (0.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan());
    }

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
