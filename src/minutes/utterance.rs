//! What was said, by whom and when.

use crate::speech::speakers::{SpeakerTurn, speaker_between};
use crate::speech::transcript::Transcript;

/// Something that one person said in one go: what minutes are made of.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Utterance {
    /// When it begins, in seconds from the beginning of the recording.
    pub start: f64,
    /// When it ends, in seconds.
    pub end: f64,
    /// Who said it, if known.
    pub speaker: Option<String>,
    /// The words.
    pub text: String,
}

impl Utterance {
    /// Words that were said from `start` to `end`, in seconds.
    #[must_use]
    pub fn new(text: impl Into<String>, start: f64, end: f64) -> Self {
        Self { start, end, speaker: None, text: text.into() }
    }

    /// The same, said by somebody.
    #[must_use]
    pub fn by(mut self, speaker: impl Into<String>) -> Self {
        self.speaker = Some(speaker.into());
        self
    }
}

/// Names the speakers of those utterances that have none, as a [`Diarizer`](crate::speech::speakers::Diarizer)
/// tells them.
pub fn assign_speakers(utterances: &mut [Utterance], turns: &[SpeakerTurn]) {
    for utterance in utterances.iter_mut().filter(|utterance| utterance.speaker.is_none()) {
        let speaker = speaker_between(turns, utterance.start, utterance.end);
        utterance.speaker = speaker.map(str::to_owned);
    }
}

/// The segments of a transcript. One without times is said at the end of the one before it.
impl From<&Transcript> for Vec<Utterance> {
    fn from(transcript: &Transcript) -> Self {
        let mut latest = 0.0;
        let segments = transcript.segments.iter().map(|segment| {
            let start = segment.start.unwrap_or(latest);
            latest = segment.end.unwrap_or(start);
            Utterance::new(segment.text.trim(), start, latest)
        });
        segments.filter(|utterance| !utterance.text.is_empty()).collect()
    }
}

/// The pieces of a service's transcript; all of it as one where it has none.
#[cfg(feature = "remote")]
impl From<&crate::remote::Transcription> for Vec<Utterance> {
    fn from(transcription: &crate::remote::Transcription) -> Self {
        if transcription.segments.is_empty() && !transcription.text.trim().is_empty() {
            let end = transcription.duration.unwrap_or(0.0);
            return vec![Utterance::new(transcription.text.trim(), 0.0, end)];
        }
        let segments = transcription.segments.iter().map(|segment| Utterance {
            start: segment.start,
            end: segment.end,
            speaker: segment.speaker.clone(),
            text: segment.text.trim().to_owned(),
        });
        segments.filter(|utterance| !utterance.text.is_empty()).collect()
    }
}

/// Utterances in order, with times that can be used and no line breaks: what was not said after what came
/// before it is as late.
pub(super) fn in_order(utterances: &[Utterance]) -> Vec<Utterance> {
    let mut latest = 0.0_f64;
    let tidy = utterances.iter().filter_map(|utterance| {
        let text = utterance.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let start = if utterance.start.is_finite() { utterance.start.max(latest) } else { latest };
        let end = if utterance.end.is_finite() { utterance.end.max(start) } else { start };
        latest = start;
        let speaker = utterance
            .speaker
            .as_ref()
            .map(|name| name.split_whitespace().collect::<Vec<_>>().join(" "));
        let speaker = speaker.filter(|name| !name.is_empty());
        (!text.is_empty()).then_some(Utterance { start, end, speaker, text })
    });
    tidy.collect()
}
