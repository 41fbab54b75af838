//! What tells speech from silence.

use std::fmt::Debug;

use crate::error::{Error, Result};

/// Tells speech from everything else, window by window of some 32 ms.
pub trait VoiceActivityDetector: Debug + Send + Sync {
    /// The samples of a window of a recording with that many samples per second.
    ///
    /// # Errors
    ///
    /// When the detector does not hear such recordings.
    fn window(&self, sampling_rate: u32) -> Result<usize>;

    /// Begins to hear a recording.
    ///
    /// # Errors
    ///
    /// As [`window`](Self::window).
    fn listen(&self, sampling_rate: u32) -> Result<Box<dyn VoiceActivityStream + '_>>;

    /// How probable it is that each window of a whole recording holds speech; the last may be part of a window.
    /// A detector that knows what follows may know better than one that listens. By default it listens.
    ///
    /// # Errors
    ///
    /// As [`window`](Self::window), and when a sample is no finite number.
    fn probabilities(&self, samples: &[f32], sampling_rate: u32) -> Result<Vec<f32>> {
        let window = self.window(sampling_rate)?;
        heard(&mut *self.listen(sampling_rate)?, window, samples)
    }
}

/// A recording that a detector is hearing.
pub trait VoiceActivityStream: Debug + Send {
    /// How probable it is that each of the next windows holds speech. `samples` are whole windows.
    ///
    /// # Errors
    ///
    /// When they are not, or a sample is no finite number.
    fn hear(&mut self, samples: &[f32]) -> Result<Vec<f32>>;
}

/// How probable it is that each window of a recording holds speech. A last window that is not whole is filled up
/// with silence.
///
/// # Errors
///
/// When the detector does not hear recordings of that sampling rate, or a sample is no finite number.
pub fn speech_probabilities(
    detector: &dyn VoiceActivityDetector,
    samples: &[f32],
    sampling_rate: u32,
) -> Result<Vec<f32>> {
    detector.probabilities(samples, sampling_rate)
}

/// What a stream hears in a recording.
pub(super) fn heard(
    stream: &mut dyn VoiceActivityStream,
    window: usize,
    samples: &[f32],
) -> Result<Vec<f32>> {
    let mut probabilities = Vec::with_capacity(samples.len().div_ceil(window));
    let (whole, rest) = samples.split_at(samples.len() / window * window);
    for block in whole.chunks(window * BLOCK) {
        probabilities.extend(stream.hear(block)?);
    }
    if !rest.is_empty() {
        let mut last = rest.to_vec();
        last.resize(window, 0.0);
        probabilities.extend(stream.hear(&last)?);
    }
    Ok(probabilities)
}

/// Refuses what is no whole windows of finite numbers.
pub(super) fn check_windows(samples: &[f32], window: usize) -> Result<()> {
    if !samples.len().is_multiple_of(window) {
        let found = samples.len();
        return Err(Error::input(format!("{found} samples are no whole windows of {window}")));
    }
    match samples.iter().position(|sample| !sample.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::input(format!("sample {at} of the audio is {}", samples[at]))),
    }
}

/// Windows that are heard at once.
const BLOCK: usize = 256;
