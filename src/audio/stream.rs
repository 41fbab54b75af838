//! Sound as it comes, to one channel at the rate that a model wants.

use crate::audio::resample::{Resampler, reserve};
use crate::error::{Error, Result};
use crate::media::Audio;

/// Takes a program's blocks of samples, of any number of channels and any length, and makes one channel of them
/// at another sampling rate: channels are mixed by their mean, and resampled by a [`Resampler`].
///
/// ```
/// use sconce::audio::AudioStream;
///
/// let mut stream = AudioStream::new(48_000, 2, 16_000)?;
/// let mut samples = Vec::new();
/// // From a microphone: left, right, left, right …
/// for block in [[0.1, 0.3].repeat(480), [0.2, 0.2].repeat(480)] {
///     stream.push(&block, &mut samples)?;
/// }
/// stream.finish(&mut samples)?;
/// assert_eq!(samples.len(), 320);
/// assert!((samples[100] - 0.2).abs() < 1e-3);
/// # Ok::<(), sconce::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct AudioStream {
    channels: usize,
    /// The beginning of a frame whose rest is in the next block.
    partial: Vec<f32>,
    mixed: Vec<f32>,
    resampler: Resampler,
    sampling_rate: u32,
}

impl AudioStream {
    /// A stream of `sampling_rate` samples per second in each of `channels` channels, to be turned into one channel
    /// of `new_rate` samples per second.
    ///
    /// # Errors
    ///
    /// When there are no channels, and as [`Resampler::new`].
    pub fn new(sampling_rate: u32, channels: usize, new_rate: u32) -> Result<Self> {
        if channels == 0 {
            return Err(Error::input("audio of 0 channels"));
        }
        let resampler = Resampler::new(sampling_rate, new_rate)?;
        Ok(Self {
            channels,
            partial: Vec::new(),
            mixed: Vec::new(),
            resampler,
            sampling_rate: new_rate,
        })
    }

    /// Takes the next samples, one of each channel in turn, and appends to `samples` those of one channel that
    /// they complete. A block may end between the channels.
    ///
    /// # Errors
    ///
    /// When there is no memory for them.
    pub fn push(&mut self, mut block: &[f32], samples: &mut Vec<f32>) -> Result<()> {
        if self.channels == 1 {
            return self.resampler.push(block, samples);
        }
        self.mixed.clear();
        reserve(&mut self.mixed, block.len() / self.channels + 1)?;
        if !self.partial.is_empty() {
            let (rest, next) = block.split_at(block.len().min(self.channels - self.partial.len()));
            self.partial.extend_from_slice(rest);
            block = next;
            if self.partial.len() < self.channels {
                return Ok(());
            }
            mix_into(&self.partial, self.channels, &mut self.mixed);
            self.partial.clear();
        }
        let (frames, partial) = block.split_at(block.len() - block.len() % self.channels);
        mix_into(frames, self.channels, &mut self.mixed);
        self.partial.extend_from_slice(partial);
        self.resampler.push(&self.mixed, samples)
    }

    /// Ends the stream: appends the last samples to `samples`.
    ///
    /// # Errors
    ///
    /// When the last block ended between two channels, or there is no memory.
    pub fn finish(mut self, samples: &mut Vec<f32>) -> Result<()> {
        if !self.partial.is_empty() {
            let (found, channels) = (self.partial.len(), self.channels);
            return Err(Error::input(format!(
                "the stream ends with {found} samples for {channels} channels"
            )));
        }
        self.resampler.finish(samples)
    }

    /// Samples per second that come out.
    #[must_use]
    pub fn sampling_rate(&self) -> u32 {
        self.sampling_rate
    }
}

impl Audio {
    /// Sound of several channels, given one sample of each in turn, mixed to one by their mean, as librosa and
    /// Python's pipelines do.
    ///
    /// # Errors
    ///
    /// When the samples are not the same number for each channel, and as [`Audio::new`].
    pub fn mixed(samples: &[f32], channels: usize, sampling_rate: u32) -> Result<Self> {
        if channels == 0 || !samples.len().is_multiple_of(channels) {
            let found = samples.len();
            return Err(Error::input(format!("{found} samples for {channels} channels")));
        }
        let mut mixed = Vec::new();
        reserve(&mut mixed, samples.len() / channels)?;
        mix_into(samples, channels, &mut mixed);
        Self::new(mixed, sampling_rate)
    }

    /// The same sound with another number of samples per second, resampled by a [`Resampler`].
    ///
    /// # Errors
    ///
    /// As [`Resampler::new`], and when there is no memory.
    pub fn resampled(self, sampling_rate: u32) -> Result<Self> {
        if sampling_rate == self.sampling_rate {
            return Ok(self);
        }
        let mut resampler = Resampler::new(self.sampling_rate, sampling_rate)?;
        let length = self.samples.len() as u128 * u128::from(sampling_rate);
        let length = length.div_ceil(u128::from(self.sampling_rate));
        let mut samples = Vec::new();
        reserve(&mut samples, usize::try_from(length).unwrap_or(usize::MAX))?;
        resampler.push(&self.samples, &mut samples)?;
        resampler.finish(&mut samples)?;
        Self::new(samples, sampling_rate)
    }
}

/// Appends the mean of each frame.
pub(super) fn mix_into(samples: &[f32], channels: usize, mixed: &mut Vec<f32>) {
    match channels {
        1 => mixed.extend_from_slice(samples),
        2 => mixed
            .extend(samples.as_chunks::<2>().0.iter().map(|[left, right]| (left + right) / 2.0)),
        _ => mixed.extend(
            samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_may_end_anywhere() {
        let samples: Vec<f32> = (0..3_000).map(|n| (n % 17) as f32 / 17.0).collect();
        let whole = Audio::mixed(&samples, 3, 8_000).unwrap().resampled(16_000).unwrap().samples;
        for size in [1, 2, 7, 1_000, 3_000] {
            let mut stream = AudioStream::new(8_000, 3, 16_000).unwrap();
            let mut found = Vec::new();
            for block in samples.chunks(size) {
                stream.push(block, &mut found).unwrap();
            }
            stream.finish(&mut found).unwrap();
            assert_eq!(found, whole, "blocks of {size}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(AudioStream::new(8_000, 0, 16_000).is_err());
        assert!(Audio::mixed(&[0.0; 5], 2, 8_000).is_err());
        assert!(Audio::mixed(&[], 0, 8_000).is_err());
        let mut stream = AudioStream::new(8_000, 2, 8_000).unwrap();
        stream.push(&[0.0; 3], &mut Vec::new()).unwrap();
        let error = stream.finish(&mut Vec::new()).unwrap_err().to_string();
        assert!(error.contains("1 samples for 2 channels"), "{error}");
    }
}
