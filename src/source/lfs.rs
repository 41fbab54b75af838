//! The stand-ins that Git leaves where it did not fetch a large file.
//!
//! Format: <https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md>.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::source::file;

/// Refuses a pointer in place of a file.
///
/// # Errors
///
/// When the file is a pointer. A file that cannot be read is left to its reader.
pub(super) fn refuse_pointer(path: &Path) -> Result<()> {
    let is_small = |found: fs::Metadata| found.is_file() && found.len() < LARGEST;
    if !path.metadata().is_ok_and(is_small) {
        return Ok(());
    }
    let text = file::read_text(path).unwrap_or_default();
    if !text.starts_with(MAGIC) {
        return Ok(());
    }
    let size = text.lines().find_map(|line| line.strip_prefix("size "));
    let size = size.map(|size| format!(" of {size} bytes")).unwrap_or_default();
    Err(Error::malformed(
        path,
        format!(
            "is a Git LFS pointer: Git has not fetched the file{size} itself. Run `git lfs install` and \
             `git lfs pull` in its folder, or download the file from the Hub"
        ),
    ))
}

/// What a pointer begins with.
const MAGIC: &str = "version https://git-lfs.github.com/spec/v1";

/// A pointer is smaller than this, by its specification.
const LARGEST: u64 = 1024;
