//! The searches of many prompts, computed together.

use std::time::Instant;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::candidates::log_softmax;
use super::search::Search;
use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::generation::generated::Generated;
use crate::generation::sequence::Sequence;
use crate::generation::stop::FinishReason;
use crate::models::{Autoregressive, LogitsAt};
use crate::nn::cache::KvCache;

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
        let (mut kept, mut tokens) = (Vec::new(), Vec::new());
        for search in &mut running {
            for (row, next) in search.rows(kept.len()) {
                kept.push(row);
                tokens.push(next);
            }
        }
        if cache.rows() > 0 && !kept.iter().copied().eq(0..cache.rows()) {
            cache.select_rows(&kept)?;
        }
        let batch = TokenBatch::padded(&tokens, 0, PaddingSide::Left)?;
        let are_interrupted =
            |running: &[&mut Search]| running.iter().all(|search| search.interruption().is_some());
        let checkpoint = || match are_interrupted(&running) {
            true => Err(Error::Interrupted),
            false => Ok(()),
        };
        let logits = match model.forward_with(&batch, &mut cache, LogitsAt::LastToken, &checkpoint)
        {
            Err(Error::Interrupted) if are_interrupted(&running) => {
                for search in running {
                    search.record(started.elapsed(), 0);
                    search.end(search.interruption().unwrap_or(FinishReason::Time));
                }
                break;
            }
            logits => logits?,
        };
        let (_, vocab) = logits.dims2()?;
        let mut logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        log_softmax(&mut logits, vocab);
        running.into_par_iter().for_each(|search| {
            search.step(&logits, vocab);
            search.record(started.elapsed(), 1);
        });
    }
    Ok(searches.into_iter().map(Search::answers).collect())
}
