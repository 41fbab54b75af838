//! The memory that a model takes, by part.

use std::collections::BTreeMap;
use std::fmt;

use crate::weights::{Inventory, Role};

/// The memory that a model takes, in bytes, by part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// The number of parameters.
    pub parameters: usize,
    /// All weights.
    pub weights: usize,
    /// Of these, the embedding tables, with heads that are tied to them.
    pub embeddings: usize,
    /// Of these, the matrices of linear layers.
    pub linear: usize,
    /// All weights by how they are stored: `f32`, `bf16`, `q4_k` and so on.
    pub by_precision: BTreeMap<&'static str, usize>,
    /// What each token of each row adds to the cache.
    pub cache_per_token: usize,
}

impl Memory {
    /// What the inventory counts, and the bytes that each token of each row takes in a cache.
    #[must_use]
    pub fn new(inventory: &Inventory, cache_per_token: usize) -> Self {
        Self {
            parameters: inventory.parameters(),
            weights: inventory.bytes(),
            embeddings: inventory.bytes_of(Role::Embedding),
            linear: inventory.bytes_of(Role::Linear),
            by_precision: inventory.bytes_by_precision(),
            cache_per_token,
        }
    }
}

/// A table for people to read.
impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = 8.0 * self.weights as f64 / self.parameters.max(1) as f64;
        writeln!(f, "parameters       {:>14}", grouped(self.parameters))?;
        writeln!(f, "weights          {:>14} bytes, {bits:.2} bits each", grouped(self.weights))?;
        writeln!(f, "  embeddings     {:>14}", grouped(self.embeddings))?;
        writeln!(f, "  linear layers  {:>14}", grouped(self.linear))?;
        for (precision, bytes) in &self.by_precision {
            writeln!(f, "  in {precision:<11} {:>14}", grouped(*bytes))?;
        }
        write!(f, "cache            {:>14} bytes per token", grouped(self.cache_per_token))
    }
}

/// 1234567 as `1,234,567`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let numbers = [0, 12, 123, 1_234, 1_234_567];
        assert_eq!(numbers.map(grouped), ["0", "12", "123", "1,234", "1,234,567"]);
    }
}
