//! Processors that keep tokens above a probability, and always the likeliest.

use super::rank::kth_largest;
use super::{LogitsProcessor, checked};
use crate::error::Result;
use crate::generation::softmax::Softmax;

/// Keeps tokens at least so many times as likely as the likeliest (`MinPLogitsWarper`, arXiv 2407.01082).
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::MinP;
///
/// let mut logits = [3.0, 2.9, 0.0];
/// MinP::new(0.5)?.process(&[5], &mut logits)?;
/// assert_eq!(logits, [3.0, 2.9, f32::NEG_INFINITY]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MinP(Cutoff);

impl MinP {
    /// Keeps tokens at least `min_p` times, 0 to 1, as likely as the likeliest.
    ///
    /// # Errors
    ///
    /// When `min_p` is out of its range.
    pub fn new(min_p: f64) -> Result<Self> {
        checked("min_p", min_p, "in [0, 1]", |it| (0.0..=1.0).contains(&it))?;
        Ok(Self(Cutoff { bound: min_p as f32, least: 1 }))
    }

    /// Keeps at least `least` tokens, and never less than one.
    #[must_use]
    pub fn min_tokens_to_keep(self, least: usize) -> Self {
        Self(self.0.keeping(least))
    }
}

impl LogitsProcessor for MinP {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        self.0.apply(logits, |min_p, softmax, _| min_p * softmax.probability(softmax.max()));
        Ok(())
    }
}

/// Keeps tokens above a fixed probability (`EpsilonLogitsWarper`, arXiv 2210.15191).
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::EpsilonCutoff;
///
/// let mut logits = [3.0, 2.9, 0.0];
/// EpsilonCutoff::new(0.1)?.process(&[5], &mut logits)?;
/// assert_eq!(logits, [3.0, 2.9, f32::NEG_INFINITY]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EpsilonCutoff(Cutoff);

impl EpsilonCutoff {
    /// Keeps tokens of probability `epsilon`, 0 up to 1, or more.
    ///
    /// # Errors
    ///
    /// When `epsilon` is out of its range.
    pub fn new(epsilon: f64) -> Result<Self> {
        Cutoff::new("epsilon_cutoff", epsilon).map(Self)
    }

    /// Keeps at least `least` tokens, and never less than one.
    #[must_use]
    pub fn min_tokens_to_keep(self, least: usize) -> Self {
        Self(self.0.keeping(least))
    }
}

impl LogitsProcessor for EpsilonCutoff {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        self.0.apply(logits, |epsilon, _, _| epsilon);
        Ok(())
    }
}

/// Keeps tokens above a probability that falls with the entropy of the distribution:
/// `min(epsilon, sqrt(epsilon) exp(-entropy))` (`EtaLogitsWarper`, arXiv 2210.15191).
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::EtaCutoff;
///
/// let mut logits = [3.0, 2.9, 0.0];
/// EtaCutoff::new(0.1)?.process(&[5], &mut logits)?;
/// assert_eq!(logits, [3.0, 2.9, f32::NEG_INFINITY]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EtaCutoff(Cutoff);

impl EtaCutoff {
    /// For an `epsilon` of 0 up to 1.
    ///
    /// # Errors
    ///
    /// When `epsilon` is out of its range.
    pub fn new(epsilon: f64) -> Result<Self> {
        Cutoff::new("eta_cutoff", epsilon).map(Self)
    }

    /// Keeps at least `least` tokens, and never less than one.
    #[must_use]
    pub fn min_tokens_to_keep(self, least: usize) -> Self {
        Self(self.0.keeping(least))
    }
}

impl LogitsProcessor for EtaCutoff {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        self.0.apply(logits, |epsilon, softmax, logits| {
            epsilon.min(epsilon.sqrt() * (-softmax.entropy(logits)).exp())
        });
        Ok(())
    }
}

/// What the three have in common.
#[derive(Debug, Clone)]
struct Cutoff {
    bound: f32,
    least: usize,
}

impl Cutoff {
    fn new(option: &str, epsilon: f64) -> Result<Self> {
        checked(option, epsilon, "in [0, 1)", |it| (0.0..1.0).contains(&it))?;
        Ok(Self { bound: epsilon as f32, least: 1 })
    }

    fn keeping(self, least: usize) -> Self {
        Self { least: least.max(1), ..self }
    }

    /// Rules out what is less likely than `threshold` makes of the bound, but for the `least` likeliest.
    fn apply(&self, logits: &mut [f32], threshold: impl Fn(f32, &Softmax, &[f32]) -> f32) {
        let softmax = Softmax::of(logits);
        let threshold = threshold(self.bound, &softmax, logits);
        let threshold = (f64::from(threshold) * softmax.total()) as f32;
        let kept = match self.least {
            1 => Some(softmax.max()),
            least => kth_largest(least, logits, &mut Vec::new()),
        };
        let Some(kept) = kept else { return };
        for logit in logits {
            if *logit < kept && softmax.weight(*logit) < threshold {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}
