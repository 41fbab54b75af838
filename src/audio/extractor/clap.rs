//! The features of CLAP.

use serde::Deserialize;

use crate::audio::extractor::check::{
    check_finite, check_padding_side, check_product, check_rate, check_sizes,
};
use crate::audio::features::AudioFeatures;
use crate::audio::log_mel::{Log, LogMel, Preparation};
use crate::audio::mel::{MelBank, MelScale};
use crate::audio::window;
use crate::error::{Error, Result};

/// The options of [`ClapFeatureExtractor`], by their names in preprocessor_config.json.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ClapFeatureConfig {
    /// The values of a frame.
    pub feature_size: usize,
    /// Samples per second.
    pub sampling_rate: u32,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// Seconds that the model reads at once.
    pub max_length_s: usize,
    /// The samples of a frame.
    pub fft_window_size: usize,
    /// Where the first filter begins, in Hz.
    pub frequency_min: f64,
    /// Where the last filter ends, in Hz.
    pub frequency_max: f64,
    /// What becomes of recordings that are longer.
    pub truncation: ClapTruncation,
    /// What becomes of recordings that are shorter.
    pub padding: ClapPadding,
    /// Only `right` is supported.
    pub padding_side: String,
}

/// What the model reads of a recording that is longer than it reads at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClapTruncation {
    /// All of it, squeezed together, and three parts of it: models with `enable_fusion`.
    Fusion,
    /// A part of it.
    RandTrunc,
}

/// How a recording that is shorter than what the model reads at once is made as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClapPadding {
    /// Silence follows.
    Pad,
    /// It is repeated until the time is full.
    Repeat,
    /// It is repeated as often as it fits whole, and silence follows.
    RepeatPad,
}

impl Default for ClapFeatureConfig {
    fn default() -> Self {
        Self {
            feature_size: 64,
            sampling_rate: 48_000,
            hop_length: 480,
            max_length_s: 10,
            fft_window_size: 1024,
            frequency_min: 0.0,
            frequency_max: 14_000.0,
            truncation: ClapTruncation::Fusion,
            padding: ClapPadding::RepeatPad,
            padding_side: "right".to_owned(),
        }
    }
}

/// Log-mel values in decibels as CLAP reads them: `ClapFeatureExtractor` of transformers.
///
/// With [`ClapTruncation::Fusion`] the features are four views of a recording, whose frames lie one after
/// the other: the whole, squeezed together, and three parts of it. Of a recording that is not longer than
/// the model reads, they are four times the same. [`length`](AudioFeatures::length) tells both apart, as
/// `is_longer` does in the reference: all frames, or those of the first view.
///
/// Where the reference draws parts of long recordings by chance, these are those in the middle of what it
/// draws from, so that the same recording always gives the same.
#[derive(Debug, Clone)]
pub struct ClapFeatureExtractor {
    config: ClapFeatureConfig,
    log_mel: LogMel,
}

/// The features of a recording and whether it is longer than the model reads at once.
struct Views {
    values: Vec<f32>,
    is_longer: bool,
}

impl ClapFeatureExtractor {
    /// An extractor with these options.
    ///
    /// # Errors
    ///
    /// When an option makes no sense or is not supported.
    pub fn new(config: ClapFeatureConfig) -> Result<Self> {
        check_padding_side(&config.padding_side)?;
        let (window, filters) = (config.fft_window_size, config.feature_size);
        check_sizes(&[
            ("feature_size", filters, 1),
            ("sampling_rate", config.sampling_rate as usize, 2),
            ("hop_length", config.hop_length, 1),
            ("max_length_s", config.max_length_s, 1),
            ("fft_window_size", window, 2),
        ])?;
        let samples = [config.max_length_s, config.sampling_rate as usize];
        check_product("max_length_s", &samples)?;
        let frames = samples.iter().product::<usize>() / config.hop_length + 1;
        check_product("hop_length", &[frames, filters])?;
        check_product("fft_window_size", &[window / 2 + 1, filters])?;
        let ClapFeatureConfig { frequency_min: lowest, frequency_max: highest, .. } = config;
        if !(lowest >= 0.0 && lowest < highest && highest.is_finite()) {
            let reason = format!("{highest} Hz is not above `frequency_min`, {lowest}");
            return Err(Error::option("frequency_max", reason));
        }
        let scale = match config.truncation {
            ClapTruncation::Fusion => MelScale::Htk,
            ClapTruncation::RandTrunc => MelScale::Slaney,
        };
        if config.truncation == ClapTruncation::Fusion && filters != FUSED {
            let reason = format!("{filters}, and `fusion` takes {FUSED}");
            return Err(Error::option("feature_size", reason));
        }
        let sampling_rate = config.sampling_rate;
        let bank = MelBank { filters, fft_length: window, sampling_rate, lowest, highest, scale };
        let window = window::hann(window);
        let log_mel =
            LogMel::new(window, config.hop_length, Preparation::None, &bank, Log::Decibels);
        let extractor = Self { config, log_mel };
        if extractor.chunk_samples() <= extractor.half() {
            let reason = "a frame is longer than what the model reads at once";
            return Err(Error::option("fft_window_size", reason));
        }
        Ok(extractor)
    }

    /// The options.
    #[must_use]
    pub fn config(&self) -> &ClapFeatureConfig {
        &self.config
    }

    /// The samples that the model reads at once: `nb_max_samples`, 480,000.
    #[must_use]
    pub fn chunk_samples(&self) -> usize {
        self.config.max_length_s * self.config.sampling_rate as usize
    }

    /// The frames of a view, `(views * frames, feature_size)`.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.chunk_samples() / self.config.hop_length + 1
    }

    /// The features of a recording by itself, which counts as a long one in the reference, however long it is.
    ///
    /// # Errors
    ///
    /// When the sampling rate is not the model's, a sample is no finite number, or there is none.
    pub fn extract(&self, samples: &[f32], sampling_rate: u32) -> Result<AudioFeatures> {
        self.features(Views { is_longer: true, ..self.views(samples, sampling_rate)? })
    }

    /// The features of several recordings. Where none is longer than the model reads at once, the first
    /// counts as such; in the reference, one of them by chance.
    ///
    /// # Errors
    ///
    /// As [`extract`](Self::extract).
    pub fn extract_batch(&self, rows: &[&[f32]], sampling_rate: u32) -> Result<Vec<AudioFeatures>> {
        let rows = rows.iter().map(|row| self.views(row, sampling_rate));
        let mut rows = rows.collect::<Result<Vec<_>>>()?;
        if !rows.iter().any(|row| row.is_longer)
            && let Some(first) = rows.first_mut()
        {
            first.is_longer = true;
        }
        rows.into_iter().map(|row| self.features(row)).collect()
    }

    fn features(&self, views: Views) -> Result<AudioFeatures> {
        let width = self.config.feature_size;
        let frames = views.values.len() / width;
        let length = if views.is_longer { frames } else { frames.min(self.frames()) };
        AudioFeatures::new(views.values, width, length)
    }

    fn views(&self, samples: &[f32], sampling_rate: u32) -> Result<Views> {
        check_rate(self.config.sampling_rate, sampling_rate)?;
        check_finite(samples)?;
        if samples.is_empty() {
            return Err(Error::input("a recording without samples"));
        }
        let (most, width) = (self.chunk_samples(), self.config.feature_size);
        let is_longer = samples.len() > most;
        let values = match self.config.truncation {
            ClapTruncation::RandTrunc if is_longer => {
                let start = (samples.len() - most) / 2;
                self.decibels(&samples[start..start + most])
            }
            ClapTruncation::Fusion if is_longer => {
                let values = self.decibels(samples);
                if values.len() / width > self.frames() {
                    return Ok(Views { values: self.fused(&values), is_longer });
                }
                // No frame longer.
                return Ok(Views { values: values.repeat(VIEWS), is_longer: false });
            }
            _ => self.decibels(&self.padded(samples)),
        };
        let views = if self.config.truncation == ClapTruncation::Fusion { VIEWS } else { 1 };
        Ok(Views { values: values.repeat(views), is_longer })
    }

    /// As many samples as the model reads at once.
    fn padded(&self, samples: &[f32]) -> Vec<f32> {
        let most = self.chunk_samples();
        let mut padded = match self.config.padding {
            ClapPadding::Pad => samples.to_vec(),
            ClapPadding::Repeat => samples.iter().copied().cycle().take(most).collect(),
            ClapPadding::RepeatPad => samples.repeat(most / samples.len()),
        };
        padded.resize(most, 0.0);
        padded
    }

    /// The values of all frames, `(frames, feature_size)`. The first is centered on the first sample, and
    /// what lies beyond either end mirrors what lies within.
    fn decibels(&self, samples: &[f32]) -> Vec<f32> {
        let (hop, length) = (self.config.hop_length, self.log_mel.frame_length());
        let (half, last) = (self.half(), samples.len() - 1);
        let sample = |at: usize| {
            let at = at.abs_diff(half);
            samples[if at > last { 2 * last - at } else { at }]
        };
        let frames = samples.len() / hop + 1;
        let mut values = Vec::with_capacity(frames * self.config.feature_size);
        for first in (0..frames).step_by(BLOCK) {
            let count = BLOCK.min(frames - first);
            let from = first * hop;
            let block: Vec<f32> = (from..from + (count - 1) * hop + length).map(sample).collect();
            self.log_mel.append(&block, &mut values);
        }
        values
    }

    /// All frames, squeezed together, and those in the middle of the first, the second and the last third.
    fn fused(&self, values: &[f32]) -> Vec<f32> {
        let (frames, width) = (self.frames(), self.config.feature_size);
        let total = values.len() / width;
        let row = |at: usize| &values[at * width..(at + 1) * width];
        let mut views = Vec::with_capacity(VIEWS * frames * width);
        // In f32, as the reference has it: between loud and quiet frames the last bits tell.
        let scale = total as f32 / frames as f32;
        for at in 0..frames {
            let place = (scale * (at as f32 + 0.5) - 0.5).max(0.0);
            let before = (place as usize).min(total - 1);
            let share = (place - before as f32).clamp(0.0, 1.0);
            let after = row((before + 1).min(total - 1));
            let pairs = row(before).iter().zip(after);
            views.extend(pairs.map(|(before, after)| (1.0 - share) * before + share * after));
        }
        // Where parts may begin, in three groups of which the first are larger by one.
        let starts = total - frames + 1;
        let mut first = 0;
        for group in 0..VIEWS - 1 {
            let count = starts / 3 + usize::from(group < starts % 3);
            let start = if count == 0 { 0 } else { first + count / 2 };
            first += count;
            views.extend_from_slice(&values[start * width..(start + frames) * width]);
        }
        views
    }

    fn half(&self) -> usize {
        self.log_mel.frame_length() / 2
    }
}

/// The views of a recording that are fused.
const VIEWS: usize = 4;
/// The values of a frame that the reference squeezes views to.
const FUSED: usize = 64;
/// Frames whose samples are written out at a time.
const BLOCK: usize = 512;
