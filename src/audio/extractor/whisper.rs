//! Whisper's features: log-mel values of 30 seconds or more.

use serde::Deserialize;

use crate::audio::extractor::check::{check_finite, check_padding_side, check_rate, check_sizes};
use crate::audio::features::AudioFeatures;
use crate::audio::log_mel::{Log, LogMel, Preparation};
use crate::audio::mel::{MelBank, MelScale};
use crate::audio::window;
use crate::error::{Error, Result};

/// The options of [`WhisperFeatureExtractor`], by their names in preprocessor_config.json. Others in the file
/// follow from these (`n_samples`, `nb_max_frames`), and the reference overwrites them, too.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WhisperFeatureConfig {
    /// The values of a frame: 80, or 128 since large-v3.
    pub feature_size: usize,
    /// Samples per second.
    pub sampling_rate: u32,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// Seconds that the model reads at once.
    pub chunk_length: usize,
    /// Samples of a frame.
    pub n_fft: usize,
    /// The sample that recordings are padded with.
    pub padding_value: f32,
    /// How much noise is added; only 0 is supported.
    pub dither: f32,
    /// Where recordings are padded; only `right` is supported.
    pub padding_side: String,
}

impl Default for WhisperFeatureConfig {
    fn default() -> Self {
        Self {
            feature_size: 80,
            sampling_rate: 16_000,
            hop_length: 160,
            chunk_length: 30,
            n_fft: 400,
            padding_value: 0.0,
            dither: 0.0,
            padding_side: "right".to_owned(),
        }
    }
}

/// Log-mel values as Whisper reads them: `WhisperFeatureExtractor` of transformers.
///
/// A frame stands for 10 ms and holds the logarithms of 80 or 128 bands from 0 to 8000 Hz. What is more than
/// 80 dB below the loudest value of the recording is raised to that, so the values of a part depend on the
/// whole.
#[derive(Debug, Clone)]
pub struct WhisperFeatureExtractor {
    config: WhisperFeatureConfig,
    log_mel: LogMel,
}

impl WhisperFeatureExtractor {
    /// An extractor with these options.
    ///
    /// # Errors
    ///
    /// When an option makes no sense or is not supported.
    pub fn new(config: WhisperFeatureConfig) -> Result<Self> {
        check_padding_side(&config.padding_side)?;
        let WhisperFeatureConfig { feature_size, sampling_rate, hop_length, n_fft, .. } = config;
        check_sizes(&[
            ("feature_size", feature_size, 1),
            ("sampling_rate", sampling_rate as usize, 2),
            ("hop_length", hop_length, 1),
            ("chunk_length", config.chunk_length, 1),
            ("n_fft", n_fft, 2),
        ])?;
        if config.dither != 0.0 {
            return Err(Error::option(
                "dither",
                format!("{} is not supported, only 0", config.dither),
            ));
        }
        if !config.padding_value.is_finite() {
            return Err(Error::option(
                "padding_value",
                format!("{} is no sample", config.padding_value),
            ));
        }
        let bank = MelBank {
            filters: feature_size,
            fft_length: n_fft,
            sampling_rate,
            lowest: 0.0,
            highest: HIGHEST,
            scale: MelScale::Slaney,
        };
        let window = window::hann_of_torch(n_fft);
        let log_mel = LogMel::new(window, hop_length, Preparation::None, &bank, Log::Ten);
        Ok(Self { config, log_mel })
    }

    /// The options.
    #[must_use]
    pub fn config(&self) -> &WhisperFeatureConfig {
        &self.config
    }

    /// The samples that the model reads at once: `n_samples`, 480,000.
    #[must_use]
    pub fn chunk_samples(&self) -> usize {
        self.config.chunk_length * self.config.sampling_rate as usize
    }

    /// The features of a recording, padded to 30 seconds (`chunk_length`) where it is shorter: Python's
    /// default up to 30 seconds, and `padding="longest", truncation=False` beyond. Nothing is cut. The length
    /// of the features is the number of frames that begin within the recording.
    ///
    /// # Errors
    ///
    /// When the sampling rate is not the model's, or a sample is no finite number.
    pub fn extract(&self, samples: &[f32], sampling_rate: u32) -> Result<AudioFeatures> {
        self.extract_padded(samples, sampling_rate, self.chunk_samples())
    }

    /// As [`extract`](Self::extract), padded to `at_least` samples: 0 pads nothing, and the longest of a
    /// batch gives what Python gives with `padding="longest"`.
    ///
    /// # Errors
    ///
    /// As [`extract`](Self::extract), and when there are not more than half a frame of samples.
    pub fn extract_padded(
        &self,
        samples: &[f32],
        sampling_rate: u32,
        at_least: usize,
    ) -> Result<AudioFeatures> {
        check_rate(self.config.sampling_rate, sampling_rate)?;
        let mut stream = self.stream();
        let frames = samples.len().max(at_least) / self.config.hop_length;
        stream.values.reserve_exact((frames + 1).saturating_mul(self.log_mel.width()));
        stream.push(samples)?;
        stream.finish(at_least)
    }

    /// Takes the samples of a recording piece by piece, so that they are never in memory all at once.
    #[must_use]
    pub fn stream(&self) -> WhisperFeatureStream<'_> {
        WhisperFeatureStream {
            extractor: self,
            pending: Vec::new(),
            next: 0,
            samples: 0,
            values: Vec::new(),
        }
    }
}

/// The features of a recording whose samples come piece by piece.
#[derive(Debug, Clone)]
pub struct WhisperFeatureStream<'a> {
    extractor: &'a WhisperFeatureExtractor,
    /// Samples that frames to come may need.
    pending: Vec<f32>,
    /// Where in `pending` the next frame begins.
    next: usize,
    /// How many samples have come.
    samples: usize,
    /// Logarithms, not yet bounded from below.
    values: Vec<f32>,
}

impl WhisperFeatureStream<'_> {
    /// Takes the next samples, at the model's sampling rate.
    ///
    /// # Errors
    ///
    /// When one is no finite number. Then none of these is taken.
    pub fn push(&mut self, samples: &[f32]) -> Result<()> {
        check_finite(samples)?;
        for block in samples.chunks(BLOCK) {
            let starts = self.samples <= self.half();
            self.samples += block.len();
            self.pending.extend_from_slice(block);
            if starts && self.samples > self.half() {
                // The first frame is centered on the first sample: what lies before mirrors what follows.
                let before: Vec<_> = self.pending[1..=self.half()].iter().rev().copied().collect();
                self.pending.splice(..0, before);
            }
            if self.samples > self.half() {
                self.advance();
            }
        }
        Ok(())
    }

    /// Makes room for so many samples in all: features that grow are copied.
    ///
    /// # Errors
    ///
    /// When there is no memory for their features.
    pub fn expect(&mut self, samples: usize) -> Result<()> {
        let width = self.extractor.log_mel.width();
        let values = (samples / self.extractor.config.hop_length + 1).saturating_mul(width);
        self.values
            .try_reserve_exact(values.saturating_sub(self.values.len()))
            .map_err(|_| Error::input(format!("no memory for the features of {samples} samples")))
    }

    /// The number of samples so far.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The features of all samples, padded to `at_least` samples.
    ///
    /// # Errors
    ///
    /// When there are not more than half a frame of samples, padding included.
    pub fn finish(mut self, at_least: usize) -> Result<AudioFeatures> {
        let config = &self.extractor.config;
        let given = self.samples;
        let total = given.max(at_least);
        let frames = total / config.hop_length;
        if total <= self.half() || frames == 0 {
            let least = (self.half() + 1).max(config.hop_length);
            return Err(Error::input(format!(
                "a recording of {total} samples, which is too short: features take {least} or more"
            )));
        }
        let padding = vec![config.padding_value; (total - given).min(BLOCK)];
        while self.samples < total {
            self.push(&padding[..(total - self.samples).min(BLOCK)])?;
        }
        let end = self.pending.len() - 1;
        let after: Vec<_> = self.pending[end - self.half()..end].iter().rev().copied().collect();
        self.pending.extend_from_slice(&after);
        self.advance();
        let width = self.extractor.log_mel.width();
        let mut values = self.values;
        // The reference drops the last frame, which is centered on the end.
        values.truncate(frames * width);
        let floor = values.iter().copied().fold(f32::NEG_INFINITY, f32::max) - RANGE;
        values.iter_mut().for_each(|value| *value = (value.max(floor) + 4.0) / 4.0);
        AudioFeatures::new(values, width, given.div_ceil(config.hop_length).min(frames))
    }

    /// Computes the frames that are whole, and lets go of samples that none needs any more.
    fn advance(&mut self) {
        let log_mel = &self.extractor.log_mel;
        let samples = &self.pending[self.next..];
        log_mel.append(samples, &mut self.values);
        self.next += log_mel.frames_in(samples.len()) * log_mel.hop();
        // The end is mirrored when it is known.
        let done = self.next.min(self.pending.len() - (self.half() + 1));
        self.pending.drain(..done);
        self.next -= done;
    }

    fn half(&self) -> usize {
        self.extractor.log_mel.frame_length() / 2
    }
}

/// Where the last filter ends, in Hz, whatever the sampling rate.
const HIGHEST: f64 = 8000.0;
/// How far below the largest logarithm values may lie.
const RANGE: f32 = 8.0;
/// Samples that frames are computed of at once.
const BLOCK: usize = 1 << 16;
