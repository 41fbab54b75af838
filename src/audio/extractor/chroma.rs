//! The features of MusicGen Melody: which of the twelve pitches is the loudest.

use std::f64::consts::LN_2;

use serde::Deserialize;

use crate::audio::extractor::check::{check_finite, check_product, check_rate, check_sizes};
use crate::audio::extractor::{fields, options};
use crate::audio::features::AudioFeatures;
use crate::audio::log_mel::{Log, LogMel, Preparation};
use crate::audio::mel::MelFilters;
use crate::audio::window;
use crate::error::{Error, Result};
use crate::source::ModelFiles;
use crate::warning::warn;

/// The options of [`ChromaFeatureExtractor`], by their names in preprocessor_config.json.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ChromaFeatureConfig {
    /// Samples per second.
    pub sampling_rate: u32,
    /// Samples from one frame to the next.
    pub hop_length: usize,
    /// Seconds of a recording that are heard.
    pub chunk_length: usize,
    /// The samples of a frame.
    pub n_fft: usize,
    /// How many pitches an octave has.
    pub num_chroma: usize,
}

impl Default for ChromaFeatureConfig {
    fn default() -> Self {
        Self {
            sampling_rate: 32_000,
            hop_length: 4096,
            chunk_length: 30,
            n_fft: 16_384,
            num_chroma: 12,
        }
    }
}

/// The loudest pitch of each frame, whatever its octave: 1 for it and 0 for the others.
/// `MusicgenMelodyFeatureExtractor` of transformers.
#[derive(Debug, Clone)]
pub struct ChromaFeatureExtractor {
    config: ChromaFeatureConfig,
    power: LogMel,
}

impl ChromaFeatureExtractor {
    /// An extractor with these options.
    ///
    /// # Errors
    ///
    /// When an option makes no sense.
    pub fn new(config: ChromaFeatureConfig) -> Result<Self> {
        let ChromaFeatureConfig { hop_length, chunk_length, n_fft, num_chroma, .. } = config;
        check_sizes(&[
            ("sampling_rate", config.sampling_rate as usize, 41),
            ("hop_length", hop_length, 1),
            ("chunk_length", chunk_length, 1),
            ("n_fft", n_fft, 4),
            ("num_chroma", num_chroma, 2),
        ])?;
        check_product("n_fft", &[n_fft, num_chroma])?;
        if !n_fft.is_multiple_of(2) {
            return Err(Error::option("n_fft", format!("{n_fft} is odd")));
        }
        let power = LogMel::with_filters(
            window::hann_of_torch(n_fft),
            hop_length,
            Preparation::None,
            MelFilters::whole(&filters(n_fft, num_chroma, f64::from(config.sampling_rate))),
            n_fft,
            Log::None,
        );
        Ok(Self { config, power })
    }

    /// Reads preprocessor_config.json.
    ///
    /// # Errors
    ///
    /// When it is missing, or an option makes no sense.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let (path, fields) = fields(files)?;
        options(&path, &fields).and_then(Self::new).map_err(|error| match error {
            Error::InvalidOption { option, reason } => {
                Error::malformed(&path, format!("`{option}`: {reason}"))
            }
            error => error,
        })
    }

    /// The options.
    #[must_use]
    pub fn config(&self) -> &ChromaFeatureConfig {
        &self.config
    }

    /// What is heard of a recording, of which what comes after `chunk_length` seconds is not: a warning says so.
    ///
    /// # Errors
    ///
    /// When the sampling rate is not the model's, a sample is no finite number, or there are none.
    pub fn extract(&self, samples: &[f32], sampling_rate: u32) -> Result<AudioFeatures> {
        let ChromaFeatureConfig { chunk_length, n_fft, num_chroma, .. } = self.config;
        check_rate(self.config.sampling_rate, sampling_rate)?;
        check_finite(samples)?;
        if samples.is_empty() {
            return Err(Error::input("a melody without samples"));
        }
        let most = chunk_length.saturating_mul(sampling_rate as usize);
        if samples.len() > most {
            warn(&format!("only the first {chunk_length} seconds of the melody are heard"));
        }
        let samples = &samples[..samples.len().min(most)];
        let short = n_fft.saturating_sub(samples.len());
        let mut whole = vec![0.0; short / 2];
        whole.extend(samples);
        whole.resize(whole.len() + short.div_ceil(2), 0.0);
        // Frames are centered on their samples; beyond the ends there is what the ends mirror.
        let (half, end) = (n_fft / 2, whole.len() - 1);
        let mut mirrored: Vec<f32> = whole[1..=half].iter().rev().copied().collect();
        mirrored.extend(&whole);
        mirrored.extend(whole[end - half..end].iter().rev());
        let mut values = Vec::new();
        self.power.append(&mirrored, &mut values);
        for frame in values.chunks_exact_mut(num_chroma) {
            let loudest =
                (1..num_chroma).fold(0, |most, at| if frame[at] > frame[most] { at } else { most });
            frame.fill(0.0);
            frame[loudest] = 1.0;
        }
        let frames = values.len() / num_chroma;
        AudioFeatures::new(values, num_chroma, frames)
    }
}

/// For each pitch what it has of each bin: `chroma_filter_bank` of transformers' `audio_utils.py`.
fn filters(n_fft: usize, pitches: usize, rate: f64) -> Vec<Vec<f64>> {
    let count = pitches as f64;
    let place =
        |bin: usize| count * (rate * bin as f64 / n_fft as f64 / (440.0 / 16.0)).ln() / LN_2;
    // The bin of 0 Hz lies an octave and a half below the next.
    let places: Vec<f64> =
        (0..n_fft).map(|bin| if bin == 0 { place(1) - 1.5 * count } else { place(bin) }).collect();
    let bins = n_fft / 2 + 1;
    let half = (count / 2.0).round_ties_even();
    let mut filters = vec![vec![0.0; bins]; pitches];
    for bin in 0..bins {
        let width = match places.get(bin + 1) {
            Some(next) => (next - places[bin]).max(1.0),
            None => 1.0,
        };
        let bumps = (0..pitches).map(|pitch| {
            let apart = places[bin] - pitch as f64 + half + 10.0 * count;
            let apart = apart.rem_euclid(count) - half;
            (-0.5 * (2.0 * apart / width).powi(2)).exp()
        });
        let bumps: Vec<f64> = bumps.collect();
        let length = bumps.iter().map(|bump| bump * bump).sum::<f64>().sqrt();
        let weight = (-0.5 * ((places[bin] / count - 5.0) / 2.0).powi(2)).exp();
        for (pitch, bump) in bumps.into_iter().enumerate() {
            // From C on, and not from A.
            let row = (pitch + pitches - 3 * (pitches / 12) % pitches) % pitches;
            filters[row][bin] = f64::from((bump / length * weight) as f32);
        }
    }
    filters
}
