//! How the packets of a Matroska track are packed: without the bytes that all of them begin with, or deflated. mkvmerge
//! once did the first for every mp3 and AC-3. Symphonia reads over it, and its decoders would make noise of them.

use std::collections::HashMap;
use std::io::Cursor;

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use crate::audio::decoder::CONVERT;
use crate::audio::ebml::Element;

/// How packets are packed.
#[derive(Debug, PartialEq)]
pub(super) enum Packing {
    /// These bytes come before each.
    Prefix(Vec<u8>),
    Zlib,
    /// In another way, or encrypted.
    Unknown,
}

impl Packing {
    /// Of the tracks that are packed, by their numbers, from the inside of the element `Tracks`. What is broken is left
    /// for the demuxer to report.
    pub(super) fn of_tracks(tracks: &[u8]) -> HashMap<u64, Self> {
        let mut packings = HashMap::new();
        for (_, track) in elements(tracks).into_iter().filter(|(id, _)| *id == TRACK_ENTRY) {
            let mut number = 0;
            let mut packing = None;
            for (id, inside) in elements(track) {
                match id {
                    TRACK_NUMBER => number = unsigned(inside),
                    CONTENT_ENCODINGS => packing = Self::of_encodings(inside),
                    _ => {}
                }
            }
            if let Some(packing) = packing {
                packings.insert(number, packing);
            }
        }
        packings
    }

    fn of_encodings(encodings: &[u8]) -> Option<Self> {
        let encodings = elements(encodings).into_iter().filter(|(id, _)| *id == CONTENT_ENCODING);
        let of_packets = |(_, inside): (u64, &[u8])| {
            let parts = elements(inside);
            let part =
                |wanted| parts.iter().find(|(id, _)| *id == wanted).map(|(_, inside)| *inside);
            // Others are of what is said about the track.
            let is_of_packets = part(SCOPE).is_none_or(|scope| unsigned(scope) & 1 == 1);
            let Some(compression) =
                part(COMPRESSION).filter(|_| part(TYPE).is_none_or(|it| unsigned(it) == 0))
            else {
                return is_of_packets.then_some(Self::Unknown);
            };
            let parts = elements(compression);
            let part =
                |wanted| parts.iter().find(|(id, _)| *id == wanted).map(|(_, inside)| *inside);
            is_of_packets.then(|| match part(ALGORITHM).map_or(0, unsigned) {
                0 => Self::Zlib,
                3 => Self::Prefix(part(SETTINGS).unwrap_or_default().to_vec()),
                _ => Self::Unknown,
            })
        };
        let mut found: Vec<_> = encodings.filter_map(of_packets).collect();
        match found.len() {
            0 | 1 => found.pop(),
            _ => Some(Self::Unknown),
        }
    }

    /// A packet as it was.
    ///
    /// # Errors
    ///
    /// Why that cannot be done.
    pub(super) fn unpack(&self, packet: &[u8]) -> Result<Box<[u8]>, String> {
        match self {
            Self::Prefix(prefix) => Ok([prefix, packet].concat().into_boxed_slice()),
            Self::Zlib => decompress_to_vec_zlib_with_limit(packet, MOST_BYTES)
                .map(Vec::into_boxed_slice)
                .map_err(|error| format!("a packet cannot be inflated: {error}")),
            Self::Unknown => {
                Err(format!("its packets are encrypted, or packed in an unusual way: {CONVERT}"))
            }
        }
    }
}

/// The elements in `bytes`: their ids and insides.
fn elements(bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let end = bytes.len() as u64;
    let mut found = Vec::new();
    let mut at = 0;
    while at < end {
        let Ok(element) = Element::read(&mut Cursor::new(bytes), at, end) else { break };
        let Some(inside_end) = element.end else { break };
        let Some(inside) = bytes.get(element.start as usize..inside_end as usize) else { break };
        found.push((element.id, inside));
        at = inside_end;
    }
    found
}

fn unsigned(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

const TRACK_ENTRY: u64 = 0xAE;
const TRACK_NUMBER: u64 = 0xD7;
const CONTENT_ENCODINGS: u64 = 0x6D80;
const CONTENT_ENCODING: u64 = 0x6240;
const SCOPE: u64 = 0x5032;
const TYPE: u64 = 0x5033;
const COMPRESSION: u64 = 0x5034;
const ALGORITHM: u64 = 0x4254;
const SETTINGS: u64 = 0x4255;
/// Of a packet; PCM has the largest, of less than a second.
const MOST_BYTES: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    fn element(id: &[u8], inside: &[u8]) -> Vec<u8> {
        [id, &[0x80 | inside.len() as u8], inside].concat()
    }

    fn tracks(encodings: &[u8]) -> Vec<u8> {
        let track = [element(&[0xD7], &[2]), element(&[0x6D, 0x80], encodings)].concat();
        [element(&[0xAE], &element(&[0xD7], &[1])), element(&[0xAE], &track)].concat()
    }

    #[test]
    fn packets_are_as_they_were() {
        let encoding = |inside: &[u8]| element(&[0x62, 0x40], inside);
        let prefix = [element(&[0x42, 0x54], &[3]), element(&[0x42, 0x55], b"\xFF\xFB")].concat();
        let prefix = encoding(&element(&[0x50, 0x34], &prefix));
        let found = Packing::of_tracks(&tracks(&prefix));
        assert_eq!(found.len(), 1);
        assert_eq!(&*found[&2].unpack(b"abc").unwrap(), b"\xFF\xFBabc");
        // Zlib is what is not said.
        let zlib = encoding(&element(&[0x50, 0x34], &[]));
        let found = Packing::of_tracks(&tracks(&zlib));
        let packed = miniz_oxide::deflate::compress_to_vec_zlib(&[7; 1_000], 6);
        assert_eq!(&*found[&2].unpack(&packed).unwrap(), [7; 1_000]);
        assert!(found[&2].unpack(b"not deflated").unwrap_err().contains("inflated"));
        // Of what is said about the track alone.
        let private = [element(&[0x50, 0x32], &[2]), element(&[0x50, 0x34], &[])].concat();
        assert!(Packing::of_tracks(&tracks(&encoding(&private))).is_empty());
        // Encrypted, packed by bzip2, and packed twice.
        let encrypted = encoding(&element(&[0x50, 0x33], &[1]));
        let bzip2 = encoding(&element(&[0x50, 0x34], &element(&[0x42, 0x54], &[1])));
        for encodings in [encrypted, bzip2, [zlib, prefix].concat()] {
            let found = Packing::of_tracks(&tracks(&encodings));
            assert!(found[&2].unpack(b"abc").unwrap_err().contains("convert the file"));
        }
        // What breaks off.
        for length in 0..40 {
            Packing::of_tracks(&tracks(&private)[..length.min(tracks(&private).len())]);
        }
    }
}
