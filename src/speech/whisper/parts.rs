//! The segments of a window, with their words.

use crate::error::Result;
use crate::speech::whisper::Whisper;
use crate::speech::whisper::alignment::TIME_PRECISION;
use crate::speech::whisper::slices::{Slice, Slices};
use crate::speech::whisper::transcription::{Segment, Window, Word};
use crate::speech::whisper_tokenizer::language_name;

/// The segments of a window, whose place among the windows is `place`. `times` says when its tokens end, in
/// seconds from its beginning, if anybody asked.
pub(super) fn segments(
    whisper: &Whisper,
    window: &Window,
    slices: &Slices,
    times: &[f64],
    place: usize,
    language: Option<&str>,
) -> Result<Vec<Segment>> {
    let times: Vec<f64> = times.iter().map(|time| time + window.start).collect();
    let segment = |slice: &Slice| {
        let ids = &window.ids[slice.ids.clone()];
        let text: Vec<usize> =
            slice.ids.clone().filter(|&at| whisper.is_text(window.ids[at])).collect();
        let text_ids: Vec<u32> = text.iter().map(|&at| window.ids[at]).collect();
        let words = match times.is_empty() {
            true => Vec::new(),
            false => {
                let words =
                    whisper.tokenizer().words(&text_ids, language.and_then(language_name))?;
                let words = words
                    .into_iter()
                    .filter_map(|(word, places)| timed(word, text.get(places)?, window, &times));
                words.collect()
            }
        };
        Ok(Segment {
            start: window.start + slice.start as f64 * TIME_PRECISION,
            end: window.start + slice.end as f64 * TIME_PRECISION,
            ids: ids.to_vec(),
            text: whisper.tokenizer().decode(&text_ids, true)?,
            token_times: times.get(slice.ids.clone()).unwrap_or_default().to_vec(),
            words,
            window: place,
            temperature: window.temperature,
            avg_logprob: window.avg_logprob,
            compression_ratio: window.compression_ratio,
            no_speech_prob: window.no_speech_prob,
        })
    };
    slices.parts.iter().map(segment).collect()
}

/// A word whose tokens stand at these places in a window: it begins where the token before it ends.
fn timed(text: String, places: &[usize], window: &Window, times: &[f64]) -> Option<Word> {
    let (&first, &last) = (places.first()?, places.last()?);
    let start =
        first.checked_sub(1).map_or(Some(window.start), |before| times.get(before).copied())?;
    let probabilities = places.iter().filter_map(|&at| window.logprobs.get(at)).map(|it| it.exp());
    Some(Word {
        text,
        start: rounded(start),
        end: rounded(*times.get(last)?),
        probability: probabilities.sum::<f32>() / places.len() as f32,
    })
}

/// To hundredths of a second.
fn rounded(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}
