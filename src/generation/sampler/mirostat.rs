//! Mirostat 2.0: text of an even surprise.

use super::Sampler;
use crate::error::{Error, Result};
use crate::generation::distribution::Distribution;
use crate::generation::random::{DRAWS, Random};

/// Mirostat 2.0 (arXiv 2007.14966): draws among the tokens whose surprise, `-log2(p)`, is at most a limit,
/// and moves the limit so that the mean surprise of the answer becomes `tau`.
///
/// The limit starts at `2 tau`. After each token it falls by `eta (surprise - tau)`, where the surprise is that
/// among the tokens that were possible. At least the likeliest token is always possible. The
/// log-probability that a [`Token`](crate::generation::Token) reports is that of the whole distribution,
/// before the limit.
///
/// Reference: `llama_sampler_mirostat_v2` of llama.cpp.
///
/// ```
/// use sconce::generation::{Distribution, Mirostat, Sampler};
///
/// // No token but the likeliest has a surprise of at most 0.2 bits.
/// let drawn = Mirostat::new(0.1, 0.1, 7)?.sample(&Distribution::of(&[1.0, 9.0, 2.0])?)?;
/// assert_eq!(drawn, 1);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mirostat {
    tau: f32,
    eta: f32,
    /// The greatest surprise of a token, in bits.
    limit: f32,
    random: Random,
}

impl Mirostat {
    /// For a mean surprise of `tau` bits per token, above 0; `eta`, from 0 up, is how fast the limit moves.
    /// llama.cpp's defaults are 5 and 0.1.
    ///
    /// # Errors
    ///
    /// When a number is out of its range.
    pub fn new(tau: f64, eta: f64, seed: u64) -> Result<Self> {
        let refuse = |option: &str, value: f64, rule: &str| {
            Err(Error::option(option, format!("is {value}, but must be {rule}")))
        };
        if !(tau > 0.0 && tau < f64::from(f32::MAX)) {
            return refuse("mirostat_tau", tau, "a strictly positive number");
        }
        if !(eta >= 0.0 && eta < f64::from(f32::MAX)) {
            return refuse("mirostat_eta", eta, "a number from 0 up");
        }
        let random = Random::seeded(seed, DRAWS);
        Ok(Self { tau: tau as f32, eta: eta as f32, limit: 2.0 * tau as f32, random })
    }

    /// The logits of the tokens whose surprise is within the limit, `-inf` for all others.
    fn within_limit(&self, distribution: &Distribution<'_>) -> Vec<f32> {
        let least = -self.limit * std::f32::consts::LN_2;
        let best = distribution.likeliest();
        let logits = distribution.logits().iter().enumerate();
        let kept = |(index, &logit)| match distribution.log_probability(index) >= least {
            true => logit,
            false if index == best => logit,
            false => f32::NEG_INFINITY,
        };
        logits.map(kept).collect()
    }

    /// Moves the limit, now that a token of this log-probability has been drawn.
    fn learn(&mut self, log_probability: f32) {
        let surprise = -log_probability * std::f32::consts::LOG2_E;
        self.limit -= self.eta * (surprise - self.tau);
    }
}

impl Sampler for Mirostat {
    fn sample(&mut self, distribution: &Distribution<'_>) -> Result<usize> {
        let kept = self.within_limit(distribution);
        let kept = Distribution::of(&kept)?;
        let index = kept.draw(self.random.uniform());
        self.learn(kept.log_probability(index));
        Ok(index)
    }

    /// Starts over with the first limit.
    fn reseed(&mut self, seed: u64) {
        self.limit = 2.0 * self.tau;
        self.random = Random::seeded(seed, DRAWS);
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        tau: f64,
        eta: f64,
        steps: Vec<Step>,
    }

    #[derive(Deserialize)]
    struct Step {
        logits: Vec<f32>,
        /// What llama.cpp has drawn.
        selected: usize,
        /// The limit after that.
        limit: f32,
    }

    #[test]
    fn the_limit_moves_as_in_llama_cpp() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/logits/own_mirostat.json");
        let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(cases.len(), 3);
        for case in cases {
            let mut mirostat = Mirostat::new(case.tau, case.eta, 0).unwrap();
            for step in case.steps {
                let kept = mirostat.within_limit(&Distribution::of(&step.logits).unwrap());
                let chance = Distribution::of(&kept).unwrap().log_probability(step.selected);
                assert!(chance.is_finite());
                mirostat.learn(chance);
                assert!((mirostat.limit - step.limit).abs() < 1e-4, "{}", mirostat.limit);
            }
        }
    }
}
