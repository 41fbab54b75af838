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
            // As in a copy of the Hub's cache without its blobs.
            return match path.read_link() {
                Ok(to) => Err(Error::malformed(
                    &path,
                    format!(
                        "is a link to {:?}, which is not there: download the file again",
                        to.display().to_string()
                    ),
                )),
                Err(_) => Ok(None),
            };
        }
        lfs::refuse_pointer(&path)?;
        Ok(Some(path))
    }
}
