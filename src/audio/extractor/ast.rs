//! The features of the Audio Spectrogram Transformer.

use serde::Deserialize;

use crate::audio::extractor::check::{check_product, check_sizes};
use crate::audio::extractor::kaldi;
use crate::audio::features::AudioFeatures;
use crate::audio::log_mel::LogMel;
use crate::audio::window;
use crate::error::{Error, Result};

/// The options of [`AstFeatureExtractor`], by their names in preprocessor_config.json.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AstFeatureConfig {
    /// Samples per second.
    pub sampling_rate: u32,
    /// The values of a frame.
    pub num_mel_bins: usize,
    /// The number of frames that the model reads.
    pub max_length: usize,
    /// Whether `mean` is taken from values, and what is left divided by twice `std`.
    pub do_normalize: bool,
    /// The mean of the values that the model was trained with.
    pub mean: f32,
    /// Their standard deviation.
    pub std: f32,
}

impl Default for AstFeatureConfig {
    fn default() -> Self {
        Self {
            sampling_rate: 16_000,
            num_mel_bins: 128,
            max_length: 1024,
            do_normalize: true,
            mean: -4.267_739_3,
            std: 4.568_997_4,
        }
    }
}

/// Log-mel values as the Audio Spectrogram Transformer reads them: `ASTFeatureExtractor` of transformers, as
/// it computes without torchaudio, which gives the same to 1e-4. A frame stands for 10 ms.
#[derive(Debug, Clone)]
pub struct AstFeatureExtractor {
    config: AstFeatureConfig,
    log_mel: LogMel,
}

impl AstFeatureExtractor {
    /// An extractor with these options.
    ///
    /// # Errors
    ///
    /// When an option makes no sense or is not supported.
    pub fn new(config: AstFeatureConfig) -> Result<Self> {
        check_sizes(&[
            ("sampling_rate", config.sampling_rate as usize, 41),
            ("num_mel_bins", config.num_mel_bins, 1),
            ("max_length", config.max_length, 1),
        ])?;
        check_product("max_length", &[config.max_length, config.num_mel_bins])?;
        if !config.mean.is_finite() {
            return Err(Error::option("mean", format!("{} is no number", config.mean)));
        }
        if config.std == 0.0 || !config.std.is_finite() {
            return Err(Error::option("std", format!("{} is nothing to divide by", config.std)));
        }
        let window = window::hann_symmetric(kaldi::FRAME);
        let log_mel = kaldi::log_mel(config.num_mel_bins, config.sampling_rate, window);
        Ok(Self { config, log_mel })
    }

    /// The options.
    #[must_use]
    pub fn config(&self) -> &AstFeatureConfig {
        &self.config
    }

    /// The first `max_length` frames of a recording, 10.24 seconds by default; a shorter one is padded. As in
    /// the reference, what comes later is not heard.
    ///
    /// # Errors
    ///
    /// When the sampling rate is not the model's, a sample is no finite number, or there are fewer than 400
    /// samples.
    pub fn extract(&self, samples: &[f32], sampling_rate: u32) -> Result<AudioFeatures> {
        let config = &self.config;
        let heard = samples.len().min(kaldi::FRAME + (config.max_length - 1) * kaldi::HOP);
        let recording = (&samples[..heard], sampling_rate);
        let mut values = kaldi::frames(&self.log_mel, recording, config.sampling_rate, 1)?;
        let length = values.len() / config.num_mel_bins;
        values.resize(config.max_length * config.num_mel_bins, 0.0);
        if config.do_normalize {
            let spread = config.std * 2.0;
            values.iter_mut().for_each(|value| *value = (*value - config.mean) / spread);
        }
        AudioFeatures::new(values, config.num_mel_bins, length)
    }
}
