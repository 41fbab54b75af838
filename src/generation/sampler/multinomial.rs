//! A token drawn from the distribution.

use super::Sampler;
use crate::error::Result;
use crate::generation::distribution::Distribution;
use crate::generation::random::{DRAWS, Random};

/// A token drawn from the distribution. The same seed and the same distributions give the same tokens
/// on every machine and with every version of this crate.
///
/// ```
/// use sconce::generation::{Distribution, Multinomial, Sampler};
///
/// let distribution = Distribution::of(&[1.0, 3.0, 2.0])?;
/// let drawn = Multinomial::seeded(7).sample(&distribution)?;
/// assert_eq!(Multinomial::seeded(7).sample(&distribution)?, drawn);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Multinomial(Random);

impl Multinomial {
    /// Draws with the random numbers of `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Random::seeded(seed, DRAWS))
    }
}

impl Sampler for Multinomial {
    fn sample(&mut self, distribution: &Distribution<'_>) -> Result<usize> {
        Ok(distribution.draw(self.0.uniform()))
    }

    fn reseed(&mut self, seed: u64) {
        *self = Self::seeded(seed);
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Draws {
        seed: u64,
        draws: Vec<u32>,
    }

    #[test]
    fn a_seed_is_a_promise() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/logits/draws.json");
        let cases: Vec<Draws> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let distribution = Distribution::of(&[0.0; 1000]).unwrap();
        for case in cases {
            let mut sampler = Multinomial::seeded(0);
            sampler.reseed(case.seed);
            let mut draw = || sampler.sample(&distribution).unwrap() as u32;
            let found: Vec<_> = case.draws.iter().map(|_| draw()).collect();
            assert_eq!(found, case.draws, "seed {}", case.seed);
        }
    }

    /// Pearson's chi-square with 5 degrees of freedom is above 20.5 once in a thousand draws of a
    /// fair sampler; the seeds are fixed, so the test is not a matter of luck.
    #[test]
    fn draws_follow_the_distribution() {
        let logits = [1.0, -0.5, f32::NEG_INFINITY, 2.0, 0.0, -2.0, 1.0];
        let distribution = Distribution::of(&logits).unwrap();
        let total: f64 = logits.iter().map(|&logit: &f32| f64::from(logit).exp()).sum();
        for seed in 0..5 {
            let mut sampler = Multinomial::seeded(seed);
            let mut counts = [0.0; 7];
            let draws = 20_000;
            for _ in 0..draws {
                counts[sampler.sample(&distribution).unwrap()] += 1.0;
            }
            let terms = logits.iter().zip(counts).filter(|(logit, _)| logit.is_finite());
            let chi_square: f64 = terms
                .map(|(&logit, count)| {
                    let expected = f64::from(logit).exp() / total * f64::from(draws);
                    (count - expected) * (count - expected) / expected
                })
                .sum();
            assert!(chi_square < 20.5, "seed {seed}: {chi_square}");
            assert_eq!(counts[2], 0.0);
        }
    }
}
