//! Choosing one token from processed logits.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use super::softmax::Softmax;
use crate::error::{Error, Result};

/// A token that was chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The natural logarithm of its probability, after all processors: what it was drawn with.
    pub logprob: f32,
    /// The natural logarithm of its probability as the model has it, before all processors.
    pub model_logprob: f32,
    /// The likeliest tokens as the model has it, before all processors, the likeliest first: as many as
    /// [`top_logprobs`](super::GenerationConfig#structfield.top_logprobs) asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top_logprobs: Vec<TopLogprob>,
}

/// One of the likeliest tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopLogprob {
    /// Its id.
    pub id: u32,
    /// The natural logarithm of its probability.
    pub logprob: f32,
}

/// The `count` likeliest tokens of a row, the likeliest first; of equals the one with the lowest id.
pub(super) fn top_logprobs(logits: &[f32], softmax: Softmax, count: usize) -> Vec<TopLogprob> {
    if count == 0 {
        return Vec::new();
    }
    let mut ranked: Vec<_> = (0..).zip(logits.iter().copied()).collect();
    let descending = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    if count < ranked.len() {
        ranked.select_nth_unstable_by(count, descending);
        ranked.truncate(count);
    }
    ranked.sort_unstable_by(descending);
    let top = |(id, logit)| TopLogprob { id, logprob: softmax.log_probability(logit) };
    ranked.into_iter().map(top).collect()
}

/// Chooses one token from processed logits.
#[derive(Debug, Clone)]
pub(super) enum Sampler {
    /// The likeliest token; the lowest id of equals, as in `torch.argmax`.
    Greedy,
    /// One drawn from the distribution.
    Multinomial(Box<ChaCha8Rng>),
}

impl Sampler {
    /// ChaCha8 keyed with the seed in little-endian order: the numbers are fixed by the cipher, not
    /// by the version of a crate.
    pub(super) fn multinomial(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        Self::Multinomial(Box::new(ChaCha8Rng::from_seed(key)))
    }

    /// The index of a logit, never of one that is `-inf`, and the distribution it is from.
    ///
    /// # Errors
    ///
    /// When the logits are not a distribution.
    pub(super) fn pick(&mut self, logits: &[f32]) -> Result<(usize, Softmax)> {
        let softmax = Softmax::of(logits);
        if !softmax.is_valid() {
            return Err(no_distribution(logits));
        }
        let index = match self {
            Self::Greedy => logits.iter().position(|&logit| logit == softmax.max()),
            Self::Multinomial(rng) => {
                // 53 random bits, uniform in [0, 1).
                let uniform = (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64);
                let mut left = uniform * softmax.total();
                let mut last = None;
                // After a filter nearly everything is -inf.
                let possible = logits.iter().enumerate();
                for (index, &logit) in possible.filter(|(_, it)| **it > f32::NEG_INFINITY) {
                    let weight = f64::from(softmax.weight(logit));
                    if weight > 0.0 {
                        last = Some(index);
                        if left < weight {
                            break;
                        }
                        left -= weight;
                    }
                }
                // Where rounding has left something over, the last that is possible.
                last
            }
        };
        index.map(|index| (index, softmax)).ok_or_else(|| no_distribution(logits))
    }
}

fn no_distribution(logits: &[f32]) -> Error {
    if logits.iter().all(|&logit| logit == f32::NEG_INFINITY) {
        return Error::input("the options leave no token to choose: every logit is -inf");
    }
    Error::Tensor(candle_core::Error::Msg(
        "the logits hold NaN or +inf: the weights are broken, the dtype is too narrow for them, or \
         an option such as `temperature` is extreme"
            .to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[test]
    fn greedy_takes_the_first_of_equals() {
        let logits = [0.0, 2.0, f32::NEG_INFINITY, 2.0];
        let (index, softmax) = Sampler::Greedy.pick(&logits).unwrap();
        assert_eq!(index, 1);
        let logprob = softmax.log_probability(logits[index]);
        assert!((logprob - -(2.0 + (-2f32).exp()).ln()).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_distribution_is_an_error() {
        for sampler in [&mut Sampler::Greedy, &mut Sampler::multinomial(0)] {
            for (logits, message) in [
                (&[][..], "no token"),
                (&[f32::NEG_INFINITY; 3], "no token"),
                (&[0.0, f32::NAN], "NaN"),
                (&[f32::NEG_INFINITY, f32::NAN], "NaN"),
                (&[0.0, f32::INFINITY], "NaN"),
            ] {
                let error = sampler.pick(logits).unwrap_err().to_string();
                assert!(error.contains(message), "{logits:?}: {error}");
            }
        }
    }

    #[derive(Deserialize)]
    struct Draws {
        seed: u64,
        draws: Vec<u32>,
    }

    #[test]
    fn a_seed_is_a_promise() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/logits/draws.json");
        let cases: Vec<Draws> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in cases {
            let mut sampler = Sampler::multinomial(case.seed);
            let mut draw = || sampler.pick(&[0.0; 1000]).unwrap().0 as u32;
            let found: Vec<_> = case.draws.iter().map(|_| draw()).collect();
            assert_eq!(found, case.draws, "seed {}", case.seed);
        }
    }

    /// Pearson's chi-square with 5 degrees of freedom is above 20.5 once in a thousand draws of a
    /// fair sampler; the seeds are fixed, so the test is not a matter of luck.
    #[test]
    fn draws_follow_the_distribution() {
        let logits = [1.0, -0.5, f32::NEG_INFINITY, 2.0, 0.0, -2.0, 1.0];
        let total: f64 = logits.iter().map(|&logit: &f32| f64::from(logit).exp()).sum();
        for seed in 0..5 {
            let mut sampler = Sampler::multinomial(seed);
            let mut counts = [0.0; 7];
            let draws = 20_000;
            for _ in 0..draws {
                counts[sampler.pick(&logits).unwrap().0] += 1.0;
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

    proptest! {
        #[test]
        fn never_what_is_ruled_out(
            logits in proptest::collection::vec(
                prop_oneof![Just(f32::NEG_INFINITY), -200f32..200.0], 1..40,
            ),
            seed: u64,
        ) {
            for mut sampler in [Sampler::Greedy, Sampler::multinomial(seed)] {
                match sampler.pick(&logits) {
                    Ok((index, softmax)) => {
                        prop_assert!(logits[index] > f32::NEG_INFINITY);
                        prop_assert!(softmax.log_probability(logits[index]) <= 1e-6);
                    }
                    Err(_) => prop_assert!(logits.iter().all(|it| it.is_infinite())),
                }
            }
        }
    }
}
