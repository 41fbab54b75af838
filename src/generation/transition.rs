//! The scores of the tokens that were chosen: transformers' `compute_transition_scores`.

use crate::error::{Error, Result};
use crate::generation::softmax::Softmax;

/// The score of each token that a generation chose: `compute_transition_scores` of transformers.
///
/// - `generated`: for each sequence the ids after the prompt.
/// - `scores`: for each step the scores of all rows that were computed, each as long as the vocabulary.
/// - `beam_indices`: for each sequence the row that each of its tokens was chosen from, as beam search returns
///   it; negative where the sequence was over already. `None`: sequence `n` was row `n`.
/// - `normalize_logits`: whether scores go through a log-softmax first.
///
/// A sequence has a score for each of its steps; those after its end are 0.
///
/// (The tokens of [`Generated`](super::Generated) have their log-probabilities already:
/// [`Token::logprob`](super::Token::logprob) is the normalized transition score.)
///
/// # Errors
///
/// When ids, rows or steps are outside of the scores.
pub fn compute_transition_scores(
    generated: &[Vec<u32>],
    scores: &[Vec<Vec<f32>>],
    beam_indices: Option<&[Vec<i64>]>,
    normalize_logits: bool,
) -> Result<Vec<Vec<f32>>> {
    let outside = |what: String| Error::input(format!("{what} is outside of the scores"));
    if beam_indices.is_some_and(|beams| beams.len() != generated.len()) {
        return Err(Error::input("there are not as many lists of beam indices as sequences"));
    }
    let of_sequence = |(number, ids): (usize, &Vec<u32>)| {
        let score = |(step, &id): (usize, &u32)| {
            let row = match beam_indices {
                None => number as i64,
                Some(beams) => beams[number].get(step).copied().unwrap_or(-1),
            };
            let Ok(row) = usize::try_from(row) else { return Ok(0.0) };
            let rows = scores.get(step).ok_or_else(|| outside(format!("step {step}")))?;
            let logits = rows.get(row).ok_or_else(|| outside(format!("row {row}")))?;
            let &score = logits.get(id as usize).ok_or_else(|| outside(format!("id {id}")))?;
            Ok(match normalize_logits {
                true => Softmax::of(logits).log_probability(score),
                false => score,
            })
        };
        ids.iter().enumerate().map(score).collect()
    };
    generated.iter().enumerate().map(of_sequence).collect()
}
