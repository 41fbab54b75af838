//! Long recordings, cut at silences into what a model hears at once.

use crate::error::{Error, Result};
use crate::speech::activity::timestamps::SpeechSpan;

/// Spans of speech that are heard together, without what lies between: as faster-whisper's `vad_filter` does
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpeechWindow {
    spans: Vec<SpeechSpan>,
}

impl SpeechWindow {
    /// The spans of the recording, in order.
    #[must_use]
    pub fn spans(&self) -> &[SpeechSpan] {
        &self.spans
    }

    /// The number of samples of all spans.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.spans.iter().map(SpeechSpan::samples).sum()
    }

    /// The samples of the spans, one after the other. Spans end with the recording.
    #[must_use]
    pub fn collect(&self, recording: &[f32]) -> Vec<f32> {
        let mut samples = Vec::with_capacity(self.samples());
        for span in &self.spans {
            let end = span.end.min(recording.len());
            samples.extend_from_slice(&recording[span.start.min(end)..end]);
        }
        samples
    }

    /// Where a sample of the window lies in the recording. One between two spans is the beginning of the later,
    /// or the end of the earlier where something ends there (`is_end`).
    #[must_use]
    pub fn in_recording(&self, sample: usize, is_end: bool) -> usize {
        let mut before = 0;
        for span in &self.spans {
            let here = sample - before;
            if here < span.samples() || (is_end && here == span.samples()) {
                return span.start + here;
            }
            before += span.samples();
        }
        self.spans.last().map_or(sample, |span| span.end + (sample - before))
    }
}

/// Puts spans together to windows of at most `longest` samples. A span that is longer is cut.
///
/// # Errors
///
/// When `longest` is 0.
pub fn speech_windows(spans: &[SpeechSpan], longest: usize) -> Result<Vec<SpeechWindow>> {
    let mut windows: Vec<SpeechWindow> = Vec::new();
    let mut room = 0;
    for span in pieces(spans, longest)? {
        match windows.last_mut().filter(|_| span.samples() <= room) {
            Some(window) => window.spans.push(span),
            None => {
                room = longest;
                windows.push(SpeechWindow { spans: vec![span] });
            }
        }
        room -= span.samples();
    }
    Ok(windows)
}

/// Joins spans with the silences between them to spans of at most `longest` samples, as WhisperX does it. A
/// span that is longer is cut.
///
/// # Errors
///
/// When `longest` is 0.
pub fn merged_spans(spans: &[SpeechSpan], longest: usize) -> Result<Vec<SpeechSpan>> {
    let mut merged: Vec<SpeechSpan> = Vec::new();
    for span in pieces(spans, longest)? {
        match merged.last_mut().filter(|last| span.end.saturating_sub(last.start) <= longest) {
            Some(last) => last.end = last.end.max(span.end),
            None => merged.push(span),
        }
    }
    Ok(merged)
}

/// The spans, cut to pieces of at most `longest` samples.
fn pieces(spans: &[SpeechSpan], longest: usize) -> Result<impl Iterator<Item = SpeechSpan>> {
    if longest == 0 {
        return Err(Error::input("windows of no samples"));
    }
    let cut = move |span: &SpeechSpan| {
        let SpeechSpan { start, end } = *span;
        (start..end)
            .step_by(longest)
            .map(move |start| SpeechSpan { start, end: end.min(start + longest) })
    };
    Ok(spans.iter().flat_map(cut))
}
