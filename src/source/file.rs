//! The only place that opens a model's files: regular files, of bounded size if they are read into
//! memory.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Opens a regular file, or a link to one. A pipe would block, and a device may never end.
pub(crate) fn open(path: &Path) -> Result<File> {
    // Checked before it is opened: opening a pipe waits for a writer.
    let kind = path.metadata().map_err(Error::read(path))?.file_type();
    if kind.is_file() {
        return File::open(path).map_err(Error::read(path));
    }
    let found = if kind.is_dir() { "a folder" } else { "a pipe, a socket or a device" };
    Err(Error::malformed(path, format!("is {found} where a regular file is wanted")))
}

/// The bytes of a file that is read into memory.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut file = open(path)?;
    let size = file.metadata().map_err(Error::read(path))?.len();
    if size > MOST_BYTES {
        let reason = format!("has {size} bytes; files of this kind have at most {MOST_BYTES}");
        return Err(Error::malformed(path, reason));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    file.read_to_end(&mut bytes).map_err(Error::read(path))?;
    Ok(bytes)
}

/// The text of a file in UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::malformed(
            path,
            format!("is not text in UTF-8: byte {at} does not begin a character"),
        )
    })
}

/// A quarter of a gigabyte: ten times the largest vocabulary there is. Weights are not read into memory but
/// mapped.
const MOST_BYTES: u64 = 1 << 28;
