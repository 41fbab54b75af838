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
//! // Half a second of a voice, whose vowel changes, in two seconds of silence.
//! let mut recording = vec![0.0; 32_000];
//! for at in 8_000..16_000 {
//!     let vowel = if at / 1_600 % 2 == 0 { 500.0 } else { 1_200.0 };
//!     recording[at] = (1..20).map(|harmonic| {
//!         let frequency = 120.0 * harmonic as f32;
//!         let level = 0.05 / (1.0 + ((frequency - vowel) / 150.0).powi(2));
//!         level * (frequency * at as f32 / 16_000.0 * std::f32::consts::TAU).sin()
//!     }).sum();
//! }
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
mod voicing;
mod windows;

pub use detector::{VoiceActivityDetector, VoiceActivityStream, speech_probabilities};
pub use energy::EnergyDetector;
pub use silero::SileroVad;
pub use timestamps::{
    SpeechSpan, VoiceActivityOptions, speech_timestamps, timestamps_of_probabilities,
};
pub use windows::{SpeechWindow, merged_spans, speech_windows};
