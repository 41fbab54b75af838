//! From a file to the packets of its first audio track, and which of their samples are no sound.

use std::fmt;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

use symphonia::core::codecs::audio::CODEC_ID_NULL_AUDIO;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_ISOMP4, FORMAT_ID_MKV, FORMAT_ID_OGG};
use symphonia::core::formats::{FormatOptions, FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;

use crate::audio::cut::Trim;
use crate::audio::decoder::{Failure, Sound, audio, guarded};
use crate::audio::mkv_end::MkvEnd;
use crate::audio::mp4_edits::{Edit, Mp4Edits};
use crate::audio::wav_header::WavHeader;

/// An open file.
pub(super) struct Container<'s> {
    reader: Box<dyn FormatReader + 's>,
    pub(super) track: Track,
    pub(super) format: &'static str,
    pub(super) is_mp4: bool,
    ends: Ends,
    /// The samples of each channel in the packets before.
    position: u64,
    /// Packets without a byte that came one after the other.
    empty: u32,
    pub(super) byte_length: u64,
    /// Whether the file may end anywhere.
    pub(super) is_open: bool,
}

/// Where a track's sound begins and ends.
#[derive(Debug)]
enum Ends {
    /// All is sound.
    Unknown,
    /// Packets say it themselves.
    Packets,
    /// The tag of an mp3: the delay, and where the padding lies.
    Tag { delay: u64, padding: std::ops::Range<u64> },
    /// The edit list of an mp4. Nothing of it is left where it is empty.
    Edits(Vec<Edit>),
    /// The nanoseconds of padding at the end of an mkv.
    Nanoseconds(u64),
}

impl<'s> Container<'s> {
    /// Opens a file by its content.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(super) fn open(mut source: impl Read + Seek + Send + Sync + 's) -> Result<Self, Failure> {
        let mut start = [0; 8];
        let mut length = 0;
        while length < start.len() {
            match source.read(&mut start[length..]).map_err(SymphoniaError::from)? {
                0 => break,
                read => length += read,
            }
        }
        if length == 0 {
            return Err(Failure::Other("the file is empty".to_owned()));
        }
        let mut edits = Mp4Edits::default();
        let mut mkv = MkvEnd::default();
        if &start[4..] == b"ftyp" {
            edits = Mp4Edits::read(&mut BufReader::with_capacity(SMALL, &mut source));
        } else if start[..4] == [0x1A, 0x45, 0xDF, 0xA3] {
            mkv = MkvEnd::read(&mut BufReader::with_capacity(SMALL, &mut source));
        }
        let byte_length = source.seek(SeekFrom::End(0)).map_err(SymphoniaError::from)?;
        let header = if matches!(&start[..4], b"RIFF" | b"RF64" | b"BW64") {
            WavHeader::read(&mut BufReader::with_capacity(SMALL, &mut source))
                .transpose()
                .map_err(Failure::Other)?
        } else {
            None
        };
        let is_open = mkv.is_open || header.as_ref().is_some_and(|header| header.is_open);
        let header =
            header.unwrap_or(WavHeader { bytes: Vec::new(), samples: 0..byte_length, is_open });
        let source = Box::new(Source::new(source, header).map_err(SymphoniaError::from)?);
        let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
        let (options, metadata) = (FormatOptions::default(), MetadataOptions::default());
        let reader = guarded(|| {
            symphonia::default::get_probe().probe(&Hint::new(), stream, options, metadata)
        });
        let reader = reader.map_err(|failure| match failure {
            Failure::Error(SymphoniaError::Unsupported(
                "core (probe): no suitable format reader found",
            )) => Failure::Other(NO_FORMAT.to_owned()),
            Failure::Error(SymphoniaError::IoError(error))
                if &start[..4] == b"OggS" && error.kind() == ErrorKind::UnexpectedEof =>
            {
                Failure::Other(NO_OGG.to_owned())
            }
            failure => failure,
        })?;
        let track = sound_track(reader.as_ref())?;
        let info = reader.format_info();
        let (format, id) = (info.short_name, info.format);
        let sampling_rate =
            audio(&track).and_then(|parameters| parameters.sample_rate).unwrap_or(0);
        let ends = if id == FORMAT_ID_ISOMP4 {
            Ends::Edits(edits.of_track(track.id, sampling_rate).ok_or_else(|| {
                Failure::Other(
                    "its edit list plays parts of the sound again or out of order".to_owned(),
                )
            })?)
        } else if id == FORMAT_ID_MKV {
            Ends::Nanoseconds(mkv.padding.get(&u64::from(track.id)).copied().unwrap_or(0))
        } else if id == FORMAT_ID_OGG {
            Ends::Packets
        } else if let (Some(delay), Some(padding), Some(length)) =
            (track.delay, track.padding, track.num_frames)
        {
            let end = u64::from(delay).saturating_add(length);
            Ends::Tag { delay: delay.into(), padding: end..end.saturating_add(padding.into()) }
        } else {
            Ends::Unknown
        };
        let is_mp4 = id == FORMAT_ID_ISOMP4;
        Ok(Self {
            reader,
            track,
            format,
            is_mp4,
            ends,
            position: 0,
            empty: 0,
            byte_length,
            is_open,
        })
    }

    /// The next packet of the track, `None` at the end.
    ///
    /// # Errors
    ///
    /// What is wrong. `SymphoniaError::ResetRequired`: another track begins, [`restart`](Self::restart) goes on
    /// with it.
    pub(super) fn next_packet(&mut self) -> Result<Option<Packet>, Failure> {
        while let Some(packet) = guarded(|| self.reader.next_packet())? {
            if packet.data.is_empty() {
                self.empty += 1;
                if self.empty > MOST_EMPTY {
                    return Err(Failure::Other("thousands of its packets are empty".to_owned()));
                }
                continue;
            }
            self.empty = 0;
            let is_played = match &self.ends {
                Ends::Edits(edits) if !edits.is_empty() => {
                    let start = packet.pts.get().max(0).unsigned_abs();
                    edits.iter().any(|edit| start < edit.end)
                }
                _ => true,
            };
            if packet.track_id == self.track.id && is_played {
                return Ok(Some(packet));
            }
        }
        Ok(None)
    }

    /// Goes on with the track that began.
    pub(super) fn restart(&mut self) -> Result<(), Failure> {
        self.track = sound_track(self.reader.as_ref())?;
        self.position = 0;
        Ok(())
    }

    /// What is to be left out of a packet that was decoded to so many samples of each channel. Its decoder was not
    /// to leave out any.
    pub(super) fn trim(
        &mut self,
        packet: &Packet,
        trim_end: Duration,
        frames: u64,
        sound: Sound,
    ) -> Trim {
        let start = self.position;
        self.position += frames;
        let rate = u128::from(sound.sampling_rate);
        let whole = |samples: u128| u64::try_from(samples).unwrap_or(u64::MAX);
        match &self.ends {
            Ends::Unknown => Trim::default(),
            Ends::Packets => Trim { tail: trim_end.get(), ..Trim::default() },
            Ends::Tag { delay, padding } => Trim {
                head: delay.saturating_sub(start),
                // None where sound follows the padding in the same packet.
                tail: if self.position <= padding.end {
                    self.position.saturating_sub(padding.start)
                } else {
                    0
                },
                padding: 0,
            },
            Ends::Nanoseconds(padding) => Trim {
                padding: whole((u128::from(*padding) * rate + 500_000_000) / 1_000_000_000),
                ..Trim::default()
            },
            Ends::Edits(edits) => {
                let start = packet.pts.get().max(0).unsigned_abs();
                let edit = edits.iter().find(|edit| start < edit.end);
                let ticks = edit.map_or(0, |edit| edit.start.saturating_sub(start));
                let timescale = self.track.time_base.map_or(1, |base| base.denom.get());
                Trim {
                    head: whole(u128::from(ticks) * rate / u128::from(timescale)),
                    ..Trim::default()
                }
            }
        }
    }

    /// How many samples of each channel the track has by what its file says, as far as that is no guess.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.ends {
            Ends::Tag { padding, delay } => Some(padding.start.saturating_sub(*delay)),
            // Of these without a tag, it is an estimate.
            Ends::Unknown if !["mp3", "aac"].contains(&self.format) => self.track.num_frames,
            _ => None,
        }
    }

    /// The track's length, or an estimate of it.
    pub(super) fn seconds(&self) -> Option<f64> {
        let base = self.track.time_base;
        let track = base.and_then(|base| base.calc_duration(self.track.duration?));
        let media = self.reader.media_info();
        let whole = || media.time_base.and_then(|base| base.calc_duration(media.duration?));
        // Files in fragments say 0.
        track.or_else(whole).map(|time| time.as_secs_f64()).filter(|seconds| *seconds > 0.0)
    }
}

impl fmt::Debug for Container<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container")
            .field("format", &self.format)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// The first track of sound: the default one where one says so.
fn sound_track(reader: &dyn FormatReader) -> Result<Track, Failure> {
    let is_sound = |track: &&Track| audio(track).is_some();
    let is_known =
        |track: &&Track| audio(track).is_some_and(|sound| sound.codec != CODEC_ID_NULL_AUDIO);
    let tracks = reader.tracks();
    let track = tracks.iter().find(is_known).or_else(|| tracks.iter().find(is_sound));
    track.cloned().ok_or_else(|| Failure::Other("the file has no audio track".to_owned()))
}

/// What symphonia reads from: a header, and then a part of the file.
struct Source<S> {
    source: S,
    header: WavHeader,
    position: u64,
}

impl<S: Read + Seek> Source<S> {
    fn new(mut source: S, header: WavHeader) -> std::io::Result<Self> {
        source.seek(SeekFrom::Start(header.samples.start))?;
        Ok(Self { source, header, position: 0 })
    }

    fn length(&self) -> u64 {
        self.header.bytes.len() as u64 + (self.header.samples.end - self.header.samples.start)
    }
}

impl<S: Read> Read for Source<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let header =
            self.header.bytes.get(self.position as usize..).filter(|header| !header.is_empty());
        let read = match header {
            Some(mut header) => header.read(buffer)?,
            None => {
                let samples = self.header.samples.end - self.header.samples.start;
                let rest = samples.saturating_sub(self.position - self.header.bytes.len() as u64);
                let most = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
                self.source.read(&mut buffer[..most])?
            }
        };
        self.position += read as u64;
        Ok(read)
    }
}

impl<S: Read + Seek> Seek for Source<S> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.length().checked_add_signed(by),
        };
        let position = position.ok_or(std::io::ErrorKind::InvalidInput)?;
        let behind_header = position.saturating_sub(self.header.bytes.len() as u64);
        self.source
            .seek(SeekFrom::Start(self.header.samples.start.saturating_add(behind_header)))?;
        self.position = position;
        Ok(position)
    }
}

impl<S: Read + Seek + Send + Sync> MediaSource for Source<S> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length())
    }
}

/// Symphonia looks for the first packet of a codec that it knows to the end.
const NO_OGG: &str = "the file breaks off, or its sound is neither Vorbis nor Opus nor FLAC";
const NO_FORMAT: &str = "this is no audio file that can be read: wav, mp3, flac, ogg (Vorbis, Opus), m4a and mp4 (AAC, ALAC, \
                         Opus), aac, webm and mkv, and aiff are";
/// A buffer for looking at a few bytes here and there.
const SMALL: usize = 512;
const MOST_EMPTY: u32 = 10_000;
