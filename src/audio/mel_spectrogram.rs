//! Log-mel values of frames that are centered on their samples, as torchaudio computes them.

use crate::audio::log_mel::{Log, LogMel, Preparation};
use crate::audio::mel::{MelBank, MelScale};
use crate::audio::window::{hamming_of_torch, hann_of_torch};
use crate::error::{Error, Result};

/// `MelSpectrogram` of torchaudio and a logarithm. The ends of the sound are mirrored.
#[derive(Debug, Clone)]
pub(crate) struct MelSpectrogram {
    log_mel: LogMel,
    /// Samples that are mirrored at either end. The window stands in the middle of the points of the Fourier
    /// transform; where it begins in them does not matter to the power.
    mirrored: usize,
    /// Samples that there must be at least.
    least: usize,
    /// Of the sample before, what is taken from each sample.
    preemphasis: Option<f32>,
}

impl MelSpectrogram {
    /// What XTTS conditions its GPT on, of sound of 22,050 samples per second: 80 values in a frame.
    pub(crate) fn of_xtts_style() -> Self {
        let bank = MelBank {
            filters: 80,
            fft_length: 2048,
            sampling_rate: 22_050,
            lowest: 0.0,
            highest: 8000.0,
            scale: MelScale::HtkAreas,
        };
        Self::new(hann_of_torch(1024), 256, bank, Log::NaturalFrom(1e-5), None)
    }

    /// What the speaker encoder of XTTS reads, of sound of 16,000 samples per second: 64 values in a frame.
    pub(crate) fn of_xtts_speaker() -> Self {
        let bank = MelBank {
            filters: 64,
            fft_length: 512,
            sampling_rate: 16_000,
            lowest: 0.0,
            highest: 8000.0,
            scale: MelScale::Htk,
        };
        Self::new(hamming_of_torch(400), 160, bank, Log::NaturalPlus(1e-6), Some(0.97))
    }

    fn new(
        window: Vec<f64>,
        hop: usize,
        bank: MelBank,
        log: Log,
        preemphasis: Option<f32>,
    ) -> Self {
        let half = bank.fft_length / 2;
        let mirrored = half - (bank.fft_length - window.len()) / 2;
        let log_mel = LogMel::new(window, hop, Preparation::None, &bank, log);
        Self { log_mel, mirrored, least: half + 1, preemphasis }
    }

    /// The values of a frame.
    pub(crate) fn width(&self) -> usize {
        self.log_mel.width()
    }

    /// The values of all frames, `(frames, width)`.
    ///
    /// # Errors
    ///
    /// When there are not more than half a frame of samples.
    pub(crate) fn frames(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let (found, least, mirrored) = (samples.len(), self.least, self.mirrored);
        if found < least {
            return Err(Error::input(format!(
                "a recording of {found} samples, which is too short: {least} or more are wanted"
            )));
        }
        let emphasized;
        let samples = match self.preemphasis {
            None => samples,
            Some(share) => {
                // The sample before the first is the second.
                let before = std::iter::once(&samples[1]).chain(samples);
                emphasized = samples
                    .iter()
                    .zip(before)
                    .map(|(x, before)| x - share * before)
                    .collect::<Vec<_>>();
                &emphasized
            }
        };
        let mut mirrored_too = Vec::with_capacity(found + 2 * mirrored);
        mirrored_too.extend(samples[1..=mirrored].iter().rev());
        mirrored_too.extend(samples);
        mirrored_too.extend(samples[found - 1 - mirrored..found - 1].iter().rev());
        let mut values = Vec::new();
        self.log_mel.append(&mirrored_too, &mut values);
        Ok(values)
    }
}
