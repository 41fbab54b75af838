//! A detector without weights: what is louder than the noise, and near a voice.

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::speech::activity::detector::{
    VoiceActivityDetector, VoiceActivityStream, check_windows, heard,
};
use crate::speech::activity::voicing::Voicing;

/// Takes for speech what is louder than the noise of the recording and near a voice: the default, since it needs
/// no weights.
///
/// The loudness of a window is the power of its samples without their mean, in dB of full scale. The noise is
/// what a tenth of the last windows do not exceed. A window that is [`margin`](Self::margin) louder than noise is
/// speech with a probability of one half.
///
/// Of a whole recording, what is not near a voice is then left out: [`voiced`](Self::voiced) of the windows within a
/// second of each must repeat themselves as vocal folds do, be no pure tone, and have a spectrum whose shape moves.
/// So noise, hum, tones, chords and clicks are silence, also where they begin. Singing and quick music are taken
/// for speech, and whispering is not, unless `voiced` is 0. A [stream](VoiceActivityDetector::listen), which does not know what
/// follows, goes by loudness alone: music is speech then, and so is loud noise in the first second, until it is
/// known to be steady.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct EnergyDetector {
    /// How much louder than noise speech is, in dB. Default 6.
    pub margin: f32,
    /// Noise is taken to be at least so loud, in dB of full scale. Default -65.
    pub quietest: f32,
    /// The seconds that noise is estimated from. Default 3.
    pub memory: f32,
    /// The windows of a voice that make what is within a second of them speech. Default 3; 0 asks for none.
    pub voiced: usize,
}

impl Default for EnergyDetector {
    fn default() -> Self {
        Self { margin: 6.0, quietest: -65.0, memory: 3.0, voiced: 3 }
    }
}

impl VoiceActivityDetector for EnergyDetector {
    fn window(&self, sampling_rate: u32) -> Result<usize> {
        match sampling_rate as usize * WINDOW_MS / 1000 {
            0 => Err(Error::input(format!(
                "audio of {sampling_rate} samples per second holds no speech"
            ))),
            window => Ok(window),
        }
    }

    fn listen(&self, sampling_rate: u32) -> Result<Box<dyn VoiceActivityStream + '_>> {
        let window = self.window(sampling_rate)?;
        let windows = (self.memory * 1000.0 / WINDOW_MS as f32) as usize;
        let most = windows.clamp(EARLIER, MOST_WINDOWS);
        Ok(Box::new(EnergyStream {
            detector: *self,
            window,
            most,
            last: VecDeque::from([EARLIER_NOISE; EARLIER]),
        }))
    }

    fn probabilities(&self, samples: &[f32], sampling_rate: u32) -> Result<Vec<f32>> {
        let window = self.window(sampling_rate)?;
        let mut found = heard(&mut *self.listen(sampling_rate)?, window, samples)?;
        if self.voiced > 0
            && let Some(voicing) = Voicing::new(window, sampling_rate)
        {
            let voiced = voicing.voiced(samples);
            let voices = voiced.iter().zip(&found);
            let voices = voices.map(|(voiced, loud)| usize::from(*voiced && *loud >= 0.5));
            // How many there are before each window.
            let before: Vec<usize> = std::iter::once(0)
                .chain(voices.scan(0, |sum, voice| {
                    *sum += voice;
                    Some(*sum)
                }))
                .collect();
            let near = 1000 / WINDOW_MS;
            for (number, probability) in found.iter_mut().enumerate() {
                let end = (number + near + 1).min(before.len() - 1);
                if before[end] - before[number.saturating_sub(near)] < self.voiced {
                    *probability *= NO_VOICE;
                }
            }
        }
        Ok(found)
    }
}

#[derive(Debug)]
struct EnergyStream {
    detector: EnergyDetector,
    window: usize,
    /// How many windows noise is estimated from.
    most: usize,
    /// The loudness of the last windows.
    last: VecDeque<f32>,
}

impl EnergyStream {
    /// How loud noise is, in dB, after a window of that loudness.
    fn noise(&mut self, loudness: f32) -> f32 {
        if self.last.len() == self.most {
            self.last.pop_front();
        }
        self.last.push_back(loudness);
        let mut sorted: Vec<_> = self.last.iter().copied().collect();
        let rank = sorted.len() / 10;
        let (_, noise, _) = sorted.select_nth_unstable_by(rank, f32::total_cmp);
        noise.max(self.detector.quietest)
    }
}

impl VoiceActivityStream for EnergyStream {
    fn hear(&mut self, samples: &[f32]) -> Result<Vec<f32>> {
        check_windows(samples, self.window)?;
        let windows = samples.chunks_exact(self.window);
        let probability = |window: &[f32]| {
            let loudness = loudness(window);
            let above = loudness - self.noise(loudness) - self.detector.margin;
            1.0 / (1.0 + (-above).exp())
        };
        Ok(windows.map(probability).collect())
    }
}

/// The power of samples without their mean, in dB of full scale.
fn loudness(samples: &[f32]) -> f32 {
    let count = samples.len() as f32;
    let mean = samples.iter().sum::<f32>() / count;
    let power = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f32>() / count;
    10.0 * power.max(1e-12).log10()
}

/// As long as a window of Silero's.
const WINDOW_MS: usize = 32;
/// How probable it is that what is loud is speech where no voice is near.
const NO_VOICE: f32 = 0.1;
/// Half an hour.
const MOST_WINDOWS: usize = 1 << 16;
/// A recording may begin with speech. So there is noise of this loudness, in dB, in so many windows before.
const EARLIER_NOISE: f32 = -40.0;
const EARLIER: usize = 3;
