//! Keys and values of the tokens a generation has seen.

use crate::error::Result;

/// Keys and values of the tokens a generation has seen, layer by layer. Cloning forks the
/// conversation: the copies share nothing.
#[derive(Debug, Clone)]
pub struct KvCache {}

impl KvCache {
    /// Slots filled so far in every row, padding included.
    #[must_use]
    pub fn tokens(&self) -> usize {
        0
    }

    /// Forgets everything after the first `tokens` slots, so that a shared prefix is not computed
    /// again.
    ///
    /// # Errors
    ///
    /// When `tokens` is more than there are.
    pub fn truncate(&mut self, _tokens: usize) -> Result<()> {
        Ok(())
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {}

    /// Keeps the given rows in the given order; a row may be named several times (beams).
    ///
    /// # Errors
    ///
    /// When there is no such row.
    pub fn select_rows(&mut self, _rows: &[usize]) -> Result<()> {
        Ok(())
    }
}
