//! The Hugging Face Hub. The only file that knows hf-hub (feature `hub`).

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::source::ModelSource;

/// A repository on the Hugging Face Hub.
#[derive(Debug, Clone)]
pub struct HubRepo {
    id: String,
}

/// How far a download is.
#[derive(Debug, Clone)]
pub struct DownloadProgress {}

impl HubRepo {
    pub(super) fn new(id: impl Into<String>) -> Self {
        Self { id: id.into() }
    }

    /// A GGUF file inside this repository.
    #[must_use]
    pub fn gguf(self, file: impl Into<String>) -> ModelSource {
        ModelSource::HubGguf { repo: self, file: file.into() }
    }

    pub(super) fn open(&self) -> Result<OpenRepo> {
        Err(Error::FeatureDisabled { feature: "hub" })
    }
}

#[derive(Debug)]
pub(super) struct OpenRepo {
    id: String,
}

impl OpenRepo {
    pub(super) fn optional(&self, _name: &str) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    pub(super) fn required(&self, name: &str, needed_for: &str) -> Result<PathBuf> {
        self.optional(name)?.ok_or_else(|| Error::MissingFile {
            origin: self.to_string(),
            file: name.to_owned(),
            reason: format!("it holds {needed_for}"),
        })
    }
}

impl fmt::Display for OpenRepo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}
