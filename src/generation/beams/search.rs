//! The search for the best answers to one prompt.

use std::iter;
use std::time::Duration;

use rayon::iter::{
    IndexedParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator,
};

use super::beam::{Beam, Scores};
use super::candidates::log_softmax;
use super::group::Group;
use super::history::History;
use super::hypotheses::Hypotheses;
use super::options::BeamOptions;
use super::progress::Progress;
use crate::error::{Error, Result};
use crate::generation::generated::Generated;
use crate::generation::outputs::StepOutput;
use crate::generation::plan::Plan;
use crate::generation::sampler::Sampler;
use crate::generation::sequence::Sequence;
use crate::generation::shadow::Shadow;
use crate::generation::stop::FinishReason;
use crate::models::EncoderTrace;

/// The search for the best answers to one prompt.
#[derive(Debug)]
pub(super) struct Search {
    /// The prompt, and what ends the search from outside.
    sequence: Sequence,
    options: BeamOptions,
    groups: Vec<Group>,
    history: History,
    sampler: Box<dyn Sampler>,
    /// Tokens of each beam that are not of the prompt.
    tokens: usize,
    /// Set where the search ended before its first token.
    interrupted: Option<FinishReason>,
    failed: Option<Error>,
}

impl Search {
    /// For the prompt that lies in row `row` of the cache, or will.
    pub(super) fn new(sequence: Sequence, row: usize) -> Result<Self> {
        let plan = &sequence.plan;
        let Some(options) = plan.beams.clone() else {
            return Err(Error::option("num_beams", "is 1, and a search needs more"));
        };
        let constraints = &options.constraints;
        let progress = (!constraints.is_empty())
            .then(|| Progress::after(&sequence.tokens, constraints.clone()));
        let beam = Beam {
            tokens: sequence.tokens.clone(),
            plan: plan.clone(),
            sum: 0.0,
            last: None,
            row,
            shadow: Shadow::of(plan, &sequence.tokens),
            progress,
            stopped: None,
        };
        let size = options.beams / options.groups;
        let longest = plan.stop.length.saturating_sub(plan.stop.prompt);
        let group = || Group {
            beams: vec![beam.clone()],
            found: Hypotheses::new(size, longest, &options),
            size,
        };
        let groups = iter::repeat_with(group).take(options.groups).collect();
        let (history, sampler) = (History::default(), plan.sampler.clone());
        Ok(Self {
            sequence,
            options,
            groups,
            history,
            sampler,
            tokens: 0,
            interrupted: None,
            failed: None,
        })
    }

    /// Whether there is nothing left to compute.
    pub(super) fn is_over(&self) -> bool {
        self.groups.iter().all(|group| group.beams.is_empty())
    }

    /// The rows of the cache to go on from, and what each computes next; they are given numbers from
    /// `first`.
    pub(super) fn rows(&mut self, first: usize) -> Vec<(usize, Vec<u32>)> {
        let beams = self.groups.iter_mut().flat_map(|group| &mut group.beams);
        if self.tokens == 0 {
            // One row for the prompt.
            let row = beams.fold(0, |_, beam| std::mem::replace(&mut beam.row, first));
            return vec![(row, self.sequence.tokens.clone())];
        }
        let row = |(number, beam): (usize, &mut Beam)| {
            let last = beam.tokens.last().copied();
            (std::mem::replace(&mut beam.row, first + number), last.into_iter().collect())
        };
        beams.enumerate().map(row).collect()
    }

    /// The same of what the beams are guided away from; nothing where they are not.
    pub(super) fn shadow_rows(&mut self, first: usize) -> Vec<(usize, Vec<u32>)> {
        let prompt = self.sequence.tokens.len();
        let beams = self.groups.iter_mut().flat_map(|group| &mut group.beams);
        let mut rows = Vec::new();
        for Beam { tokens, shadow, .. } in beams {
            let Some(shadow) = shadow else { continue };
            let answer = &tokens[prompt..];
            let pending = shadow.pending(answer.iter().copied());
            shadow.note_computed(answer.len());
            // One row for the prompt.
            if self.tokens > 0 || rows.is_empty() {
                rows.push((shadow.row, pending));
            }
            shadow.row = first + rows.len() - 1;
        }
        rows
    }

    /// Goes on by one token, by the logits of the rows; `outputs` holds what is kept of the rows' steps, or
    /// nothing. An error ends this search alone.
    pub(super) fn step(&mut self, logits: &[f32], vocab: usize, outputs: &[StepOutput]) {
        if let Err(error) = self.advance(logits, vocab, outputs) {
            self.groups.iter_mut().for_each(|group| group.beams.clear());
            self.failed = Some(error);
        }
    }

    fn advance(&mut self, logits: &[f32], vocab: usize, outputs: &[StepOutput]) -> Result<()> {
        self.tokens += 1;
        let BeamOptions { diversity_penalty, pad, .. } = self.options;
        let mode = self.sequence.plan.mode;
        let is_kept = self.sequence.plan.outputs.is_any();
        // What the groups before have chosen in this step.
        let mut chosen = Vec::new();
        let mut first = 0;
        for group in &mut self.groups {
            if group.beams.is_empty() {
                // As in transformers, whose rows go on with padding.
                chosen.extend(pad.into_iter().flat_map(|pad| iter::repeat_n(pad, group.size)));
            } else {
                // Of a few searches at a time: those of all are tens of megabytes.
                let row = |row: usize| log_softmax(&logits[row * vocab..(row + 1) * vocab]);
                let model: Vec<_> = group.beams.par_iter().map(|beam| row(beam.row)).collect();
                let beams = group.beams.par_iter_mut().zip(&model);
                let processed = beams.map(|(beam, model)| {
                    if let Some(Shadow { row: of_shadow, .. }) = beam.shadow {
                        beam.plan.guide_away_from(iter::once(&*row(of_shadow)));
                    }
                    beam.processed(model, &chosen, diversity_penalty)
                });
                let processed = processed.collect::<Result<_>>()?;
                let outputs = group.beams.iter().map(|beam| outputs.get(beam.row));
                let outputs = outputs.map(|output| output.filter(|_| is_kept)).collect();
                let scores = Scores { model: &model, outputs, processed, first };
                group.step(mode, &scores, self.tokens, &mut *self.sampler, &mut self.history)?;
                chosen.extend(group.beams.iter().filter_map(|beam| beam.tokens.last()));
            }
            first += group.size;
        }
        if self.beams().all(|beam| beam.stopped.is_some()) {
            self.end(FinishReason::Length);
        }
        Ok(())
    }

    fn beams(&self) -> impl Iterator<Item = &Beam> {
        self.groups.iter().flat_map(|group| &group.beams)
    }

    /// What ends the search before its next step.
    pub(super) fn interruption(&self) -> Option<FinishReason> {
        self.sequence.interruption()
    }

    /// Ends the search if it was cancelled.
    pub(super) fn end_if_cancelled(&mut self) {
        if self.sequence.cancel.is_cancelled() {
            self.end(FinishReason::Cancelled);
        }
    }

    /// Ends the search; what the beams have become are answers.
    pub(super) fn end(&mut self, reason: FinishReason) {
        if self.tokens == 0 {
            self.groups.clear();
            self.interrupted = Some(reason);
        }
        for group in &mut self.groups {
            group.end(reason, self.tokens, self.options.returned);
        }
    }

    /// Counts the time of a step, and the tokens of an answer that it made.
    pub(super) fn record(&mut self, spent: Duration, made: usize) {
        self.sequence.timings.record(spent, made);
    }

    /// How the prompt is continued.
    pub(super) fn plan(&self) -> &Plan {
        &self.sequence.plan
    }

    /// The most tokens that a cache needs room for.
    pub(super) fn slots(&self) -> usize {
        self.sequence.plan.slots()
    }

    /// The best answers: as many as were asked for, or fewer where the options leave no more.
    pub(super) fn answers(self) -> Result<Vec<Generated>> {
        let timings = self.sequence.timings;
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Some(finish_reason) = self.interrupted {
            let nothing = Generated {
                tokens: Vec::new(),
                finish_reason,
                timings,
                score: None,
                beam_indices: Vec::new(),
                healed_prompt: None,
                outputs: Vec::new(),
                encoder: EncoderTrace::default(),
            };
            return Ok(vec![nothing; self.options.returned]);
        }
        let mut found: Vec<_> = self.groups.iter().flat_map(|group| group.found.found()).collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        if found.is_empty() {
            return Err(Error::input("the options leave no token to choose in any beam"));
        }
        let answers = found.into_iter().take(self.options.returned).map(|hypothesis| {
            let (tokens, outputs, beam_indices) = self.history.until(hypothesis.last);
            Generated {
                tokens,
                finish_reason: hypothesis.reason,
                timings,
                score: Some(hypothesis.score),
                beam_indices,
                healed_prompt: None,
                outputs,
                encoder: EncoderTrace::default(),
            }
        });
        Ok(answers.collect())
    }
}
