//! `SpeechT5HifiGan`: the vocoder of SpeechT5, which is a checkpoint of its own.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::speech::synthesis::hifigan::{HifiGan, HifiGanConfig, sampling_rate};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::names::NameTable;
use crate::weights::{Inventory, Weights};

/// `SpeechT5HifiGan` of transformers: from a log-mel spectrogram to samples.
#[derive(Debug)]
pub struct SpeechT5HifiGan {
    network: HifiGan,
    hop: usize,
    bins: usize,
    sampling_rate: u32,
    /// What is taken from frames, and what they are divided by then: `(bins)` each.
    normalization: Option<[Tensor; 2]>,
    device: Device,
    inventory: Inventory,
}

impl SpeechT5HifiGan {
    /// Reads a checkpoint such as `microsoft/speecht5_hifigan`.
    ///
    /// # Errors
    ///
    /// When it is another model, or its weights are missing or broken.
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let raw = RawConfig::read(files)?;
        if raw.model_type()? != "hifigan" {
            let found = raw.model_type()?;
            return Err(Error::unsupported(format!(
                "{found:?} where a vocoder, \"hifigan\", is wanted"
            )));
        }
        let bins = raw.optional_size("model_in_dim")?.unwrap_or(80);
        let config = HifiGanConfig::read(&raw, bins, [&[4; 4], &[8; 4]])?;
        let sampling_rate = sampling_rate(&raw)?;
        let weights = Weights::open(files, NameTable::stored_names(), options)?;
        let normalization = match raw.flag("normalize_before", true)? {
            true => Some([weights.tensor("mean", &[bins])?, weights.tensor("scale", &[bins])?]),
            false => None,
        };
        Ok(Self {
            network: HifiGan::load(&weights, &config)?,
            hop: config.hop(),
            bins,
            sampling_rate,
            normalization,
            device: weights.device().clone(),
            inventory: weights.inventory(),
        })
    }

    /// Samples per second.
    #[must_use]
    pub fn sampling_rate(&self) -> u32 {
        self.sampling_rate
    }

    /// The samples of a frame.
    #[must_use]
    pub fn hop(&self) -> usize {
        self.hop
    }

    /// Channels of a frame.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.bins
    }

    /// The parts of the model.
    #[must_use]
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// The samples of a log-mel spectrogram, `(frames, bins)`.
    ///
    /// # Errors
    ///
    /// When the frames have other channels, or there are none.
    pub fn forward(&self, spectrogram: &Tensor) -> Result<Vec<f32>> {
        let (frames, bins) = spectrogram.dims2()?;
        if frames == 0 || bins != self.bins {
            let wanted = self.bins;
            return Err(Error::input(format!("{frames} frames of {bins} channels, not {wanted}")));
        }
        let x = spectrogram.to_device(&self.device)?.to_dtype(DType::F32)?;
        let x = match &self.normalization {
            None => x,
            Some([mean, scale]) => {
                let (mean, scale) = (mean.to_dtype(DType::F32)?, scale.to_dtype(DType::F32)?);
                x.broadcast_sub(&mean)?.broadcast_div(&scale)?
            }
        };
        self.network.forward(&x, None)
    }
}
