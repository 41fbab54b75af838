//! Contrastive search: likely tokens that are unlike what was said before (arXiv 2202.06417).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Tensor};

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::generation::distribution::Distribution;
use crate::generation::outputs::{OutputRequest, RowPlace, StepOutput};
use crate::generation::sampler::{Token, top_logprobs};
use crate::generation::sequence::Sequence;
use crate::generation::softmax::Softmax;
use crate::models::{Autoregressive, Checkpoint, LogitsAt, Trace, TraceRequest};
use crate::nn::cache::KvCache;

/// Completes sequences whose plans say so, together; those that fail by themselves have an error. Each
/// step computes the candidates of all sequences, each as a fork of its row (`_contrastive_search` of
/// transformers 4.55).
pub(super) fn run(
    model: &dyn Autoregressive,
    mut cache: KvCache,
    sequences: Vec<Sequence>,
) -> Result<(Vec<Sequence>, BTreeMap<usize, Error>)> {
    let layers = model.depth().map(|depth| depth.layers).ok_or_else(|| {
        Error::option("penalty_alpha", "this model does not show its hidden states")
    })?;
    let mut searches: Vec<_> = sequences.into_iter().map(Search::new).collect();
    cache.reserve(searches.iter().map(|search| search.sequence.plan.slots()).max().unwrap_or(0));
    let mut errors = BTreeMap::new();
    let mut is_first = true;
    loop {
        let started = Instant::now();
        for search in searches.iter_mut().filter(|search| !search.sequence.is_over()) {
            search.sequence.finish = search.sequence.interruption();
        }
        let mut running: Vec<_> = searches
            .iter_mut()
            .enumerate()
            .filter(|(_, search)| !search.sequence.is_over())
            .collect();
        if running.is_empty() {
            break;
        }
        let are_interrupted = |running: &[(usize, &mut Search)]| {
            running.iter().all(|(_, search)| search.sequence.interruption().is_some())
        };
        let checkpoint = || match are_interrupted(&running) {
            true => Err(Error::Interrupted),
            false => Ok(()),
        };
        if is_first {
            let prompts: Vec<_> =
                running.iter().map(|(_, it)| it.sequence.tokens.clone()).collect();
            if cache.rows() > running.len() {
                // Those of sources.
                cache.select_rows(&running.iter().map(|(place, _)| *place).collect::<Vec<_>>())?;
            }
            let batch = TokenBatch::padded(&prompts, 0, PaddingSide::Left)?;
            let outputs = wanted(&running);
            let trace = match pass(model, &batch, &mut cache, layers, outputs, &checkpoint) {
                Err(Error::Interrupted) if are_interrupted(&running) => continue,
                trace => trace?,
            };
            let states = states(&trace.hidden_states)?;
            let logits: Vec<Vec<f32>> = trace.logits.to_vec2()?;
            for (row, (_, search)) in running.iter_mut().enumerate() {
                let prompt = search.sequence.tokens.len();
                let padding = batch.tokens() - prompt;
                search.row = row;
                search.logits.clone_from(&logits[row]);
                for state in &states[row * batch.tokens() + padding..][..prompt] {
                    search.said.push(unit(state));
                }
                search.show(&trace, RowPlace { row, before: 0, longest_before: 0, new: prompt })?;
                search.sequence.timings.record(started.elapsed(), 0);
            }
            is_first = false;
            continue;
        }
        let (mut rows, mut ids) = (Vec::new(), Vec::new());
        for (place, search) in &mut running {
            match search.candidates() {
                Ok(()) => {
                    rows.extend(search.tried.iter().map(|_| search.row));
                    ids.extend(search.tried.iter().map(|candidate| vec![candidate.id]));
                }
                Err(error) => {
                    search.sequence.failed = true;
                    errors.insert(*place, error);
                }
            }
        }
        running.retain(|(_, search)| !search.sequence.is_over());
        if running.is_empty() {
            break;
        }
        cache.select_rows(&rows)?;
        let batch = TokenBatch::padded(&ids, 0, PaddingSide::Left)?;
        let before = cache.row_lengths();
        let longest_before = before.iter().copied().max().unwrap_or(0);
        let trace = pass(model, &batch, &mut cache, layers, wanted(&running), &|| Ok(()))?;
        let states = states(&trace.hidden_states)?;
        let logits: Vec<Vec<f32>> = trace.logits.to_vec2()?;
        let mut first = 0;
        for (place, search) in &mut running {
            let own = first..first + search.tried.len();
            let best = search.best(&states[own.clone()]);
            search.row = own.start + best;
            search.sequence.outputs.extend(search.output());
            search.logits.clone_from(&logits[search.row]);
            search.said.push(unit(&states[search.row]));
            let (row, before) = (search.row, before[search.row]);
            search.show(&trace, RowPlace { row, before, longest_before, new: 1 })?;
            let token = search.tried.swap_remove(best);
            let accepted = search.sequence.accept(token);
            search.sequence.timings.record(started.elapsed(), 1);
            if let Err(error) = accepted {
                search.sequence.failed = true;
                errors.insert(*place, error);
            }
            first = own.end;
        }
    }
    Ok((searches.into_iter().map(|search| search.sequence).collect(), errors))
}

/// One answer in the making.
struct Search {
    sequence: Sequence,
    /// The hidden states of its tokens, of length 1.
    said: Vec<Vec<f32>>,
    /// After its last token.
    logits: Vec<f32>,
    row: usize,
    tried: Vec<Token>,
    /// The logits after the processors, by which they were found.
    processed: Vec<f32>,
    /// What the pass has shown that gave `logits`.
    shown: StepOutput,
}

impl Search {
    fn new(sequence: Sequence) -> Self {
        let (logits, processed) = (Vec::new(), Vec::new());
        let (said, tried, shown) = (Vec::new(), Vec::new(), StepOutput::default());
        Self { sequence, said, logits, row: 0, tried, processed, shown }
    }

    /// Finds the likeliest tokens.
    fn candidates(&mut self) -> Result<()> {
        let Sequence { plan, tokens, .. } = &mut self.sequence;
        let count = plan.contrastive.map_or(1, |options| options.candidates);
        let mut processed = self.logits.clone();
        plan.process(tokens, &mut processed)?;
        let distribution = Distribution::of(&processed)?;
        let own = Softmax::of(&self.logits);
        let likeliest = top_logprobs(&processed, distribution.softmax(), count);
        let possible = likeliest.into_iter().filter(|it| it.logprob > f32::NEG_INFINITY);
        self.tried = possible
            .map(|candidate| Token {
                id: candidate.id,
                logprob: candidate.logprob,
                model_logprob: own.log_probability(self.logits[candidate.id as usize]),
                top_logprobs: top_logprobs(&self.logits, own, plan.top_logprobs),
            })
            .collect();
        self.processed = processed;
        Ok(())
    }

    /// What is kept of the step, before it goes on.
    fn output(&self) -> Option<StepOutput> {
        let wanted = self.sequence.plan.outputs;
        let kept = |logits: &[f32]| Arc::from(logits);
        wanted.is_any().then(|| StepOutput {
            scores: wanted.scores.then(|| kept(&self.processed)),
            logits: wanted.logits.then(|| kept(&self.logits)),
            ..self.shown.clone()
        })
    }

    /// Keeps what a pass has recorded of its row.
    fn show(&mut self, trace: &Trace, place: RowPlace) -> Result<()> {
        self.shown.record(self.sequence.plan.outputs, trace, place, 0..place.new)
    }

    /// The place of the candidate that is likely and unlike what was said, by their hidden states; the
    /// first of equals (`_ranking_fast`).
    fn best(&self, states: &[Vec<f32>]) -> usize {
        let alpha = self.sequence.plan.contrastive.map_or(0.0, |options| options.penalty_alpha);
        let alpha = alpha as f32;
        let scores = self.tried.iter().zip(states).map(|(candidate, state)| {
            let state = unit(state);
            let likeness = self
                .said
                .iter()
                .map(|said| said.iter().zip(&state).map(|(a, b)| a * b).sum::<f32>());
            let likeness = likeness.fold(f32::NEG_INFINITY, f32::max);
            (1.0 - alpha) * candidate.logprob.exp() - alpha * likeness
        });
        let scores: Vec<_> = scores.collect();
        let best =
            |best: usize, place: usize| if scores[place] > scores[best] { place } else { best };
        (0..scores.len()).reduce(best).unwrap_or(0)
    }
}

/// What the steps of these searches are to keep.
fn wanted(running: &[(usize, &mut Search)]) -> OutputRequest {
    let plans = running.iter().map(|(_, search)| search.sequence.plan.outputs);
    plans.fold(OutputRequest::default(), OutputRequest::or)
}

/// A forward pass with the last logits, and the last hidden states of all tokens.
fn pass(
    model: &dyn Autoregressive,
    batch: &TokenBatch,
    cache: &mut KvCache,
    layers: usize,
    outputs: OutputRequest,
    checkpoint: &Checkpoint<'_>,
) -> Result<Trace> {
    let request = TraceRequest {
        logits: LogitsAt::LastToken,
        hidden_states: if outputs.hidden_states { (0..=layers).collect() } else { vec![layers] },
        hidden_at: LogitsAt::EveryToken,
        attentions: outputs.attentions,
        source_heads: Vec::new(),
    };
    model.trace_with(batch, cache, &request, checkpoint)
}

/// The last hidden states of each token, padding included.
fn states(hidden: &[Tensor]) -> Result<Vec<Vec<f32>>> {
    let hidden = hidden.last().ok_or_else(|| Error::input("no hidden states were recorded"))?;
    Ok(hidden.to_dtype(DType::F32)?.flatten_to(1)?.to_vec2()?)
}

/// The same direction, of length 1.
fn unit(state: &[f32]) -> Vec<f32> {
    let length = state.iter().map(|x| x * x).sum::<f32>().sqrt();
    state.iter().map(|x| x / length).collect()
}
