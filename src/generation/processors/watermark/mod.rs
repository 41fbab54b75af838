//! Watermarks: text that says by itself that it was generated.

mod bayesian;
mod detector;
mod greenlist;
mod synth_id;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use super::LogitsProcessor;
use crate::error::Result;
use crate::read::read;

pub use bayesian::SynthIdDetector;
pub use detector::{WatermarkDetection, WatermarkDetector};
pub use greenlist::{SeedingScheme, Watermark, WatermarkingConfig};
pub use synth_id::{SynthId, SynthIdConfig};

/// The kinds of watermarks. As JSON an object, which is a SynthID watermark if it has `keys` or `ngram_len`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Watermarking {
    /// Tokens that a key decides are likelier: [`Watermark`].
    Greenlist(WatermarkingConfig),
    /// Keys decide by which random numbers tokens are drawn: [`SynthId`].
    SynthId(SynthIdConfig),
}

impl Watermarking {
    /// What makes the watermark, after a prompt of so many tokens.
    pub(in crate::generation) fn processor(
        &self,
        vocab: usize,
        prompt: usize,
    ) -> Result<Box<dyn LogitsProcessor>> {
        Ok(match self {
            Self::Greenlist(config) => Box::new(Watermark::new(config, vocab)?),
            Self::SynthId(config) => Box::new(SynthId::new(config, prompt)?),
        })
    }
}

impl<'de> Deserialize<'de> for Watermarking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let config = Value::deserialize(deserializer)?;
        let is_synth_id = config.get("keys").or_else(|| config.get("ngram_len")).is_some();
        let watermarking = match is_synth_id {
            true => read(&config).map(Self::SynthId),
            false => read(&config).map(Self::Greenlist),
        };
        watermarking.map_err(de::Error::custom)
    }
}

impl From<WatermarkingConfig> for Watermarking {
    fn from(config: WatermarkingConfig) -> Self {
        Self::Greenlist(config)
    }
}

impl From<SynthIdConfig> for Watermarking {
    fn from(config: SynthIdConfig) -> Self {
        Self::SynthId(config)
    }
}

/// A table that is shared by clones, and that `Debug` does not print.
#[derive(Clone)]
struct Table<T>(Arc<[T]>);

impl<T> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} items", self.0.len())
    }
}
