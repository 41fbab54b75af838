//! Top-nσ: logits near the largest.

use super::{LogitsProcessor, POSITIVE, checked, is_positive};
use crate::error::Result;

/// Keeps the tokens whose logit is at most `n` standard deviations of the logits below the largest
/// (arXiv 2411.07641). Logits of `-inf` do not count. The temperature has no influence on what is kept.
///
/// Reference: `llama_sampler_top_n_sigma` of llama.cpp.
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::TopNSigma;
///
/// let mut logits = [0.0, 0.0, 3.0];
/// TopNSigma::new(1.0)?.process(&[5], &mut logits)?;
/// assert_eq!(logits, [f32::NEG_INFINITY, f32::NEG_INFINITY, 3.0]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TopNSigma(f64);

impl TopNSigma {
    /// Keeps tokens within `n` standard deviations, above 0.
    ///
    /// # Errors
    ///
    /// When `n` is out of its range.
    pub fn new(n: f64) -> Result<Self> {
        Ok(Self(checked("top_n_sigma", n, POSITIVE, is_positive)?))
    }
}

impl LogitsProcessor for TopNSigma {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let finite =
            || logits.iter().filter(|&&it| it > f32::NEG_INFINITY).map(|&it| f64::from(it));
        let count = finite().count() as f64;
        let mean = finite().sum::<f64>() / count;
        let variance = finite().map(|it| (it - mean) * (it - mean)).sum::<f64>() / count;
        let least = finite().fold(f64::NEG_INFINITY, f64::max) - self.0 * variance.sqrt();
        for logit in logits {
            if f64::from(*logit) < least {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }
}
