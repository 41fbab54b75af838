//! Whose fault a bad option is: the caller's, or the file's that set it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The files that options were read from, and what each says. Ignored when options are compared.
#[derive(Debug, Clone)]
pub(super) struct Origin<T>(Vec<Arc<(PathBuf, T)>>);

impl<T> Origin<T> {
    pub(super) fn of(path: &Path, options: T) -> Self {
        Self(vec![Arc::new((path.to_owned(), options))])
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// The file that was read last of those whose options are looked for.
    pub(super) fn find(&self, says: impl Fn(&T) -> bool) -> Option<&Path> {
        self.0.iter().rfind(|origin| says(&origin.1)).map(|origin| origin.0.as_path())
    }
}

impl<T> Default for Origin<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> PartialEq for Origin<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
