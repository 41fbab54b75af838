//! What was said, by whom and when.

use serde::{Deserialize, Serialize};

use crate::speech::speakers::{SpeakerTurn, speaker_between};
use crate::speech::transcript::{Transcript, Word};

/// Something that one person said in one go: what minutes are made of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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

/// The segments of a transcript, cut where the speakers of their words change. One without times is said at the end
/// of the one before it.
impl From<&Transcript> for Vec<Utterance> {
    fn from(transcript: &Transcript) -> Self {
        let mut latest = 0.0;
        let mut found = Self::new();
        for segment in &transcript.segments {
            let start = segment.start.unwrap_or(latest);
            latest = segment.end.unwrap_or(start);
            let speakers = segment.words.iter().map(|word| &word.speaker);
            if segment.words.windows(2).any(|two| two[0].speaker != two[1].speaker) {
                let is_same = |a: &Word, b: &Word| a.speaker == b.speaker;
                found.extend(
                    segment.words.chunk_by(is_same).map(|words| said(words, start, latest)),
                );
                continue;
            }
            let speaker = speakers.flatten().next().or(segment.speaker.as_ref()).cloned();
            let text = segment.text.trim().to_owned();
            found.push(Utterance { start, end: latest, speaker, text });
        }
        found.retain(|utterance| !utterance.text.is_empty());
        found
    }
}

/// Words of one speaker in a segment.
fn said(words: &[Word], start: f64, end: f64) -> Utterance {
    let text: String = words.iter().map(|word| word.text.as_str()).collect();
    Utterance {
        start: words.first().and_then(|word| word.start).unwrap_or(start),
        end: words.last().and_then(|word| word.end).unwrap_or(end),
        speaker: words.first().and_then(|word| word.speaker.clone()),
        text: text.trim().to_owned(),
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
