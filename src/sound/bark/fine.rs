//! Bark's third stage: the codes of the other codebooks, window by window.

use super::settings::BarkSettings;
use super::voice::Voice;
use crate::error::{Error, Result};
use crate::generation::{CancelHandle, Distribution, Multinomial, Sampler};
use crate::models::bark::Bark;

/// The codes of all codebooks, `(codebooks, frames)`, of those of the first ones, by turns:
/// `BarkFineModel.generate` of the reference.
pub(super) fn fine(
    model: &Bark,
    settings: &BarkSettings,
    coarse: &[u32],
    voice: Option<&Voice>,
    seed: u64,
    cancel: &CancelHandle,
) -> Result<Vec<Vec<u32>>> {
    let (codes, given) = (settings.codebook_size, settings.coarse.n_coarse_codebooks);
    let total = settings.fine.n_fine_codebooks;
    let (step, window) =
        (settings.fine.max_fine_history_length, settings.fine.max_fine_input_length);
    let frames = coarse.len() / given;
    // The codes of each codebook, with what a frame lacks.
    let semantic = i64::from(settings.semantic.semantic_vocab_size);
    let mut books: Vec<Vec<u32>> = (0..total)
        .map(|book| match book < given {
            true => coarse
                .chunks_exact(given)
                .map(|frame| {
                    (i64::from(frame[book]) - semantic).rem_euclid(i64::from(codes)) as u32
                })
                .collect(),
            false => vec![codes; frames],
        })
        .collect();
    let mut history = 0;
    if let Some(voice) = voice {
        let known = voice.fine.first().map_or(0, Vec::len);
        history = known.min(step);
        for (book, before) in books.iter_mut().zip(&voice.fine) {
            book.splice(..0, before[known - history..].iter().copied());
        }
    }
    let filled = books[0].len().max(window);
    for book in &mut books {
        book.resize(filled, codes);
    }
    let loops = (frames as f64 - (window as f64 - history as f64)) / step as f64;
    let loops = loops.ceil().max(0.0) as usize + 1;
    let mut sampler = Multinomial::seeded(seed);
    for number in 0..loops {
        let start = (number * step).min(filled - window);
        let fill = (history + number * step).min(filled - step);
        let first = fill - start;
        for book in given..total {
            if cancel.is_cancelled() {
                return Err(Error::Interrupted);
            }
            let part: Vec<Vec<u32>> =
                books.iter().map(|book| book[start..start + window].to_vec()).collect();
            let logits = model.fine_logits(&part, book)?;
            let rows: Vec<Vec<f32>> = logits.narrow(0, first, window - first)?.to_vec2()?;
            for (at, mut row) in rows.into_iter().enumerate() {
                row.truncate(codes as usize);
                books[book][fill + at] = chosen(&mut row, settings.fine.temperature, &mut sampler)?;
            }
        }
    }
    Ok(books.into_iter().map(|book| book[history..history + frames].to_vec()).collect())
}

/// The likeliest code, or one that is drawn.
fn chosen(logits: &mut [f32], temperature: Option<f64>, sampler: &mut Multinomial) -> Result<u32> {
    let temperature = temperature.filter(|&temperature| temperature != 1.0);
    if let Some(temperature) = temperature {
        logits.iter_mut().for_each(|logit| *logit /= temperature as f32);
    }
    let distribution = Distribution::of(logits)?;
    Ok(match temperature {
        None => distribution.likeliest(),
        Some(_) => sampler.sample(&distribution)?,
    } as u32)
}
