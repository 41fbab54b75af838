//! A local folder laid out like a Hub repository.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::source::lfs;

#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let metadata = path.metadata().map_err(Error::read(path))?;
        if !metadata.is_dir() {
            return Err(Error::malformed(
                path,
                "is a file where a model's folder is wanted: name the folder that it is in",
            ));
        }
        Ok(Self { path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn optional(&self, name: &str) -> Result<Option<PathBuf>> {
        let path = self.path.join(name);
        if !path.try_exists().map_err(Error::read(&path))? {
            return Ok(None);
        }
        lfs::refuse_pointer(&path)?;
        Ok(Some(path))
    }
}
