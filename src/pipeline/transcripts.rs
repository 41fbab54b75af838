//! Transcripts of services as transcripts of this crate, to be written in every format.

use crate::remote::Transcription;
use crate::speech::transcript::{Segment, Transcript, Word};

/// Segments and words with their times; all of it as one segment where the service gives none. Who speaks is
/// not kept.
impl From<&Transcription> for Transcript {
    fn from(found: &Transcription) -> Self {
        let mut words = found.words.iter().peekable();
        let count = found.segments.len();
        let segments = found.segments.iter().enumerate().map(|(at, segment)| {
            let is_last = at + 1 == count;
            let mut own = Vec::new();
            while let Some(word) = words.next_if(|word| is_last || word.start < segment.end) {
                own.push(Word::new(format!(" {}", word.word.trim()), word.start, word.end));
            }
            Segment::new(segment.text.as_str()).between(segment.start, segment.end).with_words(own)
        });
        let mut segments: Vec<_> = segments.collect();
        if segments.is_empty() && !found.text.is_empty() {
            segments.push(Segment::new(found.text.as_str()));
        }
        let mut transcript = Self::of(segments);
        transcript.text.clone_from(&found.text);
        transcript.language.clone_from(&found.language);
        transcript
    }
}
