//! From a file to the packets of its first audio track, and which of their samples are no sound.

use std::fmt;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::CODEC_ID_NULL_AUDIO;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_ISOMP4, FORMAT_ID_MKV, FORMAT_ID_OGG};
use symphonia::core::formats::{FormatOptions, FormatReader, Track};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::Duration;

use crate::audio::aiff_header;
use crate::audio::cut::Trim;
use crate::audio::decoder::{CONVERT, Failure, Sound, audio, guarded};
use crate::audio::foreign::foreign;
use crate::audio::mended::{Mend, Mended};
use crate::audio::mkv_end::MkvEnd;
use crate::audio::mkv_packing::Packing;
use crate::audio::mp4_edits::{Edit, Mp4Edits};
use crate::audio::wav_header::WavHeader;

/// An open file.
pub(super) struct Container<'s> {
    reader: Box<dyn FormatReader + 's>,
    pub(super) track: Track,
    pub(super) format: &'static str,
    pub(super) is_mp4: bool,
    ends: Ends,
    /// How its packets are packed.
    packing: Option<Packing>,
    /// The samples of each channel in the packets before.
    position: u64,
    /// Packets without a byte that came one after the other.
    empty: u32,
    pub(super) byte_length: u64,
    /// Whether the file may end anywhere.
    pub(super) is_open: bool,
    /// Whether it ends before its sound does, by its header.
    pub(super) breaks_off: bool,
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
        let mut start = [0; 12];
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
        if let Some(name) = foreign(&start) {
            return Err(Failure::Other(format!("this is {name}, which cannot be read: {CONVERT}")));
        }
        let byte_length = source.seek(SeekFrom::End(0)).map_err(SymphoniaError::from)?;
        let mut mend = Mend::none(byte_length);
        let (mut is_open, mut breaks_off) = (false, false);
        let mut edits = Mp4Edits::default();
        let mut mkv = MkvEnd::default();
        let small = &mut BufReader::with_capacity(SMALL, &mut source);
        match &start[..4] {
            [0x1A, 0x45, 0xDF, 0xA3] => {
                mkv = MkvEnd::read(small);
                is_open = mkv.is_open;
                mend.patches.extend(mkv.length.take());
            }
            b"RIFF" | b"RF64" | b"BW64" => {
                if let Some(header) = WavHeader::read(small) {
                    WavHeader { mend, is_open } = header.map_err(Failure::Other)?;
                }
            }
            b"FORM" => {
                if let Some(mended) = aiff_header::mend(small, byte_length) {
                    (mend, breaks_off) = (mended, true);
                }
            }
            b"fLaC" => mend.part.end -= id3v1(small, byte_length).map_err(SymphoniaError::from)?,
            _ if start[4..8] == *b"ftyp" => {
                edits = Mp4Edits::read(small);
                if edits.last.is_some() && !edits.has_movie {
                    return Err(Failure::Other(NO_MOVIE.to_owned()));
                }
                mend.patches.extend(edits.last.take());
            }
            _ => {}
        }
        let source = Box::new(Mended::new(source, mend).map_err(SymphoniaError::from)?);
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
        let mut track = sound_track(reader.as_ref())?;
        if let (Some(sound), Some(CodecParameters::Audio(parameters))) =
            (edits.sound(track.id), &mut track.codec_params)
        {
            sound.apply(parameters);
        }
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
        let track_id = track.id;
        Ok(Self {
            reader,
            track,
            format,
            is_mp4,
            ends,
            packing: mkv.packings.remove(&u64::from(track_id)),
            position: 0,
            empty: 0,
            byte_length,
            is_open,
            breaks_off,
        })
    }

    /// The next packet of the track, `None` at the end.
    ///
    /// # Errors
    ///
    /// What is wrong. `SymphoniaError::ResetRequired`: another track begins, [`restart`](Self::restart) goes on
    /// with it.
    pub(super) fn next_packet(&mut self) -> Result<Option<Packet>, Failure> {
        while let Some(mut packet) = guarded(|| self.reader.next_packet())? {
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
                if let Some(packing) = &self.packing {
                    packet.data = packing.unpack(&packet.data).map_err(Failure::Other)?;
                }
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
    track.cloned().ok_or_else(|| {
        let has_unknown = tracks.iter().any(|track| track.codec_params.is_none());
        Failure::Other(match has_unknown {
            true => format!("the file has no audio track that can be decoded here: {CONVERT}"),
            false => "the file has no audio track".to_owned(),
        })
    })
}

/// The bytes of the tag at the end of a file of so many bytes, which players of mp3 files put there.
fn id3v1(source: &mut (impl Read + Seek), length: u64) -> std::io::Result<u64> {
    let Some(at) = length.checked_sub(ID3V1) else { return Ok(0) };
    let mut tag = [0; 3];
    source.seek(SeekFrom::Start(at))?;
    source.read_exact(&mut tag)?;
    Ok(if tag == *b"TAG" { ID3V1 } else { 0 })
}

/// Symphonia looks for the first packet of a codec that it knows to the end.
const NO_OGG: &str = "the file breaks off, or its sound is neither Vorbis nor Opus nor FLAC";
const NO_FORMAT: &str = "this is no audio file that can be read: wav, mp3, flac, ogg (Vorbis, Opus), m4a and mp4 (AAC, ALAC, \
                         Opus), aac, webm and mkv, and aiff are; ffmpeg converts others (`ffmpeg -i FILE -vn sound.flac`)";
const NO_MOVIE: &str = "the file breaks off before its list of what lies where (`moov`), without which its sound cannot be found";
/// Its length.
const ID3V1: u64 = 128;
/// A buffer for looking at a few bytes here and there.
const SMALL: usize = 512;
const MOST_EMPTY: u32 = 10_000;
