//! The headers of wav files, made right. Recorders that were switched off leave lengths of 0, writers to pipes of 4 GiB;
//! telephone systems leave out fields that symphonia insists on; long recordings are RF64.

use std::io::{Read, Seek, SeekFrom};

use crate::audio::decoder::CONVERT;
use crate::audio::mended::Mend;

/// A header as it should be, and where the samples lie in the file.
#[derive(Debug, PartialEq)]
pub(super) struct WavHeader {
    /// The header in place of the file's own: nothing where what follows is a whole file of its own, an mp3.
    pub(super) mend: Mend,
    /// Whether the file states no length.
    pub(super) is_open: bool,
}

impl WavHeader {
    /// Reads the header of a wav file. `None` where there is not all of it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn read(source: &mut (impl Read + Seek)) -> Option<Result<Self, String>> {
        let end = source.seek(SeekFrom::End(0)).ok()?;
        source.rewind().ok()?;
        let head: [u8; 12] = bytes(source)?;
        let is_wav = matches!(&head[..4], b"RIFF" | b"RF64" | b"BW64") && &head[8..] == b"WAVE";
        let (mut format, mut fact, mut long) = (None, None, None);
        let mut at = 12;
        for _ in 0..if is_wav { MOST_CHUNKS } else { 0 } {
            source.seek(SeekFrom::Start(at)).ok()?;
            let head: [u8; 8] = bytes(source)?;
            let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            match &head[..4] {
                b"fmt " => {
                    let mut chunk = Vec::new();
                    source.take(u64::from(size.min(MOST_FORMAT))).read_to_end(&mut chunk).ok()?;
                    format = Some(chunk);
                }
                b"fact" => fact = Some(u32::from_le_bytes(bytes(source)?)),
                b"ds64" => {
                    long = Some(u64::from_le_bytes(bytes::<16>(source)?[8..].try_into().ok()?))
                }
                b"data" => {
                    let start = at + 8;
                    let format = Format::parse(&format?);
                    let stated = long.filter(|_| size == u32::MAX).unwrap_or_else(|| size.into());
                    return Some(format.map(|format| format.header(fact, stated, start, end)));
                }
                _ => {}
            }
            // Chunks begin at even places.
            at += 8 + u64::from(size) + u64::from(size % 2);
        }
        None
    }
}

/// The format of the samples.
struct Format {
    tag: u16,
    channels: u16,
    sampling_rate: u32,
    block: u16,
    bits: u16,
    /// What only ADPCM has.
    extra: Vec<u8>,
}

impl Format {
    fn parse(chunk: &[u8]) -> Result<Self, String> {
        let short =
            |at: usize| chunk.get(at..at + 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let number = |at: usize| Some(u32::from(short(at)?) | u32::from(short(at + 2)?) << 16);
        let fields = (|| Some((short(0)?, short(2)?, number(4)?, short(12)?, short(14)?)))();
        let (tag, channels, sampling_rate, block, bits) =
            fields.ok_or("the wav's header breaks off")?;
        // Newer headers hide the format in the first two bytes of an id.
        let tag = if tag == EXTENSIBLE { short(24).unwrap_or(tag) } else { tag };
        if channels == 0 || sampling_rate == 0 {
            return Err(format!(
                "the wav's header states {channels} channels of {sampling_rate} Hz"
            ));
        }
        if channels > MOST_CHANNELS {
            return Err(format!(
                "a wav of {channels} channels; at most {MOST_CHANNELS} can be read"
            ));
        }
        // Samples of 12 bits take 16. Some writers put those of 24 in four bytes, at the top.
        let bytes = match block / channels {
            bytes if tag == PCM && bytes > bits.div_ceil(8) && bytes <= 4 => bytes,
            _ => bits.div_ceil(8),
        };
        let is_known = match tag {
            PCM => (1..=4).contains(&bytes),
            FLOAT => bytes == 4 || bytes == 8,
            ALAW | MULAW => bytes == 1,
            ADPCM_MS | ADPCM_IMA => bits == 4 && block >= 8 * channels,
            MPEG | MP3 => true,
            _ => {
                let known = OTHERS.iter().find(|(other, _)| *other == tag);
                let name = known.map(|(_, name)| format!(" ({name})")).unwrap_or_default();
                return Err(format!("unsupported wave format {tag:#x}{name}: {CONVERT}"));
            }
        };
        if !is_known {
            return Err(format!(
                "a wav of format {tag:#x} with {bits} bits a sample in blocks of {block} bytes"
            ));
        }
        let extra = match tag {
            ADPCM_MS | ADPCM_IMA => chunk.get(16..).unwrap_or_default().to_vec(),
            ALAW | MULAW => vec![0; 2],
            _ => Vec::new(),
        };
        let (block, bits) = match tag {
            PCM | FLOAT | ALAW | MULAW => (channels * bytes, 8 * bytes),
            _ => (block, bits),
        };
        Ok(Self { tag, channels, sampling_rate, block, bits, extra })
    }

    /// The header of samples that are said to take `stated` bytes from `start` on, in a file that ends at `end`.
    fn header(self, fact: Option<u32>, stated: u64, start: u64, end: u64) -> WavHeader {
        let there = end.saturating_sub(start);
        let is_unknown = stated == 0 || stated >= NO_LENGTH && stated > there;
        let samples = start..if is_unknown { end } else { start.saturating_add(stated).min(end) };
        if matches!(self.tag, MPEG | MP3) {
            let mend = Mend { part: samples, ..Mend::default() };
            return WavHeader { mend, is_open: is_unknown };
        }
        // What is missing is to be missed.
        let stated = if is_unknown { u32::MAX } else { u32::try_from(stated).unwrap_or(u32::MAX) };
        let mut bytes = [&b"RIFF"[..], &u32::MAX.to_le_bytes(), b"WAVEfmt "].concat();
        bytes.extend((16 + self.extra.len() as u32).to_le_bytes());
        bytes.extend(self.tag.to_le_bytes());
        bytes.extend(self.channels.to_le_bytes());
        bytes.extend(self.sampling_rate.to_le_bytes());
        bytes.extend(self.sampling_rate.saturating_mul(self.block.into()).to_le_bytes());
        bytes.extend(self.block.to_le_bytes());
        bytes.extend(self.bits.to_le_bytes());
        bytes.extend(self.extra);
        if let Some(fact) = fact {
            bytes.extend(b"fact\x04\0\0\0");
            bytes.extend(fact.to_le_bytes());
        }
        bytes.extend(b"data");
        bytes.extend(stated.to_le_bytes());
        let mend = Mend { prefix: bytes, part: samples, ..Mend::default() };
        WavHeader { mend, is_open: is_unknown }
    }
}

fn bytes<const LENGTH: usize>(source: &mut impl Read) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    source.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

const PCM: u16 = 1;
const ADPCM_MS: u16 = 2;
const FLOAT: u16 = 3;
const ALAW: u16 = 6;
const MULAW: u16 = 7;
const ADPCM_IMA: u16 = 0x11;
const MPEG: u16 = 0x50;
const MP3: u16 = 0x55;
const EXTENSIBLE: u16 = 0xFFFE;
/// Formats of wav files that are met with, and are not decoded.
const OTHERS: &[(u16, &str)] = &[
    (0x14, "G.723"),
    (0x20, "ADPCM of Yamaha"),
    (0x31, "GSM 6.10"),
    (0x42, "G.723.1"),
    (0x45, "G.726"),
    (0x64, "G.726"),
    (0x83, "G.729"),
    (0xFF, "AAC"),
    (0x161, "WMA"),
    (0x28F, "G.722"),
    (0x2000, "AC-3"),
    (0xA109, "Speex"),
    (0xF1AC, "FLAC"),
];

/// What writers state that do not know; none of their files is that long.
const NO_LENGTH: u64 = 0x7FFF_0000;
/// Symphonia names each channel.
const MOST_CHANNELS: u16 = 26;
const MOST_FORMAT: u32 = 1 << 10;
const MOST_CHUNKS: u32 = 10_000;
