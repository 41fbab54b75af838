//! The features of Wav2Vec2-BERT and SeamlessM4T.

use serde::Deserialize;

use crate::audio::extractor::check::{check_padding_side, check_sizes};
use crate::audio::extractor::kaldi;
use crate::audio::features::AudioFeatures;
use crate::audio::log_mel::LogMel;
use crate::audio::window;
use crate::error::{Error, Result};

/// The options of [`SeamlessM4TFeatureExtractor`], by their names in preprocessor_config.json.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SeamlessM4TFeatureConfig {
    /// Samples per second.
    pub sampling_rate: u32,
    /// The bands of a frame of 25 ms.
    pub num_mel_bins: usize,
    /// The value that recordings are padded with.
    pub padding_value: f32,
    /// How many frames of 25 ms, 10 ms apart, one frame of the model holds; at least 2.
    pub stride: usize,
    /// Where recordings are padded; only `right` is supported.
    pub padding_side: String,
}

impl Default for SeamlessM4TFeatureConfig {
    fn default() -> Self {
        Self {
            sampling_rate: 16_000,
            num_mel_bins: 80,
            padding_value: 0.0,
            stride: 2,
            padding_side: "right".to_owned(),
        }
    }
}

/// Log-mel values as Wav2Vec2-BERT reads them: `SeamlessM4TFeatureExtractor` of transformers.
///
/// Each band has a mean of 0 and a variance of 1 over the recording. A frame holds two of Kaldi's, so it stands
/// for 20 ms and has 160 values.
#[derive(Debug, Clone)]
pub struct SeamlessM4TFeatureExtractor {
    config: SeamlessM4TFeatureConfig,
    log_mel: LogMel,
}

impl SeamlessM4TFeatureExtractor {
    /// An extractor with these options.
    ///
    /// # Errors
    ///
    /// When an option makes no sense or is not supported.
    pub fn new(config: SeamlessM4TFeatureConfig) -> Result<Self> {
        check_padding_side(&config.padding_side)?;
        check_sizes(&[
            ("sampling_rate", config.sampling_rate as usize, 41),
            ("num_mel_bins", config.num_mel_bins, 1),
            ("stride", config.stride, 2),
        ])?;
        if !config.padding_value.is_finite() {
            return Err(Error::option(
                "padding_value",
                format!("{} is no number", config.padding_value),
            ));
        }
        // Kaldi's samples are 16-bit integers.
        let window = window::povey(kaldi::FRAME).into_iter().map(|value| value * 32768.0).collect();
        let log_mel = kaldi::log_mel(config.num_mel_bins, config.sampling_rate, window);
        Ok(Self { config, log_mel })
    }

    /// The options.
    #[must_use]
    pub fn config(&self) -> &SeamlessM4TFeatureConfig {
        &self.config
    }

    /// The features of a recording. An odd last frame of 25 ms is padded to a whole frame, which then is
    /// padding as a whole.
    ///
    /// # Errors
    ///
    /// When the sampling rate is not the model's, a sample is no finite number, or there are fewer than 560
    /// samples, which are two frames of 25 ms: one has no variance.
    pub fn extract(&self, samples: &[f32], sampling_rate: u32) -> Result<AudioFeatures> {
        self.extract_padded(samples, sampling_rate, 0)
    }

    /// As [`extract`](Self::extract), with at least as many frames as `at_least` samples have: the longest of
    /// a batch gives what Python gives with `padding="longest"`.
    ///
    /// # Errors
    ///
    /// As [`extract`](Self::extract).
    pub fn extract_padded(
        &self,
        samples: &[f32],
        sampling_rate: u32,
        at_least: usize,
    ) -> Result<AudioFeatures> {
        let config = &self.config;
        let recording = (samples, sampling_rate);
        let mut values = kaldi::frames(&self.log_mel, recording, config.sampling_rate, 2)?;
        normalize_bands(&mut values, config.num_mel_bins);
        let found = values.len() / config.num_mel_bins;
        let frames = found.max(self.log_mel.frames_in(at_least)).next_multiple_of(EVEN);
        let whole = frames / config.stride;
        values.resize(frames * config.num_mel_bins, config.padding_value);
        values.truncate(whole * config.stride * config.num_mel_bins);
        // The mask of a frame is that of its second part.
        let length = (found + config.stride - 2) / config.stride;
        AudioFeatures::new(values, config.num_mel_bins * config.stride, length.min(whole))
    }
}

/// Brings each band of two frames or more to a mean of 0 and a variance of 1.
fn normalize_bands(values: &mut [f32], bands: usize) {
    let count = (values.len() / bands) as f64;
    let mut means = vec![0.0; bands];
    for frame in values.chunks_exact(bands) {
        means.iter_mut().zip(frame).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    means.iter_mut().for_each(|sum| *sum /= count);
    let mut scales = vec![0.0; bands];
    for frame in values.chunks_exact(bands) {
        let bands = scales.iter_mut().zip(&means).zip(frame);
        bands.for_each(|((sum, mean), &value)| *sum += (f64::from(value) - mean).powi(2));
    }
    scales.iter_mut().for_each(|sum| *sum = 1.0 / (*sum / (count - 1.0) + LEAST_VARIANCE).sqrt());
    for frame in values.chunks_exact_mut(bands) {
        let bands = frame.iter_mut().zip(&means).zip(&scales);
        bands.for_each(|((value, mean), scale)| {
            *value = ((f64::from(*value) - mean) * scale) as f32
        });
    }
}

/// The reference pads to a multiple of this, whatever the stride.
const EVEN: usize = 2;
/// Added to the variance of a band.
const LEAST_VARIANCE: f64 = 1e-7;
