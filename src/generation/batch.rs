//! Many prompts at once.

use std::sync::Arc;

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::generation::cancel::{CancelHandle, Interrupt};
use crate::generation::config::GenerationConfig;
use crate::generation::plan::Plan;
use crate::generation::sampler::Token;
use crate::generation::stop::FinishReason;
use crate::generation::stream::row_major;
use crate::models::{CausalLm, LogitsAt};
use crate::tokenizer::Tokenizer;

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Generated {
    /// What was generated, without the prompt.
    pub tokens: Vec<Token>,
    /// Why it is over.
    pub finish_reason: FinishReason,
}

impl Generated {
    /// The ids of what was generated, without the prompt.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}

/// Continues all `prompts` together, one forward pass per step; the rows that are over drop out. Of more
/// than 256 answers, 256 at a time.
///
/// Returns `num_return_sequences` answers per prompt, those of the first prompt first. Each is what
/// it would be alone: padding is never attended to, and answer `n` draws with a seed of its own,
/// `seed + n`. `tokenizer` is needed for `stop_strings` only.
///
/// # Errors
///
/// What [`GenerationConfig::plan`] refuses for any of the prompts, and what the model refuses.
pub fn generate_batch(
    model: &Arc<dyn CausalLm>,
    tokenizer: Option<&Tokenizer>,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Result<Vec<Generated>> {
    generate_batch_until(model, tokenizer, prompts, config, &CancelHandle::default())
}

/// As [`generate_batch`], but `cancel` ends all the answers where they are.
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
    let seed = config.seed.unwrap_or_else(rand::random);
    let each = config.sequences().max(1);
    let all = prompts.len().saturating_mul(each);
    let mut answers = Vec::new();
    for start in (0..all).step_by(MOST_ROWS) {
        let end = all.min(start + MOST_ROWS);
        let first = start / each;
        let row = |answer: usize| (answer / each - first, seed.wrapping_add(answer as u64));
        let rows: Vec<_> = (start..end).map(row).collect();
        let prompts = &prompts[first..=(end - 1) / each];
        answers.extend(together(model, tokenizer, prompts, &rows, config, cancel)?);
    }
    Ok(answers)
}

/// One answer for each of `rows`: the number of its prompt, and its seed.
fn together(
    model: &Arc<dyn CausalLm>,
    tokenizer: Option<&Tokenizer>,
    prompts: &[Vec<u32>],
    rows: &[(usize, u64)],
    config: &GenerationConfig,
    cancel: &CancelHandle,
) -> Result<Vec<Generated>> {
    let limits = model.limits();
    let row = |(answer, &(cached, seed)): (usize, &(usize, u64))| {
        let plan = config.clone().seed(seed).plan(&prompts[cached], limits, tokenizer)?;
        let tokens = prompts[cached].clone();
        Ok(Row { answer, cached, tokens, plan, generated: Vec::new() })
    };
    let mut running = rows.iter().enumerate().map(row).collect::<Result<Vec<_>>>()?;
    let mut answers: Vec<Option<Generated>> = running.iter().map(|_| None).collect();

    let mut cache = model.new_cache();
    cache.reserve(running.iter().map(|row| row.plan.slots()).max().unwrap_or(0));
    let pad = config.pad_token_id.filter(|&id| (id as usize) < limits.vocab).unwrap_or(0);
    // A prompt is computed once, however many answers it is to have.
    let mut batch = TokenBatch::padded(prompts, pad, PaddingSide::Left)?;
    loop {
        let deadline = running.iter().filter_map(|row| row.plan.deadline()).max();
        let interrupt = Interrupt { cancel: cancel.clone(), deadline };
        let checkpoint = || interrupt.check();
        let logits = match cancel.is_cancelled() {
            true => Err(Error::Interrupted),
            false => model.forward_with(&batch, &mut cache, LogitsAt::LastToken, &checkpoint),
        };
        if let (Err(Error::Interrupted), Some(finish_reason)) = (&logits, interrupt.reason()) {
            for row in running {
                answers[row.answer] = Some(Generated { tokens: row.generated, finish_reason });
            }
            return Ok(answers.into_iter().flatten().collect());
        }
        let logits = row_major(&logits?)?;
        let vocab = logits.len() / batch.rows();
        let mut going_on = Vec::with_capacity(running.len());
        for mut row in running {
            let mut logits = logits[row.cached * vocab..(row.cached + 1) * vocab].to_vec();
            match row.step(&mut logits)? {
                None => going_on.push(row),
                Some(finish_reason) => {
                    answers[row.answer] = Some(Generated { tokens: row.generated, finish_reason });
                }
            }
        }
        running = going_on;
        if running.is_empty() {
            return Ok(answers.into_iter().flatten().collect());
        }
        let rows: Vec<usize> = running.iter().map(|row| row.cached).collect();
        if !rows.iter().copied().eq(0..batch.rows()) {
            cache.select_rows(&rows)?;
        }
        for (cached, row) in running.iter_mut().enumerate() {
            row.cached = cached;
        }
        let last = running.iter().filter_map(|row| row.tokens.last().copied()).collect();
        batch = TokenBatch::new(running.len(), last, vec![1; running.len()])?;
    }
}

/// The most rows of one forward pass: their caches are not made for more, whatever is asked for.
const MOST_ROWS: usize = 256;

/// One answer in the making.
#[derive(Debug)]
struct Row {
    /// Its place among the answers.
    answer: usize,
    /// Its row in the cache, and so in the logits.
    cached: usize,
    tokens: Vec<u32>,
    plan: Plan,
    generated: Vec<Token>,
}

impl Row {
    fn step(&mut self, logits: &mut [f32]) -> Result<Option<FinishReason>> {
        let token = self.plan.next(&self.tokens, logits)?;
        self.tokens.push(token.id);
        self.generated.push(token);
        self.plan.finished(&self.tokens)
    }
}
