//! A local folder laid out like a Hub repository.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let metadata = path.metadata().map_err(Error::read(path))?;
        if !metadata.is_dir() {
            return Err(Error::malformed(path, "is a file where a model folder was expected"));
        }
        Ok(Self { path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn optional(&self, name: &str) -> Result<Option<PathBuf>> {
        let path = self.path.join(name);
        Ok(path.try_exists().map_err(Error::read(&path))?.then_some(path))
    }
}
