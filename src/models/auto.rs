//! From `config.json` or GGUF metadata to the model it names.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::models::CausalLm;
use crate::models::decoder::Decoder;
use crate::models::decoder::families::{FAMILIES, Family};
use crate::models::raw_config::RawConfig;
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource};

/// Reads `config.json` (or GGUF metadata) and builds whatever it names.
#[derive(Debug)]
pub struct AutoModel;

impl AutoModel {
    /// A decoder-only language model.
    ///
    /// # Errors
    ///
    /// When the source cannot be opened, its architecture is none of ours, its config asks for
    /// something unsupported, or its weights are missing, broken or of the wrong shape.
    pub fn causal_lm(
        source: impl Into<ModelSource>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn CausalLm>> {
        Self::causal_lm_from(&source.into().open()?, options)
    }

    /// As [`causal_lm`](Self::causal_lm), from a source that is open already.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn causal_lm_from(files: &ModelFiles, options: &LoadOptions) -> Result<Arc<dyn CausalLm>> {
        let raw = RawConfig::read(files)?;
        let name = raw.model_type()?;
        let names = |family: &Family| match files.gguf() {
            None => family.model_types,
            Some(_) => family.gguf_architectures,
        };
        let family =
            FAMILIES.iter().find(|family| names(family).contains(&name)).ok_or_else(|| {
                let known: Vec<_> =
                    FAMILIES.iter().flat_map(|family| names(family)).copied().collect();
                let origin = files.origin();
                Error::unsupported(format!(
                    "{origin} is of the architecture {name:?}; supported are {}",
                    known.join(", ")
                ))
            })?;
        Ok(Arc::new(Decoder::load(family, &raw, files, options)?))
    }
}
