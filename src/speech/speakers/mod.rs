//! Who speaks when.
//!
//! [`VoiceDiarizer`] tells speakers apart by vectors of their voices. A program that has another model, or a service
//! that does it, implements [`Diarizer`] or makes [`SpeakerTurn`]s by itself.
//! [`Transcript::assign_speakers`](crate::speech::transcript::Transcript::assign_speakers) gives segments and words
//! to those who speak most of their time.

mod by_voice;
mod groups;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::media::Audio;

pub use by_voice::{VoiceDiarizer, VoiceDiarizerOptions};

/// A time in which one person speaks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpeakerTurn {
    /// When it begins, in seconds from the beginning of the recording.
    pub start: f64,
    /// When it ends, in seconds.
    pub end: f64,
    /// Who speaks: a name, or what the same person is called throughout.
    pub speaker: String,
}

/// Tells speakers apart.
pub trait Diarizer: Send + Sync {
    /// The turns of all speakers, in order of their beginnings. Turns of several speakers may overlap.
    ///
    /// # Errors
    ///
    /// When the audio cannot be used, or the model fails.
    fn diarize(&self, audio: &Audio) -> Result<Vec<SpeakerTurn>>;
}

impl SpeakerTurn {
    /// A turn of a speaker, in seconds.
    #[must_use]
    pub fn new(speaker: impl Into<String>, start: f64, end: f64) -> Self {
        Self { start, end, speaker: speaker.into() }
    }
}

/// Who speaks most of the time from `start` to `end`; `None` where nobody does. Of two who speak as long, the
/// one who began first.
#[must_use]
pub fn speaker_between(turns: &[SpeakerTurn], start: f64, end: f64) -> Option<&str> {
    if start.is_nan() || end.is_nan() {
        return None;
    }
    let mut shares: Vec<(&str, f64)> = Vec::new();
    for turn in turns {
        let share = turn.end.min(end) - turn.start.max(start);
        if share > 0.0 {
            match shares.iter_mut().find(|(speaker, _)| *speaker == turn.speaker) {
                Some((_, sum)) => *sum += share,
                None => shares.push((&turn.speaker, share)),
            }
        }
    }
    let longest =
        shares.into_iter().reduce(|best, other| if other.1 > best.1 { other } else { best });
    longest.map(|(speaker, _)| speaker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_share_decides() {
        let turns = [
            SpeakerTurn::new("A", 0.0, 2.0),
            SpeakerTurn::new("B", 2.0, 5.0),
            SpeakerTurn::new("A", 4.0, 7.0),
        ];
        for (start, end, expected) in [
            (0.0, 1.0, Some("A")),
            (1.5, 3.5, Some("B")),
            (0.0, 7.0, Some("A")),
            (3.0, 5.5, Some("B")),
            (7.0, 9.0, None),
            (3.0, 3.0, None),
            (f64::NAN, 3.0, None),
        ] {
            assert_eq!(speaker_between(&turns, start, end), expected, "{start} to {end}");
        }
    }
}
