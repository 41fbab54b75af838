//! Top-h: a share of the entropy.

use super::rank::{kth_largest, ranked, rule_out_below};
use super::{LogitsProcessor, checked};
use crate::error::Result;
use crate::generation::softmax::Softmax;

/// Of the 100 likeliest tokens, keeps the likeliest while their summed entropy is at most `h` times the entropy
/// of the 100, and always the likeliest (`TopHLogitsWarper` of transformers 5, arXiv 2509.02510).
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::TopH;
///
/// let mut logits = [4.0, 1.0, 0.0];
/// TopH::new(0.5)?.process(&[5], &mut logits)?;
/// assert_eq!(logits, [4.0, f32::NEG_INFINITY, f32::NEG_INFINITY]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TopH(f64);

impl TopH {
    /// For a share `h` of the entropy, above 0 and at most 1.
    ///
    /// # Errors
    ///
    /// When `h` is out of its range.
    pub fn new(h: f64) -> Result<Self> {
        let holds = |it| it > 0.0 && it <= 1.0;
        Ok(Self(checked("top_h", h, "above 0 and at most 1", holds)?))
    }
}

impl LogitsProcessor for TopH {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if let Some(least) = kth_largest(MOST, logits, &mut Vec::new()) {
            rule_out_below(least, logits);
        }
        let mut top = ranked(logits, |logit| -logit);
        top.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for &(_, index) in top.iter().skip(MOST) {
            logits[index as usize] = f32::NEG_INFINITY;
        }
        top.truncate(MOST);
        let softmax = Softmax::of(logits);
        let most = self.0 as f32 * softmax.entropy(logits);
        let mut sum = 0.0;
        for (rank, &(_, index)) in top.iter().enumerate() {
            let logit = &mut logits[index as usize];
            let probability = softmax.probability(*logit);
            sum -= probability * softmax.log_probability(*logit);
            if rank > 0 && (sum > most || probability == 0.0) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }
}

/// The tokens that are looked at.
const MOST: usize = 100;
