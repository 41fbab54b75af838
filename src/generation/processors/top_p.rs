//! Top-p, nucleus sampling.

use super::rank::{leading, ranked, smallest_first};
use super::{LogitsProcessor, checked};
use crate::error::Result;
use crate::generation::softmax::Softmax;

/// Keeps the likeliest tokens that together reach probability `p`, at least one
/// (`TopPLogitsWarper`, arXiv 1904.09751). Of tokens that tie at the border the later ones are kept, as by
/// torch's stable ascending sort.
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::TopP;
///
/// let mut logits = [3.0, 0.0, 0.0];
/// TopP::new(0.5)?.process(&[5], &mut logits)?;
/// assert_eq!(logits, [3.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TopP {
    p: f64,
    least: usize,
}

impl TopP {
    /// Keeps tokens that together reach `p`, 0 to 1.
    ///
    /// # Errors
    ///
    /// When `p` is out of its range.
    pub fn new(p: f64) -> Result<Self> {
        checked("top_p", p, "in [0, 1]", |it| (0.0..=1.0).contains(&it))?;
        Ok(Self { p, least: 1 })
    }

    /// Keeps at least `least` tokens, and never less than one.
    #[must_use]
    pub fn min_tokens_to_keep(self, least: usize) -> Self {
        Self { least: least.max(1), ..self }
    }
}

impl LogitsProcessor for TopP {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let softmax = Softmax::of(logits);
        let unlikely = (1.0 - self.p) as f32;
        let mut mass = 0.0;
        if self.least == 1 {
            // Even if all were as unlikely as this, together they would not reach the border: these are
            // nearly all there are, and need no sorting.
            let negligible = 0.5 * unlikely * softmax.total() as f32 / logits.len() as f32;
            for logit in logits.iter_mut().filter(|logit| **logit > f32::NEG_INFINITY) {
                let weight = softmax.weight(*logit);
                if weight < negligible {
                    mass += f64::from(weight);
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        let mut ranked = ranked(logits, |logit| logit);
        let weight = |index: u32| softmax.weight(logits[index as usize]);
        let removed = leading(&mut ranked, weight, mass, softmax.total(), |mass| mass <= unlikely);
        let most = ranked.len().saturating_sub(self.least);
        if removed > most {
            smallest_first(&mut ranked[..removed], most);
        }
        for &(_, index) in &ranked[..removed.min(most)] {
            logits[index as usize] = f32::NEG_INFINITY;
        }
        Ok(())
    }
}
