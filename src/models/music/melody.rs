//! Music that follows a melody: the pitches of a recording, and the text, stand before the first frame.

use candle_core::Tensor;

use crate::audio::AudioFeatures;
use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::weights::{Bias, Linear, Weights};

/// What a model does with melodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MelodyConfig {
    /// Pitches of an octave.
    pitches: usize,
    /// Frames of a melody, which is repeated or cut to that.
    pub(super) frames: usize,
}

/// The same with its weights.
#[derive(Debug)]
pub(super) struct Melody {
    pub(super) config: MelodyConfig,
    /// `None` where a vector has as many channels as there are pitches.
    projection: Option<Linear>,
}

impl MelodyConfig {
    pub(super) fn read(raw: &RawConfig) -> Result<Self> {
        let size = |field: &str, default: usize| match raw.optional_size(field)?.unwrap_or(default)
        {
            size if size < 1 << 16 => Ok(size),
            _ => Err(raw.refuse(field, "it is absurd")),
        };
        Ok(Self { pitches: size("num_chroma", 12)?, frames: size("chroma_length", 235)? })
    }

    /// The most vectors before the first frame.
    pub(super) fn vectors(self) -> usize {
        self.frames + MOST_TEXT
    }

    pub(super) fn load(self, weights: &Weights, hidden: usize) -> Result<Melody> {
        let projection = match self.pitches == hidden {
            true => None,
            false => {
                Some(weights.linear("melody_projection", self.pitches, hidden, Bias::Present)?)
            }
        };
        Ok(Melody { config: self, projection })
    }
}

impl Melody {
    /// The vectors of a melody, or of none, `(frames, hidden)`, like others of a text.
    pub(super) fn vectors(
        &self,
        features: Option<&AudioFeatures>,
        like: &Tensor,
    ) -> Result<Tensor> {
        let MelodyConfig { pitches, frames } = self.config;
        let (heard, width) = match features {
            Some(features) => (features.values().to_vec(), features.width()),
            // The first pitch stands for silence.
            None => ((0..pitches).map(|at| if at == 0 { 1.0 } else { 0.0 }).collect(), pitches),
        };
        let count = heard.len() / width.max(1);
        if width != pitches || count == 0 {
            return Err(Error::input(format!(
                "a melody of {count} frames of {width} pitches, not of {pitches}"
            )));
        }
        let x = Tensor::from_vec(heard, (count, width), like.device())?.to_dtype(like.dtype())?;
        let x = match &self.projection {
            Some(projection) => projection.forward(&x)?,
            None => x,
        };
        let places = (0..frames).map(|frame| (frame % count) as u32);
        Ok(x.index_select(&Tensor::from_iter(places, like.device())?, 0)?)
    }
}

/// Tokens of a text.
pub(super) const MOST_TEXT: usize = 4096;
