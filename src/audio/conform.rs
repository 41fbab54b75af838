//! Sound that changes in the middle of a file, to what it was at the beginning: advertisements are put into recordings
//! that way.

use crate::audio::decoder::Sound;
use crate::audio::resample::Resampler;
use crate::error::Result;

/// Makes other channels and another sampling rate those of the beginning.
#[derive(Debug)]
pub(super) struct Conform {
    from: usize,
    /// Of each channel that comes out, and its samples.
    resamplers: Vec<(Resampler, Vec<f32>)>,
}

impl Conform {
    /// # Errors
    ///
    /// When the rates do not go together.
    pub(super) fn new(from: Sound, to: Sound) -> Result<Self> {
        let resampler = Resampler::new(from.sampling_rate, to.sampling_rate)?;
        Ok(Self { from: from.channels, resamplers: vec![(resampler, Vec::new()); to.channels] })
    }

    /// Takes samples, `(samples, channels)`, and returns those that they complete.
    ///
    /// # Errors
    ///
    /// When there is no memory for them.
    pub(super) fn push(&mut self, samples: &[f32]) -> Result<Vec<f32>> {
        let has_all = self.from == self.resamplers.len();
        for (channel, (resampler, out)) in self.resamplers.iter_mut().enumerate() {
            let own: Vec<f32> = match has_all {
                true => samples.iter().skip(channel).step_by(self.from).copied().collect(),
                // One channel goes to all, and several are mixed.
                false => samples
                    .chunks_exact(self.from)
                    .map(|frame| frame.iter().sum::<f32>() / self.from as f32)
                    .collect(),
            };
            resampler.push(&own, out)?;
        }
        Ok(self.take())
    }

    /// The last samples.
    ///
    /// # Errors
    ///
    /// When there is no memory for them.
    pub(super) fn finish(&mut self) -> Result<Vec<f32>> {
        for (resampler, out) in &mut self.resamplers {
            resampler.finish(out)?;
        }
        Ok(self.take())
    }

    fn take(&mut self) -> Vec<f32> {
        let channels = self.resamplers.len();
        let length = self.resamplers.first().map_or(0, |(_, out)| out.len());
        let mut samples = vec![0.0; length * channels];
        for (channel, (_, out)) in self.resamplers.iter_mut().enumerate() {
            let own = samples.iter_mut().skip(channel).step_by(channels);
            own.zip(out.drain(..)).for_each(|(to, sample)| *to = sample);
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(sampling_rate: u32, channels: usize) -> Sound {
        Sound { sampling_rate, channels }
    }

    #[test]
    fn channels_are_copied_mixed_or_kept() {
        let push = |from, to, samples: &[f32]| {
            Conform::new(sound(8_000, from), sound(8_000, to)).unwrap().push(samples).unwrap()
        };
        assert_eq!(push(1, 2, &[1.0, 2.0]), [1.0, 1.0, 2.0, 2.0]);
        assert_eq!(push(2, 1, &[1.0, 2.0, 3.0, 5.0]), [1.5, 4.0]);
        assert_eq!(push(2, 2, &[1.0, 2.0, 3.0, 5.0]), [1.0, 2.0, 3.0, 5.0]);
    }

    #[test]
    fn rates_are_as_in_the_resampler() {
        let mono: Vec<f32> = (0..300).map(|n| (n as f32 * 0.1).sin()).collect();
        let stereo: Vec<f32> = mono.iter().flat_map(|&sample| [sample, -sample]).collect();
        let mut conform = Conform::new(sound(8_000, 2), sound(16_000, 2)).unwrap();
        let mut found = Vec::new();
        for block in stereo.chunks(14) {
            found.extend(conform.push(block).unwrap());
        }
        found.extend(conform.finish().unwrap());
        let mut left = Vec::new();
        let mut resampler = Resampler::new(8_000, 16_000).unwrap();
        resampler.push(&mono, &mut left).unwrap();
        resampler.finish(&mut left).unwrap();
        assert_eq!(found, left.iter().flat_map(|&sample| [sample, -sample]).collect::<Vec<_>>());
    }
}
