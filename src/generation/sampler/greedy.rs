//! The likeliest token.

use super::Sampler;
use crate::error::Result;
use crate::generation::distribution::Distribution;

/// The likeliest token; the lowest id of equals, as in `torch.argmax`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Greedy;

impl Sampler for Greedy {
    fn sample(&mut self, distribution: &Distribution<'_>) -> Result<usize> {
        Ok(distribution.likeliest())
    }
}
