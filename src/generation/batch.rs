//! Many prompts at once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::generation::beams;
use crate::generation::cancel::CancelHandle;
use crate::generation::config::GenerationConfig;
use crate::generation::contrastive;
use crate::generation::generated::Generated;
use crate::generation::healing::{NO_TEXT_TO_HEAL, healed};
use crate::generation::mode::GenerationMode;
use crate::generation::plan::Plan;
use crate::generation::sequence::Sequence;
use crate::generation::shadow;
use crate::generation::stepper::{Event, Stepper};
use crate::models::{Autoregressive, CausalLm, EncoderTrace, Seq2SeqLm};
use crate::nn::cache::KvCache;
use crate::tokenizer::Tokenizer;

/// Continues all `prompts` together, with one forward pass per step. Rows that have ended leave the
/// batch. At most 256 rows, which are answers or beams, are computed at a time.
///
/// Returns `num_return_sequences` answers per prompt, those of the first prompt first. Each answer
/// is what it would be alone: padding is never attended to, and answer `n` has a seed of its own,
/// `seed + n`. With beams the answers to a prompt are the best ones, the best first, and have the seed of
/// the first. `max_time` is that of all of them together. `tokenizer` is needed for `stop_strings` only.
///
/// # Errors
///
/// What [`GenerationConfig::plan`] refuses for any of the prompts, and what the model refuses; with beams,
/// when the options rule out so much that there are fewer answers.
pub fn generate_batch(
    model: &Arc<dyn CausalLm>,
    tokenizer: Option<&Tokenizer>,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Result<Vec<Generated>> {
    generate_batch_until(model, tokenizer, prompts, config, &CancelHandle::default())
}

/// As [`generate_batch`], but `cancel` ends all answers.
///
/// # Errors
///
/// As there.
pub fn generate_batch_until(
    model: &Arc<dyn CausalLm>,
    tokenizer: Option<&Tokenizer>,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    cancel: &CancelHandle,
) -> Result<Vec<Generated>> {
    let healed = prompts.iter().map(|prompt| healed(model, tokenizer, prompt, config));
    let healed = healed.collect::<Result<Vec<_>>>()?;
    let prompts: Vec<&[u32]> = healed.iter().map(|prompt| &**prompt).collect();
    let plan = |number: usize| config.plan(prompts[number], model.limits(), tokenizer);
    let decoder: Arc<dyn Autoregressive> = model.clone();
    let cache = model.new_cache();
    let mut answers = continued(&decoder, cache, &prompts, plan, config, cancel)?;
    let each = config.sequences().max(1);
    for (prompt, answers) in healed.into_iter().zip(answers.chunks_mut(each)) {
        if let Cow::Owned(prompt) = prompt {
            answers.iter_mut().for_each(|it| it.healed_prompt = Some(prompt.clone()));
        }
    }
    Ok(answers)
}

/// As [`generate_batch_until`], for an encoder-decoder: reads each of `sources` once, and answers it with what
/// the decoder writes after `start`, which is usually [`Seq2SeqLm::start_id`] alone.
///
/// # Errors
///
/// As there, and what [`Seq2SeqLm::encode`] refuses.
pub fn generate_seq2seq(
    model: &Arc<dyn Seq2SeqLm>,
    tokenizer: Option<&Tokenizer>,
    sources: &[Vec<u32>],
    start: &[u32],
    config: &GenerationConfig,
    cancel: &CancelHandle,
) -> Result<Vec<Generated>> {
    if sources.is_empty() {
        return Ok(Vec::new());
    }
    if config.token_healing == Some(true) {
        return Err(Error::option("token_healing", NO_TEXT_TO_HEAL));
    }
    let batch = TokenBatch::padded(sources, 0, PaddingSide::Right)?;
    let (cache, traces) = read_sources(&**model, &batch, config)?;
    let plan =
        |number: usize| config.plan_with_source(start, &sources[number], model.limits(), tokenizer);
    let decoder: Arc<dyn Autoregressive> = model.clone();
    let prompts = vec![start; sources.len()];
    let mut answers = continued(&decoder, cache, &prompts, plan, config, cancel)?;
    let each = config.sequences().max(1);
    for (trace, answers) in traces.into_iter().zip(answers.chunks_mut(each)) {
        answers.iter_mut().for_each(|answer| answer.encoder = trace.clone());
    }
    Ok(answers)
}

/// Reads sources, and returns what the encoder has computed of each, if the options ask for that.
pub(crate) fn read_sources(
    model: &dyn Seq2SeqLm,
    sources: &TokenBatch,
    config: &GenerationConfig,
) -> Result<(KvCache, Vec<EncoderTrace>)> {
    let outputs = config.outputs();
    if !outputs.is_traced() {
        return Ok((model.encode(sources)?, Vec::new()));
    }
    let (cache, mut traces) = model.encode_traced(sources, outputs.attentions)?;
    if !outputs.hidden_states {
        traces.iter_mut().for_each(|trace| trace.hidden_states.clear());
    }
    Ok((cache, traces))
}

/// The answers to all prompts, each of which has a plan, and a row in the cache unless that is empty.
fn continued(
    model: &Arc<dyn Autoregressive>,
    mut cache: KvCache,
    prompts: &[&[u32]],
    plan: impl Fn(usize) -> Result<Plan>,
    config: &GenerationConfig,
    cancel: &CancelHandle,
) -> Result<Vec<Generated>> {
    config.warn_of_what_has_no_effect();
    let started = Instant::now();
    let seed = config.seed.unwrap_or_else(rand::random);
    let wanted = config.sequences().max(1);
    let each = config.sequences_per_prompt();
    let count = prompts.len().saturating_mul(each);
    if cache.rows() > 0 && each > 1 {
        cache.select_rows(&(0..count).map(|number| number / each).collect::<Vec<_>>())?;
    }
    let sequences = (0..count).map(|number| {
        let answer = number * (wanted / each);
        let plan = plan(number / each)?.with_seed(seed.wrapping_add(answer as u64));
        let sequence = Sequence::new(prompts[number / each], plan.counting_from(started))?;
        Ok(sequence.with_cancel_handle(cancel.clone()))
    });
    let mut answers = Vec::new();
    for found in complete(model, &cache, sequences)? {
        let found = found?;
        if found.len() < wanted / each {
            let reason = format!("is {wanted}, but the options leave {} answers only", found.len());
            return Err(Error::option("num_return_sequences", reason));
        }
        answers.extend(found);
    }
    Ok(answers)
}

/// The answers that sequences become, in their order, computed together, at most 256 rows at a time: one
/// answer for each, or with beams the best few ([`Plan::answers`](super::Plan::answers)), fewer only where the
/// options rule out all others. A sequence that fails by itself gives an error in its place.
///
/// `cache` is empty, or has one row without tokens for each sequence: that of a source, for the decoder of
/// an encoder-decoder. Rows are shared with it, not copied.
///
/// # Errors
///
/// When a sequence is an error, the cache has other rows, or the model refuses a pass.
pub fn complete(
    model: &Arc<dyn Autoregressive>,
    cache: &KvCache,
    sequences: impl IntoIterator<Item = Result<Sequence>>,
) -> Result<Vec<Result<Vec<Generated>>>> {
    let mut sequences = sequences.into_iter().peekable();
    let mut answers = Vec::new();
    while let Some(first) = sequences.next() {
        // Neighbours that are found alike go together.
        let mut together = vec![first?];
        let (mode, mut rows) = (together[0].plan.mode(), together[0].plan.rows());
        while let Some(next) = sequences.next_if(|next| match next {
            Ok(next) => next.plan.mode() == mode && rows + next.plan.rows() <= MOST_ROWS,
            Err(_) => true,
        }) {
            let next = next?;
            rows += next.plan.rows();
            together.push(next);
        }
        let mut part = cache.fork()?;
        if part.rows() > 0 {
            let rows: Vec<_> = (answers.len()..answers.len() + together.len()).collect();
            part.select_rows(&rows)?;
        }
        together.iter().try_for_each(|it| shadow::refuse_sources(&it.plan, &part))?;
        let is_first = answers.is_empty();
        answers.extend(match mode {
            GenerationMode::GreedySearch | GenerationMode::Sample => {
                step_by_step(model, part, together, is_first)?
            }
            GenerationMode::ContrastiveSearch => {
                together.iter_mut().for_each(|sequence| sequence.plan.bind(model, &part));
                let (sequences, errors) = contrastive::run(&**model, part, together)?;
                answers_of(sequences, errors)
            }
            GenerationMode::BeamSearch
            | GenerationMode::BeamSample
            | GenerationMode::GroupBeamSearch
            | GenerationMode::ConstrainedBeamSearch => {
                beams::run::run(&**model, part, together, is_first)?
            }
        });
    }
    if ![0, answers.len()].contains(&cache.rows()) {
        let (rows, sequences) = (cache.rows(), answers.len());
        return Err(Error::input(format!("a cache of {rows} rows for {sequences} sequences")));
    }
    Ok(answers)
}

/// Token by token.
fn step_by_step(
    model: &Arc<dyn Autoregressive>,
    cache: KvCache,
    sequences: Vec<Sequence>,
    is_first: bool,
) -> Result<Vec<Result<Vec<Generated>>>> {
    let mut stepper = Stepper::new(model.clone(), cache, sequences)?;
    if !is_first {
        // What comes after the time is over is not begun.
        stepper.end(Sequence::interruption);
    }
    let mut errors = BTreeMap::new();
    let sequences = stepper.run(|event| {
        if let Event::Failed { sequence, error } = event {
            errors.insert(sequence, error);
        }
    })?;
    Ok(answers_of(sequences, errors))
}

/// One answer for each sequence, or what went wrong with it.
fn answers_of(
    sequences: Vec<Sequence>,
    mut errors: BTreeMap<usize, Error>,
) -> Vec<Result<Vec<Generated>>> {
    let answers = sequences.into_iter().enumerate().map(|(place, sequence)| {
        let error = || errors.remove(&place).unwrap_or(Error::Interrupted);
        let finish_reason = sequence.finish_reason().ok_or_else(error)?;
        let timings = sequence.timings();
        let (tokens, outputs) = (sequence.answer, sequence.outputs);
        Ok(vec![Generated {
            tokens,
            finish_reason,
            timings,
            score: None,
            beam_indices: Vec::new(),
            healed_prompt: None,
            outputs,
            encoder: EncoderTrace::default(),
        }])
    });
    answers.collect()
}

/// The most rows of one forward pass, however many answers are asked for.
const MOST_ROWS: usize = 256;
