//! The features of models that hear samples: the samples, brought to one loudness.

use serde::Deserialize;

use crate::audio::extractor::check::{check_finite, check_padding_side, check_rate, check_sizes};
use crate::audio::features::AudioFeatures;
use crate::error::{Error, Result};

/// The options of [`Wav2Vec2FeatureExtractor`], by their names in preprocessor_config.json.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Wav2Vec2FeatureConfig {
    /// The values of a frame; only 1 is supported.
    pub feature_size: usize,
    /// Samples per second.
    pub sampling_rate: u32,
    /// The value that recordings are padded with.
    pub padding_value: f32,
    /// Whether the model is told where padding is. If not, padding is part of what it hears, and of the
    /// loudness.
    pub return_attention_mask: Option<bool>,
    /// Whether samples are brought to a mean of 0 and a variance of 1.
    pub do_normalize: bool,
    /// Where recordings are padded; only `right` is supported.
    pub padding_side: String,
}

impl Default for Wav2Vec2FeatureConfig {
    fn default() -> Self {
        Self {
            feature_size: 1,
            sampling_rate: 16_000,
            padding_value: 0.0,
            return_attention_mask: Some(false),
            do_normalize: true,
            padding_side: "right".to_owned(),
        }
    }
}

/// Samples as Wav2Vec2, HuBERT, WavLM and Moonshine read them: `Wav2Vec2FeatureExtractor` of transformers.
/// A frame is one sample.
#[derive(Debug, Clone)]
pub struct Wav2Vec2FeatureExtractor {
    config: Wav2Vec2FeatureConfig,
}

impl Wav2Vec2FeatureExtractor {
    /// An extractor with these options.
    ///
    /// # Errors
    ///
    /// When an option makes no sense or is not supported.
    pub fn new(config: Wav2Vec2FeatureConfig) -> Result<Self> {
        check_padding_side(&config.padding_side)?;
        check_sizes(&[("sampling_rate", config.sampling_rate as usize, 1)])?;
        if config.feature_size != 1 {
            let found = config.feature_size;
            return Err(Error::option("feature_size", format!("{found} is not supported, only 1")));
        }
        if !config.padding_value.is_finite() {
            return Err(Error::option(
                "padding_value",
                format!("{} is no sample", config.padding_value),
            ));
        }
        Ok(Self { config })
    }

    /// The options.
    #[must_use]
    pub fn config(&self) -> &Wav2Vec2FeatureConfig {
        &self.config
    }

    /// The features of a recording, without padding.
    ///
    /// # Errors
    ///
    /// When the sampling rate is not the model's, a sample is no finite number, or there is none.
    pub fn extract(&self, samples: &[f32], sampling_rate: u32) -> Result<AudioFeatures> {
        self.extract_padded(samples, sampling_rate, 0)
    }

    /// As [`extract`](Self::extract), padded to `at_least` samples: the longest of a batch gives what Python
    /// gives with `padding="longest"`. Without `return_attention_mask` padding counts as heard, so the length
    /// of the features is that with padding.
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
        check_rate(self.config.sampling_rate, sampling_rate)?;
        check_finite(samples)?;
        if samples.is_empty() {
            return Err(Error::input("a recording without samples"));
        }
        let padded = samples.len().max(at_least);
        let mut values = Vec::with_capacity(padded);
        values.extend_from_slice(samples);
        if self.config.return_attention_mask != Some(true) {
            values.resize(padded, self.config.padding_value);
        }
        if self.config.do_normalize {
            normalize(&mut values);
        }
        let length = values.len();
        values.resize(padded, self.config.padding_value);
        AudioFeatures::new(values, 1, length)
    }
}

/// Brings values to a mean of 0 and a variance of 1.
fn normalize(values: &mut [f32]) {
    let count = values.len() as f64;
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / count;
    let squares = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>();
    let scale = 1.0 / (squares / count + LEAST_VARIANCE).sqrt();
    values.iter_mut().for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
}

/// Added to the variance, so that silence stays silent.
const LEAST_VARIANCE: f64 = 1e-7;
