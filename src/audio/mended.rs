//! A file as its demuxer is to see it: with what is wrong in it made right, and nothing of it copied.

use std::io::{Read, Result, Seek, SeekFrom};
use std::ops::Range;

use symphonia::core::io::MediaSource;

/// What is to be read in place of a file's own bytes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Mend {
    /// What comes before the part of the file.
    pub(super) prefix: Vec<u8>,
    /// The part of the file.
    pub(super) part: Range<u64>,
    /// Where bytes of the file are others, and which, in order and apart.
    pub(super) patches: Vec<(u64, Vec<u8>)>,
}

impl Mend {
    /// A file of so many bytes as it is.
    pub(super) fn none(length: u64) -> Self {
        Self { part: 0..length, ..Self::default() }
    }
}

/// A file with its mend.
pub(super) struct Mended<S> {
    source: S,
    mend: Mend,
    position: u64,
}

impl<S: Read + Seek> Mended<S> {
    pub(super) fn new(mut source: S, mend: Mend) -> Result<Self> {
        source.seek(SeekFrom::Start(mend.part.start))?;
        Ok(Self { source, mend, position: 0 })
    }

    fn length(&self) -> u64 {
        self.mend.prefix.len() as u64 + (self.mend.part.end - self.mend.part.start)
    }
}

impl<S: Read> Read for Mended<S> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let prefix = &self.mend.prefix;
        let rest = usize::try_from(self.position).ok().and_then(|at| prefix.get(at..));
        let read = match rest.filter(|prefix| !prefix.is_empty()) {
            Some(mut prefix) => prefix.read(buffer)?,
            None => {
                let at = self.mend.part.start + (self.position - prefix.len() as u64);
                let rest = self.mend.part.end.saturating_sub(at);
                let most = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
                let read = self.source.read(&mut buffer[..most])?;
                patch(&mut buffer[..read], at, &self.mend.patches);
                read
            }
        };
        self.position += read as u64;
        Ok(read)
    }
}

/// Puts in what others lie among the bytes of a file from `at` on.
fn patch(bytes: &mut [u8], at: u64, patches: &[(u64, Vec<u8>)]) {
    let end = at + bytes.len() as u64;
    for (start, patch) in patches {
        let (from, to) = (at.max(*start), end.min(start + patch.len() as u64));
        if from < to {
            let own = &patch[(from - start) as usize..(to - start) as usize];
            bytes[(from - at) as usize..(to - at) as usize].copy_from_slice(own);
        }
    }
}

impl<S: Read + Seek> Seek for Mended<S> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.length().checked_add_signed(by),
        };
        let position = position.ok_or(std::io::ErrorKind::InvalidInput)?;
        let behind_prefix = position.saturating_sub(self.mend.prefix.len() as u64);
        self.source.seek(SeekFrom::Start(self.mend.part.start.saturating_add(behind_prefix)))?;
        self.position = position;
        Ok(position)
    }
}

impl<S: Read + Seek + Send + Sync> MediaSource for Mended<S> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_mend_is_seen_from_everywhere() {
        let file: Vec<u8> = (0..100).collect();
        let patches = vec![(10, vec![200, 201, 202, 203]), (50, vec![204])];
        let mend = Mend { prefix: vec![255; 3], part: 8..60, patches };
        let mut whole = [vec![255; 3], (8..60).collect()].concat();
        whole[5..9].copy_from_slice(&[200, 201, 202, 203]);
        whole[45] = 204;
        let mut mended = Mended::new(Cursor::new(&file), mend).unwrap();
        let mut found = Vec::new();
        mended.read_to_end(&mut found).unwrap();
        assert_eq!(found, whole);
        for size in 1..7 {
            for start in 0..whole.len() {
                mended.seek(SeekFrom::Start(start as u64)).unwrap();
                let mut some = vec![0; size.min(whole.len() - start)];
                mended.read_exact(&mut some).unwrap();
                assert_eq!(some, whole[start..start + some.len()]);
            }
        }
        assert_eq!(mended.seek(SeekFrom::End(-1)).unwrap(), 54);
        assert_eq!(mended.byte_len(), Some(55));
    }
}
