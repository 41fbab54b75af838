//! Beams that compete with each other.

use super::beam::{Beam, Scores, Survivor, continued};
use super::candidates::{Candidate, best, better, drawn};
use super::constrained::allocated;
use super::history::History;
use super::hypotheses::Hypotheses;
use crate::error::Result;
use crate::generation::mode::GenerationMode;
use crate::generation::sampler::Sampler;
use crate::generation::stop::FinishReason;

/// Beams that compete with each other for the best answers: all of a prompt, or one of its groups.
#[derive(Debug)]
pub(super) struct Group {
    /// The best first. At the beginning there is one, which the others fork from.
    pub(super) beams: Vec<Beam>,
    pub(super) found: Hypotheses,
    /// The most beams, and the most answers.
    pub(super) size: usize,
}

impl Group {
    /// One step: the beams go on as the best continuations of all of them say. `tokens` is the number
    /// of new ones after it. The group is over if it has no beams then.
    pub(super) fn step(
        &mut self,
        mode: GenerationMode,
        scores: &Scores<'_>,
        tokens: usize,
        sampler: &mut dyn Sampler,
        history: &mut History,
    ) -> Result<()> {
        let sums: Vec<_> = self.beams.iter().map(|beam| beam.sum).collect();
        let Some(first) = self.beams.first() else { return Ok(()) };
        // So many that enough are left where all others end.
        let count = self.size * (1 + first.plan.stop.eos.len()).max(2);
        let candidates = match mode {
            GenerationMode::BeamSample => drawn(&scores.processed, &sums, count, sampler)?,
            _ => best(&scores.processed, &sums, count)?,
        };
        let by_every_rule = matches!(mode, GenerationMode::BeamSearch | GenerationMode::BeamSample);
        let (survivors, finished) = match by_every_rule {
            true => self.by_every_rule(&candidates)?,
            false => self.by_end_of_sequence(&candidates),
        };
        for (candidate, reason) in finished {
            let last = scores.note(&self.beams, candidate, history);
            self.found.add(candidate.score, tokens, Some(last), reason);
        }
        let survivors = match mode {
            GenerationMode::ConstrainedBeamSearch => {
                allocated(survivors, &self.beams, &scores.processed, self.size)?
            }
            _ => survivors,
        };
        self.beams = continued(std::mem::take(&mut self.beams), survivors, scores, history)?;
        let hope = match by_every_rule {
            true => self.beams.first().map(|beam| beam.sum),
            false => candidates.first().map(|candidate| candidate.score),
        };
        if hope.is_none_or(|hope| self.found.is_final(hope, tokens)) {
            self.beams.clear();
        }
        Ok(())
    }

    /// The candidates that go on, and those that are answers: one that any stop rule ends is an answer if
    /// it is among the first. (`_beam_search`)
    fn by_every_rule(&mut self, candidates: &[Candidate]) -> Result<Selected> {
        let (mut survivors, mut finished) = (Vec::new(), Vec::new());
        for (rank, &candidate) in candidates.iter().enumerate() {
            let (reason, stop) = self.beams[candidate.beam].stopped_by(candidate.id)?;
            match reason {
                None => survivors.push(Survivor { candidate, stop: Some(stop) }),
                Some(reason) if rank < self.size => finished.push((candidate, reason)),
                Some(_) => {}
            }
        }
        // Drawn ones come in any order.
        survivors.sort_by(|a, b| better(&a.candidate, &b.candidate));
        survivors.truncate(self.size);
        Ok((survivors, finished))
    }

    /// As [`by_every_rule`](Self::by_every_rule), but only an end-of-sequence id makes an answer of a
    /// candidate, and only if all constraints are met. (`BeamSearchScorer.process`)
    fn by_end_of_sequence(&self, candidates: &[Candidate]) -> Selected {
        let (mut survivors, mut finished) = (Vec::new(), Vec::new());
        for (rank, &candidate) in candidates.iter().enumerate() {
            let beam = &self.beams[candidate.beam];
            if !beam.plan.stop.eos.contains(&candidate.id) {
                survivors.push(Survivor { candidate, stop: None });
                if survivors.len() == self.size {
                    break;
                }
            } else if rank < self.size && beam.is_complete() {
                finished.push((candidate, FinishReason::EndOfSequence));
            }
        }
        (survivors, finished)
    }

    /// Makes answers of the beams as they are, and ends: of all, or where `returned` of them meet their
    /// constraints, of those only. (`finalize`)
    pub(super) fn end(&mut self, reason: FinishReason, tokens: usize, returned: usize) {
        let beams = std::mem::take(&mut self.beams);
        let complete = beams.iter().filter(|beam| beam.is_complete()).count();
        for beam in beams {
            if beam.is_complete() || complete < returned {
                self.found.add(beam.sum, tokens, beam.last, beam.stopped.unwrap_or(reason));
            }
        }
    }
}

/// Candidates that go on, and those that are answers.
type Selected = (Vec<Survivor>, Vec<(Candidate, FinishReason)>);
