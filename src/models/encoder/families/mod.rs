//! Encoder families: data, one file each, written as "BERT, except …".

mod albert;
mod bert;
mod deberta;
mod distilbert;
mod electra;
mod modernbert;
mod mpnet;
mod nomic;
mod roberta;

#[cfg(feature = "audio")]
pub(in crate::models) use roberta::config as roberta_config;

use crate::error::Result;
use crate::models::encoder::config::EncoderConfig;
use crate::models::raw_config::RawConfig;
use crate::weights::names::Rule;

/// An encoder family: how its config is read and what its tensors are called.
#[derive(Debug)]
pub(crate) struct Family {
    /// `model_type` in config.json.
    pub(crate) model_types: &'static [&'static str],
    /// `general.architecture` in GGUF metadata.
    pub(crate) gguf_architectures: &'static [&'static str],
    /// What checkpoints with a head put before the names of the base model's tensors, one of these:
    /// `base_model_prefix` in transformers.
    pub(crate) prefixes: &'static [&'static str],
    /// Reads the config.
    pub(crate) config: fn(&RawConfig) -> Result<EncoderConfig>,
    /// Names that differ from BERT's in Hugging Face checkpoints.
    pub(crate) safetensors: &'static [Rule],
    /// Names that differ from the common ones in GGUF files.
    pub(crate) gguf: &'static [Rule],
}

/// Every encoder family there is. Adding one is a file and a line here.
pub(crate) const FAMILIES: &[&Family] = &[
    &albert::FAMILY,
    &bert::FAMILY,
    &deberta::FAMILY,
    &distilbert::FAMILY,
    &electra::FAMILY,
    &modernbert::FAMILY,
    &mpnet::FAMILY,
    &nomic::FAMILY,
    &roberta::FAMILY,
];

/// The base of a rope as transformers 5 spells it, which must not be scaled.
fn plain_rope(section: &RawConfig, default: f64) -> Result<f64> {
    for field in ["rope_type", "type"] {
        if !matches!(section.text(field)?, None | Some("default")) {
            return Err(section.refuse(field, "encoders are known without scaling only"));
        }
    }
    section.number("rope_theta", default)
}
