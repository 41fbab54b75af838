//! The searches of many prompts, computed together.

use std::iter;
use std::sync::Arc;
use std::time::Instant;

use rayon::iter::{IntoParallelRefMutIterator, ParallelIterator};

use super::search::Search;
use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::generation::generated::Generated;
use crate::generation::outputs::{RowPlace, StepOutput};
use crate::generation::pass::{Passed, Wants, pass};
use crate::generation::sequence::Sequence;
use crate::generation::stop::FinishReason;
use crate::models::{Autoregressive, LogitsAt};
use crate::nn::cache::KvCache;
use crate::weights::slices::with_f32;

/// The best answers to each prompt, with one forward pass per step for all of them. `cache` is empty or
/// has a row for each, without tokens. Prompts are computed once, and then fork; the beams of a prompt
/// leave the batch when its search is over. Of those that are not the first of a call, what is late is not
/// begun.
pub(in crate::generation) fn run(
    model: &dyn Autoregressive,
    mut cache: KvCache,
    sequences: Vec<Sequence>,
    is_first: bool,
) -> Result<Vec<Result<Vec<Generated>>>> {
    let searches = sequences.into_iter().enumerate();
    let searches = searches.map(|(row, sequence)| Search::new(sequence, row));
    let mut searches = searches.collect::<Result<Vec<_>>>()?;
    if !is_first {
        // What comes after the time is over is not begun.
        for search in &mut searches {
            search.interruption().into_iter().for_each(|reason| search.end(reason));
        }
    }
    cache.reserve(searches.iter().map(Search::slots).max().unwrap_or(0));
    loop {
        let started = Instant::now();
        let running = searches.iter_mut().filter(|search| !search.is_over());
        running.for_each(Search::end_if_cancelled);
        let mut running: Vec<_> = searches.iter_mut().filter(|it| !it.is_over()).collect();
        if running.is_empty() {
            break;
        }
        let (mut rows, mut tokens, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for search in &mut running {
            let first = rows.len();
            for (row, next) in search.rows(first) {
                rows.push(row);
                tokens.push(next);
            }
            counts.push(rows.len() - first);
        }
        let own = rows.len();
        for search in &mut running {
            for (row, next) in search.shadow_rows(rows.len()) {
                rows.push(row);
                tokens.push(next);
            }
        }
        if cache.rows() > 0 && !rows.iter().copied().eq(0..cache.rows()) {
            cache.select_rows(&rows)?;
        }
        let batch = TokenBatch::padded(&tokens, 0, PaddingSide::Left)?;
        let are_interrupted =
            |running: &[&mut Search]| running.iter().all(|search| search.interruption().is_some());
        let checkpoint = || match are_interrupted(&running) {
            true => Err(Error::Interrupted),
            false => Ok(()),
        };
        let wants = running.iter().zip(counts);
        let wants = wants.flat_map(|(search, count)| {
            iter::repeat_n(Wants::default().with(search.plan()), count)
        });
        let guiding = iter::repeat_n(Wants::default(), rows.len() - own);
        let wants: Vec<_> = wants.chain(guiding).collect();
        let before = cache.row_lengths();
        let at = LogitsAt::LastToken;
        let (logits, passed) = match pass(model, &batch, &mut cache, at, &checkpoint, &wants) {
            Err(Error::Interrupted) if are_interrupted(&running) => {
                for search in running {
                    search.record(started.elapsed(), 0);
                    search.end(search.interruption().unwrap_or(FinishReason::Time));
                }
                break;
            }
            passed => passed?,
        };
        let outputs = with_f32(&logits, |logits| kept(logits, &passed, &wants, &before, &tokens))??;
        with_f32(&logits, |logits| {
            model.on_threads(&mut || {
                running.par_iter_mut().for_each(|search| {
                    search.step(logits, passed.vocab, &outputs);
                    search.record(started.elapsed(), 1);
                });
            });
        })?;
    }
    Ok(searches.into_iter().map(Search::answers).collect())
}

/// What is kept of the step of each row, but for its scores; nothing where no row asks for anything.
fn kept(
    logits: &[f32],
    passed: &Passed,
    wants: &[Wants<'_>],
    before: &[usize],
    tokens: &[Vec<u32>],
) -> Result<Vec<StepOutput>> {
    if !wants.iter().any(|wants| wants.outputs.is_any()) {
        return Ok(Vec::new());
    }
    let rows = wants.iter().zip(tokens).enumerate().map(|(row, (wants, tokens))| {
        let (vocab, new) = (passed.vocab, tokens.len());
        let logits = &logits[row * vocab..(row + 1) * vocab];
        let logits = wants.outputs.logits.then(|| Arc::from(logits));
        let mut output = StepOutput { logits, ..StepOutput::default() };
        if let Some(trace) = &passed.trace {
            let before = before.get(row).copied().unwrap_or(0);
            let place = RowPlace { row, before, longest_before: passed.longest_before, new };
            output.record(wants.outputs, trace, place, 0..new)?;
        }
        Ok(output)
    });
    rows.collect()
}
