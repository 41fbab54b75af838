//! Choosing one token from processed logits.

mod greedy;
mod mirostat;
mod multinomial;

use std::any::Any;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::generation::distribution::Distribution;
use crate::generation::softmax::Softmax;

pub use greedy::Greedy;
pub use mirostat::Mirostat;
pub use multinomial::Multinomial;

/// A token that was chosen.
///
/// A log-probability is `-inf` where the token is impossible. JSON has no such number: it is null there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The natural logarithm of its probability, after all processors: what it was drawn with.
    #[serde(with = "logprob_json")]
    pub logprob: f32,
    /// The natural logarithm of its probability as the model has it, before all processors.
    #[serde(with = "logprob_json")]
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
    #[serde(with = "logprob_json")]
    pub logprob: f32,
}

/// Log-probabilities as JSON: null is `-inf`.
pub(super) mod logprob_json {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::generation) fn serialize<S: Serializer>(
        logprob: &f32,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Some(*logprob).filter(|logprob| logprob.is_finite()).serialize(serializer)
    }

    pub(in crate::generation) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<f32, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f32::NEG_INFINITY))
    }
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
///
/// [`Greedy`], [`Multinomial`] and [`Mirostat`] are the samplers of the options. Implement it for one of
/// your own and put it into a plan with [`Plan::with_sampler`](super::Plan::with_sampler).
///
/// It may keep state of the answer; a plan that is cloned clones its sampler.
///
/// ```
/// use sconce::Result;
/// use sconce::generation::{Distribution, Plan, Sampler};
///
/// /// The second likeliest token.
/// #[derive(Debug, Clone)]
/// struct SecondBest;
///
/// impl Sampler for SecondBest {
///     fn sample(&mut self, distribution: &Distribution<'_>) -> Result<usize> {
///         let best = distribution.likeliest();
///         let others = (0..distribution.logits().len()).filter(|&index| index != best);
///         let second = others.max_by(|&a, &b| {
///             distribution.logits()[a].total_cmp(&distribution.logits()[b])
///         });
///         Ok(second.unwrap_or(best))
///     }
/// }
///
/// let mut plan = Plan::new(&[5], 20).with_sampler(Box::new(SecondBest));
/// assert_eq!(plan.next(&[5], &mut [0.5, 2.0, 1.0])?.id, 2);
/// # Ok::<(), sconce::Error>(())
/// ```
pub trait Sampler: CloneSampler + fmt::Debug + Any + Send + Sync {
    /// The index of the chosen token in the vocabulary, whose logit is not `-inf`.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from choosing, which ends the answer as an error.
    fn sample(&mut self, distribution: &Distribution<'_>) -> Result<usize>;

    /// Starts its random numbers over from `seed`. A sampler without random numbers does nothing.
    fn reseed(&mut self, seed: u64) {
        let _ = seed;
    }
}

/// What `sampler` chooses.
///
/// # Errors
///
/// What it returns, and when it chooses what is ruled out.
pub(super) fn chosen(sampler: &mut dyn Sampler, distribution: &Distribution<'_>) -> Result<usize> {
    let index = sampler.sample(distribution)?;
    if distribution.log_probability(index) > f32::NEG_INFINITY {
        return Ok(index);
    }
    Err(Error::input(format!(
        "the sampler chose id {index}, which is ruled out or outside the vocabulary of {}",
        distribution.logits().len()
    )))
}

/// How a [`Sampler`] behind a pointer is cloned. All that are `Clone` have it.
pub trait CloneSampler {
    /// A clone.
    fn boxed_clone(&self) -> Box<dyn Sampler>;
}

impl<T: Sampler + Clone> CloneSampler for T {
    fn boxed_clone(&self) -> Box<dyn Sampler> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Sampler> {
    fn clone(&self) -> Self {
        (**self).boxed_clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn greedy_takes_the_first_of_equals() {
        let logits = [0.0, 2.0, f32::NEG_INFINITY, 2.0];
        let distribution = Distribution::of(&logits).unwrap();
        let index = Greedy.sample(&distribution).unwrap();
        assert_eq!(index, 1);
        let logprob = distribution.log_probability(index);
        assert!((logprob - -(2.0 + (-2f32).exp()).ln()).abs() < 1e-6);
    }

    #[test]
    fn what_is_no_distribution_is_an_error() {
        for (logits, message) in [
            (&[][..], "no token"),
            (&[f32::NEG_INFINITY; 3], "no token"),
            (&[0.0, f32::NAN], "NaN"),
            (&[f32::NEG_INFINITY, f32::NAN], "NaN"),
            (&[0.0, f32::INFINITY], "NaN"),
        ] {
            let error = Distribution::of(logits).unwrap_err().to_string();
            assert!(error.contains(message), "{logits:?}: {error}");
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
            let Ok(distribution) = Distribution::of(&logits) else {
                prop_assert!(logits.iter().all(|it| it.is_infinite()));
                return Ok(());
            };
            let samplers: [Box<dyn Sampler>; 3] = [
                Box::new(Greedy),
                Box::new(Multinomial::seeded(seed)),
                Box::new(Mirostat::new(3.0, 0.1, seed).unwrap()),
            ];
            for mut sampler in samplers {
                let mut clone = sampler.clone();
                for _ in 0..3 {
                    let index = sampler.sample(&distribution).unwrap();
                    prop_assert!(logits[index] > f32::NEG_INFINITY);
                    prop_assert!(distribution.log_probability(index) <= 1e-6);
                    prop_assert_eq!(clone.sample(&distribution).unwrap(), index);
                }
            }
        }
    }
}
