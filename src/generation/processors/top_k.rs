//! Top-k.

use super::LogitsProcessor;
use super::rank::{kth_largest, rule_out_below};
use crate::error::{Error, Result};

/// Keeps the `k` likeliest tokens and what ties with the last of them (`TopKLogitsWarper`).
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::TopK;
///
/// let mut logits = [1.0, 4.0, 3.0];
/// TopK::new(2)?.process(&[5], &mut logits)?;
/// assert_eq!(logits, [f32::NEG_INFINITY, 4.0, 3.0]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TopK {
    k: usize,
    scratch: Vec<f32>,
}

impl TopK {
    /// Keeps `k` tokens, at least one.
    ///
    /// # Errors
    ///
    /// When `k` is 0.
    pub fn new(k: usize) -> Result<Self> {
        match k {
            0 => Err(Error::option("top_k", "is 0, but must keep at least 1 token")),
            k => Ok(Self { k, scratch: Vec::new() }),
        }
    }

    /// Keeps at least `least` tokens, whatever `k` says.
    #[must_use]
    pub fn min_tokens_to_keep(self, least: usize) -> Self {
        Self { k: self.k.max(least), ..self }
    }
}

impl LogitsProcessor for TopK {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        if let Some(kth) = kth_largest(self.k, logits, &mut self.scratch) {
            rule_out_below(kth, logits);
        }
        Ok(())
    }
}
