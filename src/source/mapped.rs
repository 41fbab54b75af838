//! A file seen as bytes without being read into memory.
#![expect(unsafe_code, reason = "memory-mapping files")]

use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::{Error, Result};
use crate::source::file;

/// A memory-mapped file.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    bytes: Mmap,
}

impl MappedFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = file::open(path)?;
        // SAFETY: a map of a file that another process truncates or rewrites meanwhile would be
        // undefined behaviour; model files are not written to while they are in use, and copying
        // gigabytes to guard against it is what users complain of elsewhere.
        let bytes = unsafe { Mmap::map(&file) }.map_err(Error::read(path))?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Tells the system that these bytes have been used and need not stay in memory, so that a
    /// model being loaded is not counted twice. They can still be read, from the disk.
    pub(crate) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if !range.is_empty() && range.end <= self.bytes.len() {
            // SAFETY: dropping pages of a shared, read-only map of a file changes nothing that can
            // be seen: the next access reads the same bytes from the file again.
            let _ = unsafe {
                self.bytes.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}
