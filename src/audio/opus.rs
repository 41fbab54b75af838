//! Opus, which symphonia does not decode.

use opus_rs::OpusDecoder;

/// A stream of Opus packets, each of which holds a packet of several streams of one or two channels.
pub(super) struct Opus {
    /// The decoder of each stream, and how many channels it has.
    streams: Vec<(OpusDecoder, usize)>,
    pub(super) channels: usize,
    /// Of each channel: the stream it is in, and which channel of it. `None`: silence.
    sources: Vec<Option<(usize, usize)>>,
    /// By what to multiply samples.
    gain: f32,
    /// What a stream's packet was decoded to.
    decoded: Vec<f32>,
}

/// What the header of a stream says, <https://www.rfc-editor.org/rfc/rfc7845#section-5.1>.
pub(super) struct OpusHead<'a> {
    channels: u8,
    /// Samples to leave out before the sound.
    pub(super) pre_skip: u16,
    /// Q7.8 in dB.
    gain: i16,
    family: u8,
    /// The number of streams, how many of them are of two channels, and which of their channels each channel is.
    mapping: &'a [u8],
}

impl<'a> OpusHead<'a> {
    /// Reads a header, whose numbers are little-endian but in mp4 files.
    pub(super) fn parse(bytes: &'a [u8], is_mp4: bool) -> Option<Self> {
        let (fixed, mapping) = bytes.strip_prefix(b"OpusHead")?.split_at_checked(11)?;
        let number = |at: usize| {
            let bytes = [fixed[at], fixed[at + 1]];
            if is_mp4 { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
        };
        let [pre_skip, gain] = [number(2), number(8)];
        Some(Self { channels: fixed[1], pre_skip, gain: gain as i16, family: fixed[10], mapping })
    }
}

impl Opus {
    /// `None` where the header describes no stream.
    pub(super) fn new(head: &OpusHead<'_>) -> Option<Self> {
        let channels = usize::from(head.channels);
        let simple = [1, head.channels.saturating_sub(1), 0, 1];
        let mapping = match head.family {
            0 => simple.get(..2 + channels)?,
            _ => head.mapping.get(..2 + channels)?,
        };
        let (&[streams, coupled], mapping) = mapping.split_first_chunk::<2>()?;
        let (streams, coupled) = (usize::from(streams), usize::from(coupled));
        if channels == 0 || coupled > streams {
            return None;
        }
        // Vorbis' order of channels in family 1, to that of wav files.
        let order: &[usize] = match (head.family, channels) {
            (1, 3) => &[0, 2, 1],
            (1, 5) => &[0, 2, 1, 3, 4],
            (1, 6) => &[0, 2, 1, 5, 3, 4],
            (1, 7) => &[0, 2, 1, 6, 5, 3, 4],
            (1, 8) => &[0, 2, 1, 7, 5, 6, 3, 4],
            _ => &[],
        };
        let source = |channel: usize| {
            let slot = usize::from(mapping[order.get(channel).copied().unwrap_or(channel)]);
            match slot {
                255 => Some(None),
                _ if slot < 2 * coupled => Some(Some((slot / 2, slot % 2))),
                _ if slot < coupled + streams => Some(Some((slot - coupled, 0))),
                _ => None,
            }
        };
        let sources = (0..channels).map(source).collect::<Option<Vec<_>>>()?;
        let decoders = (0..streams).map(|stream| {
            let channels = if stream < coupled { 2 } else { 1 };
            Some((OpusDecoder::new(SAMPLING_RATE as i32, channels).ok()?, channels))
        });
        Some(Self {
            streams: decoders.collect::<Option<_>>()?,
            channels,
            sources,
            gain: 10_f32.powf(f32::from(head.gain) / (20.0 * 256.0)),
            decoded: vec![0.0; 2 * MOST_SAMPLES],
        })
    }

    /// Decodes a packet into `samples`, `(samples, channels)`.
    pub(super) fn decode(
        &mut self,
        mut packet: &[u8],
        samples: &mut Vec<f32>,
    ) -> Result<(), &'static str> {
        samples.clear();
        let last = self.streams.len() - 1;
        for (number, (decoder, width)) in self.streams.iter_mut().enumerate() {
            // All but the last one say how long they are.
            let own = if number < last {
                let (own, rest) = split_delimited(packet).ok_or(INVALID)?;
                packet = rest;
                own
            } else {
                packet.to_vec()
            };
            // An empty packet asks the decoder to make up for a lost one.
            if own.is_empty() {
                return Err(INVALID);
            }
            let length = decoder.decode(&own, MOST_SAMPLES, &mut self.decoded)?;
            if number == 0 {
                samples.resize(length * self.channels, 0.0);
            } else if length * self.channels != samples.len() {
                return Err(INVALID);
            }
            for (channel, source) in self.sources.iter().enumerate() {
                if let Some((_, from)) = source.filter(|(stream, _)| *stream == number) {
                    let decoded = self.decoded.iter().skip(from).step_by(*width);
                    for (sample, decoded) in
                        samples.iter_mut().skip(channel).step_by(self.channels).zip(decoded)
                    {
                        *sample = decoded * self.gain;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Splits off the first of several packets, without the length that only such packets have
/// (<https://www.rfc-editor.org/rfc/rfc6716#appendix-B>).
fn split_delimited(packet: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let frame_length = |at: usize| -> Option<(usize, usize)> {
        let first = usize::from(*packet.get(at)?);
        if first < 252 {
            return Some((first, at + 1));
        }
        Some((first + 4 * usize::from(*packet.get(at + 1)?), at + 2))
    };
    // Where the length that is left out begins and ends, and the bytes that follow it.
    let (from, to, length) = match packet.first()? & 3 {
        0 => {
            let (length, to) = frame_length(1)?;
            (1, to, length)
        }
        1 => {
            let (length, to) = frame_length(1)?;
            (1, to, 2 * length)
        }
        2 => {
            let (first, from) = frame_length(1)?;
            let (second, to) = frame_length(from)?;
            (from, to, first + second)
        }
        _ => {
            let (count, mut at, mut length) = (*packet.get(1)?, 2, 0);
            if count & 0x40 != 0 {
                while *packet.get(at)? == 255 {
                    (at, length) = (at + 1, length + 254);
                }
                (at, length) = (at + 1, length + usize::from(*packet.get(at)?));
            }
            let frames = usize::from(count & 0x3F);
            if count & 0x80 == 0 {
                let (each, to) = frame_length(at)?;
                (at, to, length + frames * each)
            } else {
                for _ in 1..frames {
                    let (one, after) = frame_length(at)?;
                    (at, length) = (after, length + one);
                }
                let (last, to) = frame_length(at)?;
                (at, to, length + last)
            }
        }
    };
    let rest = packet.get(to + length..)?;
    Some(([&packet[..from], &packet[to..to + length]].concat(), rest))
}

/// Every Opus stream can be decoded at this rate.
pub(super) const SAMPLING_RATE: u32 = 48_000;
/// Of the longest packet, 120 ms.
const MOST_SAMPLES: usize = 5_760;
const INVALID: &str = "opus: invalid packet";
