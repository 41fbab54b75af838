//! How beams may go on.

use crate::error::{Error, Result};
use crate::generation::distribution::Distribution;
use crate::generation::sampler::{Sampler, chosen};
use crate::generation::softmax::Softmax;

/// A token that may continue a beam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// The beam's number in its group.
    pub(super) beam: usize,
    pub(super) id: u32,
    /// The sum of log-probabilities of the beam and the token.
    pub(super) score: f32,
}

/// The log-probabilities of a row of logits. One that is no distribution becomes NaN.
pub(super) fn log_softmax(logits: &[f32]) -> Vec<f32> {
    Softmax::of(logits).log_probabilities(logits)
}

/// The `count` best continuations, the best first; of equals that of the first beam, then of the lowest
/// id. Tokens ruled out are none. `scores` holds for each beam the log-probabilities of the next
/// token, `sums` the score that the beam has.
///
/// # Errors
///
/// When a score is NaN or `+inf`.
pub(super) fn best<R: AsRef<[f32]>>(
    scores: &[R],
    sums: &[f32],
    count: usize,
) -> Result<Vec<Candidate>> {
    let mut top = Top { candidates: Vec::new(), count, least: f32::NEG_INFINITY };
    for (beam, (row, &sum)) in scores.iter().zip(sums).enumerate() {
        let row = row.as_ref();
        for (number, group) in row.chunks(LANES).enumerate() {
            // Nearly all are below the worst of those kept, and are looked at together. NaN is not.
            let below = |all: bool, &score: &f32| all & (score + sum <= top.least);
            if group.iter().fold(true, below) {
                continue;
            }
            for (lane, &score) in group.iter().enumerate() {
                let (id, score) = ((number * LANES + lane) as u32, score + sum);
                if score.is_nan() || score == f32::INFINITY {
                    Distribution::of(row)?;
                }
                top.offer(Candidate { beam, id, score });
            }
        }
    }
    top.keep();
    top.candidates.sort_unstable_by(better);
    Ok(top.candidates)
}

/// `count` continuations, each drawn in proportion to its probability among those that are left
/// (`torch.multinomial` without replacement), in the order they were drawn.
///
/// # Errors
///
/// When a score is NaN or `+inf`, and what is wrong with what the sampler chooses.
pub(super) fn drawn<R: AsRef<[f32]>>(
    scores: &[R],
    sums: &[f32],
    count: usize,
    sampler: &mut dyn Sampler,
) -> Result<Vec<Candidate>> {
    let whole = |(row, &sum): (&R, &f32)| row.as_ref().iter().map(|score| score + sum).collect();
    let mut rows: Vec<Vec<f32>> = scores.iter().zip(sums).map(whole).collect();
    let mut masses = rows.iter().map(|row| log_mass(row)).collect::<Result<Vec<_>>>()?;
    let mut candidates = Vec::with_capacity(count);
    while candidates.len() < count && masses.iter().any(|&mass| mass > f32::NEG_INFINITY) {
        let (beam, count) = (sampler.sample(&Distribution::of(&masses)?)?, rows.len());
        let row = rows.get_mut(beam).ok_or_else(|| {
            Error::input(format!("the sampler chose beam {beam}, and there are {count}"))
        })?;
        let index = chosen(sampler, &Distribution::of(row)?)?;
        candidates.push(Candidate { beam, id: index as u32, score: row[index] });
        row[index] = f32::NEG_INFINITY;
        masses[beam] = log_mass(row)?;
    }
    Ok(candidates)
}

/// The order of candidates: the better first.
pub(super) fn better(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then((a.beam, a.id).cmp(&(b.beam, b.id)))
}

/// The logarithm of the sum of what the logits of a row are logarithms of.
fn log_mass(row: &[f32]) -> Result<f32> {
    if row.iter().all(|&score| score == f32::NEG_INFINITY) {
        return Ok(f32::NEG_INFINITY);
    }
    Ok(Distribution::of(row)?.softmax().log_sum())
}

/// The best of the candidates offered, and a few more.
struct Top {
    candidates: Vec<Candidate>,
    count: usize,
    /// What a candidate must exceed.
    least: f32,
}

impl Top {
    fn offer(&mut self, candidate: Candidate) {
        if candidate.score > self.least {
            self.candidates.push(candidate);
            if self.candidates.len() >= 2 * self.count + LANES {
                self.keep();
            }
        }
    }

    /// Drops all but the best.
    fn keep(&mut self) {
        if self.count < self.candidates.len() {
            self.candidates.select_nth_unstable_by(self.count, better);
            self.candidates.truncate(self.count);
            let scores = self.candidates.iter().map(|candidate| candidate.score);
            self.least = scores.fold(f32::INFINITY, f32::min);
        }
    }
}

/// Scores looked at together.
const LANES: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::generation::sampler::Multinomial;

    proptest! {
        #[test]
        fn the_best_are_those_of_sorting(
            scores in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![Just(f32::NEG_INFINITY), -9f32..0.0], 70), 1..5,
            ),
            count in 1usize..30,
        ) {
            let sums: Vec<_> = (0..scores.len()).map(|beam| beam as f32 * -0.5).collect();
            let mut all = Vec::new();
            for (beam, row) in scores.iter().enumerate() {
                let candidate = |(id, &score): (usize, &f32)| Candidate {
                    beam,
                    id: id as u32,
                    score: score + sums[beam],
                };
                all.extend(row.iter().enumerate().map(candidate));
            }
            all.retain(|candidate| candidate.score > f32::NEG_INFINITY);
            all.sort_by(better);
            all.truncate(count);
            prop_assert_eq!(best(&scores, &sums, count).unwrap(), all);
        }

        #[test]
        fn none_is_drawn_twice(
            scores in proptest::collection::vec(
                proptest::collection::vec(prop_oneof![Just(f32::NEG_INFINITY), -90f32..0.0], 5), 1..4,
            ),
            count in 1usize..20, seed: u64,
        ) {
            let sums = vec![-1.0; scores.len()];
            let drawn = drawn(&scores, &sums, count, &mut Multinomial::seeded(seed)).unwrap();
            let possible = scores.iter().flatten().filter(|score| score.is_finite()).count();
            prop_assert_eq!(drawn.len(), count.min(possible));
            for (number, candidate) in drawn.iter().enumerate() {
                let score = scores[candidate.beam][candidate.id as usize];
                prop_assert_eq!(candidate.score, score - 1.0);
                prop_assert!(!drawn[..number].contains(candidate));
            }
        }
    }

    #[test]
    fn rows_become_log_probabilities() {
        let total = 1.0 + (-1f32).exp();
        assert!((log_softmax(&[1.0, 2.0])[0] - (-1.0 - total.ln())).abs() < 1e-6);
        assert_eq!(log_softmax(&[0.5, f32::NEG_INFINITY]), [0.0, f32::NEG_INFINITY]);
        assert!(log_softmax(&[f32::NAN, 0.0]).iter().all(|score| score.is_nan()));
        for invalid in [f32::NAN, f32::INFINITY] {
            assert!(best(&[[0.0, invalid]], &[0.0], 1).is_err());
            let sampler = &mut Multinomial::seeded(1);
            assert!(drawn(&[[0.0, invalid]], &[0.0], 1, sampler).is_err());
        }
    }
}
