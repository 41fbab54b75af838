//! Where a recording holds speech, and how it is cut there.
//!
//! A [`VoiceActivityDetector`] says how probable it is that a window of some 32 ms holds speech.
//! [`speech_timestamps`] makes spans of that, with the options of the package silero-vad, and [`speech_windows`]
//! or [`merged_spans`] make of spans what a model hears at once.
//!
//! ```
//! use sconce::speech::activity::{EnergyDetector, VoiceActivityOptions, speech_timestamps, speech_windows};
//!
//! # fn main() -> sconce::Result<()> {
//! // Half a second of sound in two seconds of silence.
//! let mut recording = vec![0.0; 32_000];
//! (8_000..16_000).for_each(|at| recording[at] = (at as f32 * 0.3).sin() * 0.2);
//! let options = VoiceActivityOptions::default();
//! let spans = speech_timestamps(&EnergyDetector::default(), &recording, 16_000, &options)?;
//! assert_eq!(spans.len(), 1);
//! let windows = speech_windows(&spans, 30 * 16_000)?;
//! assert_eq!(windows[0].in_recording(0, false), spans[0].start);
//! # Ok(())
//! # }
//! ```

mod detector;
mod energy;
mod silero;
mod timestamps;
mod windows;

pub use detector::{VoiceActivityDetector, VoiceActivityStream, speech_probabilities};
pub use energy::EnergyDetector;
pub use silero::SileroVad;
pub use timestamps::{
    SpeechSpan, VoiceActivityOptions, speech_timestamps, timestamps_of_probabilities,
};
pub use windows::{SpeechWindow, merged_spans, speech_windows};
