//! Locally typical sampling.

use super::rank::{leading, ranked, smallest_first};
use super::{LogitsProcessor, checked};
use crate::error::Result;
use crate::generation::softmax::Softmax;

/// Keeps the tokens whose information is closest to the entropy, until they reach probability
/// `mass` (`TypicalLogitsWarper`, arXiv 2202.00666).
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::Typical;
///
/// let mut logits = [3.0, 2.9, 0.0];
/// Typical::new(0.5)?.process(&[5], &mut logits)?;
/// assert_eq!(logits, [3.0, 2.9, f32::NEG_INFINITY]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Typical {
    mass: f32,
    least: usize,
}

impl Typical {
    /// Keeps tokens that together reach probability `mass`, above 0 and at most 1.
    ///
    /// # Errors
    ///
    /// When `mass` is out of its range.
    pub fn new(mass: f64) -> Result<Self> {
        checked("typical_p", mass, "above 0 and at most 1", |it| it > 0.0 && it <= 1.0)?;
        Ok(Self { mass: mass as f32, least: 1 })
    }

    /// Keeps at least `least` tokens, and never less than one.
    #[must_use]
    pub fn min_tokens_to_keep(self, least: usize) -> Self {
        Self { least: least.max(1), ..self }
    }
}

impl LogitsProcessor for Typical {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let softmax = Softmax::of(logits);
        let entropy = softmax.entropy(logits);
        let surprise = |logit| (-softmax.log_probability(logit) - entropy).abs();
        let mut ranked = ranked(logits, surprise);
        let weight = |index: u32| softmax.weight(logits[index as usize]);
        let kept = leading(&mut ranked, weight, 0.0, softmax.total(), |mass| mass < self.mass);
        // The one that reaches the mass is kept too, with all that tie with it.
        let last = kept.max(self.least - 1);
        if last > kept {
            smallest_first(&mut ranked, last);
        }
        if let Some(&(most, _)) = ranked.get(last) {
            for logit in logits {
                if surprise(*logit) > most {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        Ok(())
    }
}
