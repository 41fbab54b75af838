//! What QuickTime files say about their samples beyond mp4, which symphonia reads over.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_ALAC, CODEC_ID_PCM_F32BE, CODEC_ID_PCM_F32LE, CODEC_ID_PCM_F64BE, CODEC_ID_PCM_F64LE,
    CODEC_ID_PCM_S24BE, CODEC_ID_PCM_S24LE, CODEC_ID_PCM_S32BE, CODEC_ID_PCM_S32LE,
};

/// What is to be known about the samples of a track.
#[derive(Debug, PartialEq)]
pub(super) enum Mp4Sound {
    /// Their bytes are in the other order than symphonia supposes.
    BigEndian,
    /// ALAC, with its configuration.
    Alac(Vec<u8>),
}

impl Mp4Sound {
    /// Of a sample entry, <https://developer.apple.com/documentation/quicktime-file-format>.
    pub(super) fn of(entry: &[u8]) -> Option<Self> {
        let (name, entry) = first_box(entry)?;
        // Two numbers are the version of the entry, which says how long it is.
        let wave = || {
            let children = match entry.get(8..10)? {
                [0, 0] => 28,
                [0, 1] => 44,
                _ => return None,
            };
            find(entry.get(children..)?, *b"wave")
        };
        match &name {
            // The other order is said in an atom of its own.
            b"in24" | b"in32" | b"fl32" | b"fl64" => {
                let is_little = wave().and_then(|wave| find(wave, *b"enda")) == Some(&[0, 1]);
                (!is_little).then_some(Self::BigEndian)
            }
            // After the version and flags.
            b"alac" => Some(Self::Alac(find(wave()?, *b"alac")?.get(4..)?.to_vec())),
            _ => None,
        }
    }

    /// Says it to the decoder.
    pub(super) fn apply(&self, parameters: &mut AudioCodecParameters) {
        match self {
            Self::Alac(configuration) => {
                parameters.codec = CODEC_ID_ALAC;
                parameters.extra_data = Some(configuration.clone().into_boxed_slice());
            }
            Self::BigEndian => {
                parameters.codec = match parameters.codec {
                    CODEC_ID_PCM_S24LE => CODEC_ID_PCM_S24BE,
                    CODEC_ID_PCM_S32LE => CODEC_ID_PCM_S32BE,
                    CODEC_ID_PCM_F32LE => CODEC_ID_PCM_F32BE,
                    CODEC_ID_PCM_F64LE => CODEC_ID_PCM_F64BE,
                    codec => codec,
                }
            }
        }
    }
}

/// The inside of the first of `boxes` with a name.
fn find(mut boxes: &[u8], name: [u8; 4]) -> Option<&[u8]> {
    loop {
        let (found, inside) = first_box(boxes)?;
        if found == name {
            return Some(inside);
        }
        boxes = &boxes[8 + inside.len()..];
    }
}

/// The name and the inside of the first of `boxes`.
fn first_box(boxes: &[u8]) -> Option<([u8; 4], &[u8])> {
    let (&[a, b, c, d, name @ ..], rest) = boxes.split_first_chunk::<8>()?;
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    Some((name, rest.get(..size.checked_sub(8)?)?))
}
