//! A family of encoder-decoders that hear: data.

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::speech::config::SpeechSeq2SeqConfig;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::Weights;
use crate::weights::names::{NameTable, Rule};

/// A family of encoder-decoders that hear: how its config is read and what its tensors are called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    /// `model_type` in config.json.
    pub(crate) model_types: &'static [&'static str],
    /// Sizes and special ids of the reference's config class, which config.json may leave out.
    pub(crate) defaults: &'static [(&'static str, u32)],
    /// Fields that the class knows by two names: pairs of the common one, which wins, and its own.
    pub(crate) attribute_map: &'static [(&'static str, &'static str)],
    /// Reads the config.
    pub(crate) config: fn(&RawConfig) -> Result<SpeechSeq2SeqConfig>,
    /// What the tensors of the family and of its kin are called.
    pub(crate) base_names: &'static [Rule],
    /// What differs in the family.
    pub(crate) names: &'static [Rule],
    /// What checkpoints with a head put before the names of the base model's tensors.
    pub(crate) prefix: &'static str,
}

impl Family {
    /// What a model with this config.json is made of.
    pub(crate) fn read(&self, raw: &RawConfig) -> Result<SpeechSeq2SeqConfig> {
        (self.config)(&self.with_defaults(raw).with_attribute_map(self.attribute_map))
    }

    /// A config with the sizes and special ids of the reference's class where it has none.
    pub(crate) fn with_defaults(&self, raw: &RawConfig) -> RawConfig {
        self.defaults
            .iter()
            .fold(raw.clone(), |raw, &(field, value)| raw.with_default(field, value))
    }

    /// The weights of an opened source under our names.
    pub(crate) fn weights(&self, files: &ModelFiles, options: &LoadOptions) -> Result<Weights> {
        let names = NameTable { base: self.base_names, own: self.names };
        Ok(Weights::open(files, names, options)?.base_model_prefix(self.prefix))
    }
}
