//! The lengths in an aiff file that breaks off, made right: symphonia refuses it else.

use std::io::{Read, Seek, SeekFrom};

use crate::audio::mended::Mend;

/// What is to be read in place of a file's own lengths; nothing where it is whole, or where its sound is not there.
pub(super) fn mend(source: &mut (impl Read + Seek), length: u64) -> Option<Mend> {
    let mut at = 12;
    for _ in 0..MOST_CHUNKS {
        source.seek(SeekFrom::Start(at)).ok()?;
        let mut head = [0; 8];
        source.read_exact(&mut head).ok()?;
        let [name @ .., a, b, c, d] = head;
        let size = u64::from(u32::from_be_bytes([a, b, c, d]));
        let rest = length - (at + 8);
        if name == *b"SSND" && size > rest {
            let number =
                |length: u64| u32::try_from(length).ok().map(|it| it.to_be_bytes().to_vec());
            let patches = vec![(4, number(length - 8)?), (at + 4, number(rest)?)];
            return Some(Mend { patches, ..Mend::none(length) });
        }
        at += 8 + size + size % 2;
    }
    None
}

/// Real files have a handful.
const MOST_CHUNKS: u32 = 1_000;
