//! Beams that move towards their constraints.

use super::beam::{Beam, Survivor};
use super::candidates::Candidate;
use super::progress::Progress;
use crate::error::{Error, Result};

/// Adds to the candidates those that each beam would take towards its constraints, and keeps `count` of
/// all: by turns the best of those that have come furthest, of those a step behind, and so on
/// (`ConstrainedBeamSearchScorer.step_sentence_constraint`, which is dynamic beam allocation, arXiv
/// 1804.06609).
pub(super) fn allocated(
    survivors: Vec<Survivor>,
    beams: &[Beam],
    scores: &[impl AsRef<[f32]>],
    count: usize,
) -> Result<Vec<Survivor>> {
    let mut all: Vec<Candidate> = survivors.iter().map(|survivor| survivor.candidate).collect();
    let chosen = all.len();
    for (beam, its) in beams.iter().enumerate() {
        let wanted = match &its.progress {
            Some(progress) if !progress.is_complete() => progress.advance(),
            _ => continue,
        };
        for id in wanted {
            let row = scores[beam].as_ref();
            let Some(&score) = row.get(id as usize) else {
                let vocab = row.len();
                let reason = format!("a constraint wants id {id}, and the vocabulary has {vocab}");
                return Err(Error::input(reason));
            };
            let candidate = Candidate { beam, id, score: score + its.sum };
            let is_new = || !all.iter().any(|other| (other.beam, other.id) == (beam, id));
            // What a processor rules out stays so.
            if score > f32::NEG_INFINITY && is_new() {
                all.push(candidate);
            }
        }
    }
    if all.len() == chosen {
        return Ok(survivors);
    }
    let bank = |candidate: &Candidate| {
        let mut progress = beams[candidate.beam].progress.clone();
        if let Some(progress) = &mut progress {
            progress.add(candidate.id);
        }
        progress.as_ref().map_or(0, Progress::bank)
    };
    let mut banked: Vec<_> = all.iter().map(|candidate| (bank(candidate), *candidate)).collect();
    let key = |(bank, candidate): &(usize, Candidate)| *bank as f32 * 100.0 + candidate.score;
    banked.sort_by(|a, b| key(b).total_cmp(&key(a)));
    // The place of each among its neighbours of the same bank.
    let mut places = Vec::with_capacity(banked.len());
    for (number, (bank, _)) in banked.iter().enumerate() {
        let follows = number > 0 && banked[number - 1].0 == *bank;
        places.push(if follows { places[number - 1] + 1 } else { 0 });
    }
    let mut order: Vec<_> = (0..banked.len()).collect();
    order.sort_by_key(|&number| places[number]);
    let kept = order.into_iter().take(count);
    Ok(kept.map(|number| Survivor { candidate: banked[number].1, stop: None }).collect())
}
