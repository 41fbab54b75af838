//! One beam.

use std::borrow::Cow;
use std::sync::Arc;

use super::candidates::Candidate;
use super::history::History;
use super::progress::Progress;
use crate::error::Result;
use crate::generation::outputs::StepOutput;
use crate::generation::plan::Plan;
use crate::generation::sampler::{Token, top_logprobs};
use crate::generation::shadow::Shadow;
use crate::generation::softmax::Softmax;
use crate::generation::stop::{FinishReason, StopRules};

/// The beginning of an answer, which goes on.
#[derive(Debug, Clone)]
pub(super) struct Beam {
    /// The prompt's too.
    pub(super) tokens: Vec<u32>,
    /// Its processors and stop rules, with their state.
    pub(super) plan: Plan,
    /// The sum of log-probabilities.
    pub(super) sum: f32,
    /// The place of its last token in the history.
    pub(super) last: Option<usize>,
    /// The row of the cache that holds its tokens, but for the last, and then its logits.
    pub(super) row: usize,
    /// If it is guided, what it is guided away from.
    pub(super) shadow: Option<Shadow>,
    /// With constraints, how far it has come.
    pub(super) progress: Option<Progress>,
    /// What its last token fulfils of the stop rules.
    pub(super) stopped: Option<FinishReason>,
}

/// A candidate that goes on.
#[derive(Debug)]
pub(super) struct Survivor {
    pub(super) candidate: Candidate,
    /// The rules after its token, if they have been asked.
    pub(super) stop: Option<StopRules>,
}

/// The log-probabilities of the next tokens of a group's beams.
#[derive(Debug)]
pub(super) struct Scores<'a> {
    /// As the model has them.
    pub(super) model: &'a [Vec<f32>],
    /// What the step of each beam has computed, if it is kept, but for the scores.
    pub(super) outputs: Vec<Option<&'a StepOutput>>,
    /// After the processors.
    pub(super) processed: Vec<Cow<'a, [f32]>>,
    /// The number of the group's first beam among those of the prompt.
    pub(super) first: usize,
}

impl Scores<'_> {
    /// Writes the token of a candidate down, and returns its place.
    pub(super) fn note(
        &self,
        beams: &[Beam],
        candidate: Candidate,
        history: &mut History,
    ) -> usize {
        let Candidate { beam, id, .. } = candidate;
        let (model, wanted) = (&*self.model[beam], beams[beam].plan.top_logprobs);
        let token = Token {
            id,
            logprob: self.processed[beam][id as usize],
            model_logprob: model[id as usize],
            top_logprobs: match wanted {
                0 => Vec::new(),
                wanted => top_logprobs(model, Softmax::of(model), wanted),
            },
        };
        let scores = beams[beam].plan.outputs.scores.then(|| Arc::from(&*self.processed[beam]));
        let output = self.outputs[beam].map(|output| StepOutput { scores, ..output.clone() });
        history.push(beams[beam].last, token, output, self.first + beam)
    }
}

impl Beam {
    /// The log-probabilities of the next token after the processors. Before them, each id that an
    /// earlier group has chosen costs `penalty`.
    pub(super) fn processed<'a>(
        &mut self,
        model: &'a [f32],
        chosen: &[u32],
        penalty: f32,
    ) -> Result<Cow<'a, [f32]>> {
        let mut scores = Cow::Borrowed(model);
        if !chosen.is_empty() {
            let scores = scores.to_mut();
            for &id in chosen {
                if let Some(score) = scores.get_mut(id as usize) {
                    *score -= penalty;
                }
            }
        }
        if self.plan.has_processors() {
            self.plan.process(&self.tokens, scores.to_mut())?;
        }
        Ok(scores)
    }

    /// Why a token would end it, and the stop rules after the token.
    pub(super) fn stopped_by(&mut self, id: u32) -> Result<(Option<FinishReason>, StopRules)> {
        let mut stop = self.plan.stop.clone();
        self.tokens.push(id);
        let reason = stop.check(&self.tokens);
        self.tokens.pop();
        Ok((reason?, stop))
    }

    /// Whether all constraints are met.
    pub(super) fn is_complete(&self) -> bool {
        self.progress.as_ref().is_none_or(Progress::is_complete)
    }

    /// Goes on with a token, whose place in the history is `last`.
    fn advance(&mut self, survivor: Survivor, last: usize) -> Result<()> {
        let Candidate { id, score, .. } = survivor.candidate;
        self.tokens.push(id);
        self.sum = score;
        self.last = Some(last);
        if let Some(progress) = &mut self.progress {
            progress.add(id);
        }
        match survivor.stop {
            Some(stop) => self.plan.stop = stop,
            None => self.stopped = self.plan.stop.check(&self.tokens)?,
        }
        Ok(())
    }
}

/// The beams that `survivors` make of `beams`. Each beam is cloned only as often as it forks.
pub(super) fn continued(
    beams: Vec<Beam>,
    survivors: Vec<Survivor>,
    scores: &Scores<'_>,
    history: &mut History,
) -> Result<Vec<Beam>> {
    let mut left = vec![0; beams.len()];
    survivors.iter().for_each(|survivor| left[survivor.candidate.beam] += 1);
    let places: Vec<_> =
        survivors.iter().map(|survivor| scores.note(&beams, survivor.candidate, history)).collect();
    let mut beams: Vec<_> = beams.into_iter().map(Some).collect();
    let mut next = Vec::with_capacity(survivors.len());
    for (survivor, place) in survivors.into_iter().zip(places) {
        let number = survivor.candidate.beam;
        left[number] -= 1;
        let beam = if left[number] == 0 { beams[number].take() } else { beams[number].clone() };
        let Some(mut beam) = beam else { continue };
        beam.advance(survivor, place)?;
        next.push(beam);
    }
    Ok(next)
}
