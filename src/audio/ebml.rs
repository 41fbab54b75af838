//! EBML: what Matroska files are written in. RFC 8794.

use std::io::{Read, Result, Seek, SeekFrom};

/// The head of an EBML element.
pub(super) struct Element {
    pub(super) id: u64,
    /// Where its length is written.
    pub(super) size_at: u64,
    /// Where its inside starts and ends.
    pub(super) start: u64,
    /// `None`: not known, as in a live stream.
    pub(super) end: Option<u64>,
    /// Whether it should be longer.
    pub(super) is_cut: bool,
}

impl Element {
    pub(super) fn read(source: &mut (impl Read + Seek), at: u64, most: u64) -> Result<Self> {
        source.seek(SeekFrom::Start(at))?;
        let (id, id_length) = variable_length(source, true)?;
        let (size, size_length) = variable_length(source, false)?;
        let start = at + id_length + size_length;
        let is_unknown = size == (1 << (7 * size_length)) - 1;
        let stated = start.saturating_add(size);
        let end = stated.min(most).max(start);
        Ok(Self {
            id,
            size_at: at + id_length,
            start,
            end: (!is_unknown).then_some(end),
            is_cut: !is_unknown && stated > most,
        })
    }
}

/// A number whose first byte says how many bytes it has, with the bit that says so or without; and its length.
pub(super) fn variable_length(source: &mut impl Read, with_marker: bool) -> Result<(u64, u64)> {
    let mut first = [0];
    source.read_exact(&mut first)?;
    let length = u64::from(first[0].leading_zeros()) + 1;
    if length > 8 {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut bytes = [0; 8];
    let from = 8 - length as usize;
    bytes[from] = first[0];
    source.read_exact(&mut bytes[from + 1..])?;
    let marker = 1 << (7 * length);
    let number = u64::from_be_bytes(bytes);
    Ok((if with_marker { number } else { number & (marker - 1) }, length))
}
