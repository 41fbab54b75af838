//! The likeliest token.

use super::Sampler;
use crate::error::Result;
use crate::generation::distribution::Distribution;

/// The likeliest token; the lowest id of equals, as in `torch.argmax`.
///
/// ```
/// use sconce::generation::{Distribution, Greedy, Sampler};
///
/// assert_eq!(Greedy.sample(&Distribution::of(&[1.0, 3.0, 2.0])?)?, 1);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Greedy;

impl Sampler for Greedy {
    fn sample(&mut self, distribution: &Distribution<'_>) -> Result<usize> {
        Ok(distribution.likeliest())
    }
}
