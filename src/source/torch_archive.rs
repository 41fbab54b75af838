//! The archive that `torch.save` writes: a pickle, and a member for each storage.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use crate::source::pickle::Parsed;

/// Where the parts of an archive lie in the file.
#[derive(Debug)]
pub(crate) struct TorchArchive {
    /// Of the pickle.
    pub(crate) pickle: Range<usize>,
    folder: String,
    members: HashMap<String, Range<usize>>,
}

impl TorchArchive {
    /// Whether a file begins as these do.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(ZIP_MAGIC)
    }

    /// Finds the parts.
    pub(crate) fn open(bytes: &[u8]) -> Parsed<Self> {
        let mut archive = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| format!("{error}; if the file was cut off, download it again"))?;
        let mut members = HashMap::new();
        for index in 0..archive.len() {
            let member = archive.by_index_raw(index).map_err(|error| error.to_string())?;
            if member.compression() != CompressionMethod::Stored {
                continue;
            }
            let range = member
                .data_start()
                .and_then(|start| usize::try_from(start).ok())
                .and_then(|start| Some(start..start.checked_add(member.size().try_into().ok()?)?))
                .filter(|range| range.end <= bytes.len())
                .ok_or(
                    "is truncated: a member of its archive ends beyond the file; download it again",
                )?;
            members.insert(member.name().map_err(|error| error.to_string())?.into_owned(), range);
        }
        let (folder, pickle) = members
            .iter()
            .find_map(|(name, range)| Some((name.strip_suffix("data.pkl")?, range.clone())))
            .ok_or("holds no uncompressed data.pkl")?;
        let folder = folder.to_owned();
        if members
            .get(&format!("{folder}byteorder"))
            .is_some_and(|order| &bytes[order.clone()] == b"big")
        {
            return Err("was written by a big-endian machine".to_owned());
        }
        Ok(Self { pickle, folder, members })
    }

    /// Where a storage lies.
    pub(crate) fn storage(&self, key: &str) -> Option<Range<usize>> {
        self.members.get(&format!("{}data/{key}", self.folder)).cloned()
    }
}

const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
