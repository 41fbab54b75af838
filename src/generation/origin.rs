//! Whose fault a bad option is: the caller's, or the file's that set it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::generation::config::GenerationConfig;

/// The files that options were read from, and what each says. Ignored when options are compared.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin(Vec<Arc<(PathBuf, GenerationConfig)>>);

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Origin {
    pub(super) fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }
}

impl GenerationConfig {
    /// The same options, remembered as those of a file.
    pub(super) fn stored_in(mut self, path: &Path) -> Self {
        self.origin = Origin(vec![Arc::new((path.to_owned(), self.clone()))]);
        self
    }

    /// The error about an option. It blames the file if the option still has the file's value.
    pub(super) fn blame(&self, error: Error) -> Error {
        let Error::InvalidOption { option, reason } = &error else { return error };
        let says = |origin: &&Arc<(PathBuf, Self)>| self.agrees(&origin.1, option);
        match self.origin.0.iter().rfind(says) {
            // It is refused only beside a longer prompt.
            Some(origin) if option != "max_length" => {
                Error::malformed(&origin.0, format!("option `{option}`: {reason}"))
            }
            _ => error,
        }
    }
}
