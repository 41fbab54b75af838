//! A function that says which tokens may come.

use std::fmt;
use std::sync::Arc;

use super::LogitsProcessor;
use crate::error::{Error, Result};

/// Rules out all tokens but those that a function allows after the tokens so far
/// (`PrefixConstrainedLogitsProcessor`, arXiv 2010.00904): for a grammar, a trie of names, a fixed answer.
///
/// ```
/// use sconce::generation::LogitsProcessor;
/// use sconce::generation::processors::PrefixAllowedTokens;
///
/// let after = |tokens: &[u32]| Ok(vec![tokens.len() as u32, 3]);
/// let mut logits = vec![0.5; 4];
/// PrefixAllowedTokens::new(after).process(&[7], &mut logits)?;
/// assert_eq!(logits, [f32::NEG_INFINITY, 0.5, f32::NEG_INFINITY, 0.5]);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Clone)]
pub struct PrefixAllowedTokens(Arc<Allowed>);

type Allowed = dyn Fn(&[u32]) -> Result<Vec<u32>> + Send + Sync;

impl PrefixAllowedTokens {
    /// `allowed` gets the prompt and everything generated so far, and returns the ids that may come next.
    pub fn new(allowed: impl Fn(&[u32]) -> Result<Vec<u32>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(allowed))
    }
}

impl fmt::Debug for PrefixAllowedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrefixAllowedTokens")
    }
}

impl LogitsProcessor for PrefixAllowedTokens {
    fn process(&mut self, tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        let mut allowed = (self.0)(tokens)?;
        let refuse = |reason: String| Err(Error::option("prefix_allowed_tokens_fn", reason));
        if allowed.is_empty() {
            return refuse(format!(
                "allows no token after {} tokens; allow the end of the answer where nothing else may come",
                tokens.len()
            ));
        }
        if let Some(id) = allowed.iter().find(|&&id| id as usize >= logits.len()) {
            return refuse(format!("allows id {id} outside the vocabulary of {}", logits.len()));
        }
        allowed.sort_unstable();
        let mut next = 0;
        for id in allowed {
            let id = id as usize;
            if id >= next {
                logits[next..id].fill(f32::NEG_INFINITY);
                next = id + 1;
            }
        }
        logits[next..].fill(f32::NEG_INFINITY);
        Ok(())
    }
}
