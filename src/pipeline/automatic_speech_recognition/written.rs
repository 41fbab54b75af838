//! What models wrote about rows, put together.

use candle_core::Tensor;

use crate::error::Result;
use crate::pipeline::automatic_speech_recognition::chunks::Overlap;
use crate::pipeline::automatic_speech_recognition::options::ReturnTimestamps;
use crate::speech::ctc::{ChunkStride, CtcBeamOptions, CtcTokenizer, join_chunks};
use crate::speech::transcript::{Segment, Transcript, Word};
use crate::speech::whisper::Transcription;
use crate::speech::{AsrOutput, Stride, TimestampLevel, WhisperTokenizer, language_name};

/// What Whisper wrote about a row, for the tokenizer to put together.
///
/// The language stands before it where it is asked for, or where words are: some languages have no spaces
/// between them.
pub(super) fn output(
    transcription: &Transcription,
    overlap: Option<Overlap>,
    rate: u32,
    tokenizer: &WhisperTokenizer,
    has_language: bool,
) -> AsrOutput {
    let language = transcription.language.as_ref().filter(|_| has_language);
    let language =
        language.and_then(|code| tokenizer.tokenizer().token_to_id(&format!("<|{code}|>")));
    let seconds = |samples: usize| samples as f64 / f64::from(rate);
    let stride = overlap.map(|overlap| Stride {
        length: seconds(overlap.length),
        left: seconds(overlap.left),
        right: seconds(overlap.right),
    });
    let times = transcription.segments.iter().flat_map(|segment| &segment.token_times).copied();
    AsrOutput {
        tokens: language.into_iter().chain(transcription.ids()).collect(),
        // The language takes no time.
        token_timestamps: language.map(|_| 0.0).into_iter().chain(times).collect(),
        stride,
    }
}

/// The transcript of what Whisper wrote about the rows of one recording.
pub(super) fn transcript(
    written: &[(Transcription, Option<Overlap>)],
    rate: u32,
    tokenizer: &WhisperTokenizer,
    time_precision: f64,
    timestamps: ReturnTimestamps,
    has_language: bool,
) -> Result<Transcript> {
    let level = level(timestamps);
    let has_language = has_language || level == TimestampLevel::Words;
    let outputs: Vec<_> = written
        .iter()
        .map(|(transcription, overlap)| {
            output(transcription, *overlap, rate, tokenizer, has_language)
        })
        .collect();
    let mut transcript = tokenizer.decode_asr(&outputs, level, time_precision)?;
    if transcript.language.is_none() {
        let code = written.iter().find_map(|(transcription, _)| transcription.language.as_deref());
        transcript.language = code.and_then(language_name).map(str::to_owned);
    }
    Ok(transcript)
}

/// The transcript of the ids of frames, of which each stands for `ratio` samples: one segment.
pub(super) fn letters(
    rows: &[(Vec<u32>, Option<Overlap>)],
    ratio: usize,
    rate: u32,
    tokenizer: &CtcTokenizer,
    timestamps: ReturnTimestamps,
) -> Transcript {
    let chunks: Vec<_> = rows
        .iter()
        .map(|(ids, overlap)| (ids.clone(), stride(ids.len(), *overlap, ratio)))
        .collect();
    let written = tokenizer.decode(&join_chunks(&chunks), false);
    let offsets = match timestamps {
        ReturnTimestamps::Char => written.chars,
        ReturnTimestamps::Word | ReturnTimestamps::Segments => written.words,
        ReturnTimestamps::No => Vec::new(),
    };
    let time = |frame: usize| (frame * ratio) as f64 / f64::from(rate);
    let words: Vec<_> = offsets
        .into_iter()
        .map(|offset| Word::new(offset.text, time(offset.start), time(offset.end)))
        .collect();
    let mut segment = Segment::new(written.text);
    segment.start = words.first().and_then(|word| word.start);
    segment.end = words.last().and_then(|word| word.end);
    Transcript::of([segment.with_words(words)])
}

/// The transcript of the letters of frames that a search finds in parts that follow one another. Each frame stands for `ratio` samples
/// of so many in a second: one segment.
pub(super) fn found(
    logits: &[Tensor],
    [ratio, rate]: [usize; 2],
    tokenizer: &CtcTokenizer,
    search: &CtcBeamOptions,
    has_times: bool,
) -> Result<Transcript> {
    let mut beams = tokenizer.beams_of(logits, search)?;
    if beams.is_empty() {
        return Ok(Transcript::of([Segment::new(String::new())]));
    }
    let best = beams.swap_remove(0);
    let time = |frame: usize| (frame * ratio) as f64 / rate as f64;
    let words = best.words.into_iter().filter(|_| has_times);
    let words: Vec<_> =
        words.map(|word| Word::new(word.text, time(word.start), time(word.end))).collect();
    let mut segment = Segment::new(best.text);
    segment.start = words.first().and_then(|word| word.start);
    segment.end = words.last().and_then(|word| word.end);
    Ok(Transcript::of([segment.with_words(words)]))
}

/// The logits of the frames that are a part's own, without those of its neighbours, which are let go of.
pub(super) fn own(logits: &Tensor, overlap: Option<Overlap>, ratio: usize) -> Result<Tensor> {
    let frames = logits.dim(0)?;
    let ChunkStride { length, left, right } = stride(frames, overlap, ratio);
    let end = length.saturating_sub(right).min(frames);
    let left = left.min(end);
    Ok(logits.narrow(0, left, end - left)?.force_contiguous()?)
}

/// What of so many frames of a row belongs to its neighbours.
fn stride(frames: usize, overlap: Option<Overlap>, ratio: usize) -> ChunkStride {
    match overlap {
        None => ChunkStride { length: frames, left: 0, right: 0 },
        Some(Overlap { length, left, right }) => {
            ChunkStride { length, left, right }.in_frames(ratio)
        }
    }
}

/// Which times Whisper's tokens are read for.
pub(super) fn level(timestamps: ReturnTimestamps) -> TimestampLevel {
    match timestamps {
        ReturnTimestamps::No => TimestampLevel::None,
        ReturnTimestamps::Segments => TimestampLevel::Segments,
        ReturnTimestamps::Word | ReturnTimestamps::Char => TimestampLevel::Words,
    }
}
