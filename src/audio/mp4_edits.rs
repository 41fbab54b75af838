//! What symphonia reads over in mp4 files: which part of a track is played, by its edit list, since encoders of AAC put a
//! delay of about a thousand samples before the sound; what QuickTime says about samples; and where a file was cut off.

use std::io::{Read, Result, Seek, SeekFrom};

use crate::audio::mp4_sound::Mp4Sound;

/// What a file says about its tracks.
#[derive(Debug, Default)]
pub(super) struct Mp4Edits {
    /// Samples per second of the movie, in which edits have their length.
    movie_timescale: u32,
    tracks: Vec<TrackEdits>,
    /// The encoder's delay in samples as iTunes writes it, in a comment named `iTunSMPB`.
    priming: Option<u64>,
    /// Whether there is the list of what lies where.
    pub(super) has_movie: bool,
    /// The true length of the last box, and where it is written, if the file states another.
    pub(super) last: Option<(u64, Vec<u8>)>,
}

/// The edit list of a track.
#[derive(Debug, Default)]
struct TrackEdits {
    id: u32,
    timescale: u32,
    /// Length in the movie's timescale, start in the track's.
    entries: Vec<(u64, i64)>,
    sound: Option<Mp4Sound>,
}

/// A part of a track that is played, in ticks of the track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) start: u64,
    /// A packet that begins here or later is not played.
    pub(super) end: u64,
}

impl Mp4Edits {
    /// Reads them from a whole file. What is broken is left for the demuxer to report.
    pub(super) fn read(source: &mut (impl Read + Seek)) -> Self {
        let mut edits = Self::default();
        let read = |source: &mut _, edits: &mut Self| -> Result<()> {
            let end = Seek::seek(source, SeekFrom::End(0))?;
            edits.read_boxes(source, 0..end, &[])
        };
        // Whatever was read before the file breaks off is as good as without the break.
        let _ = read(source, &mut edits);
        edits
    }

    /// The parts of a track that are played, in order. All of it where the list is empty.
    ///
    /// `None`: parts are to be played again or out of order, which is not supported.
    pub(super) fn of_track(&self, id: u32, sampling_rate: u32) -> Option<Vec<Edit>> {
        let Some(track) = self.tracks.iter().find(|track| track.id == id) else {
            return Some(Vec::new());
        };
        // The first ones may say that the track begins later than others: a negative start.
        let entries = track.entries.iter().filter(|(_, start)| *start >= 0);
        let mut edits: Vec<Edit> = Vec::new();
        for &(length, start) in entries {
            let start = start.unsigned_abs();
            let ticks = u128::from(length) * u128::from(track.timescale);
            let movie = u128::from(self.movie_timescale.max(1));
            let ticks = u64::try_from((ticks + movie / 2) / movie).unwrap_or(u64::MAX);
            // Without a length: to the end, as in files that are still being written.
            let end = if length == 0 { u64::MAX } else { start.saturating_add(ticks) };
            match edits.last_mut() {
                Some(last) if start < last.end => return None,
                Some(last) if start == last.end => last.end = end,
                _ => edits.push(Edit { start, end }),
            }
        }
        if let (true, Some(priming)) = (edits.is_empty(), self.priming) {
            let start = priming * u64::from(track.timescale) / u64::from(sampling_rate.max(1));
            edits.push(Edit { start, end: u64::MAX });
        }
        Some(edits)
    }

    /// What is to be known about a track's samples, if anything.
    pub(super) fn sound(&self, id: u32) -> Option<&Mp4Sound> {
        self.tracks.iter().find(|track| track.id == id)?.sound.as_ref()
    }

    /// Reads the boxes that lie in `range`, which is the inside of the boxes named by `path`.
    fn read_boxes(
        &mut self,
        source: &mut (impl Read + Seek),
        range: std::ops::Range<u64>,
        path: &[[u8; 4]],
    ) -> Result<()> {
        let mut at = range.start;
        for _ in 0..MOST_BOXES {
            if at + 8 > range.end {
                break;
            }
            source.seek(SeekFrom::Start(at))?;
            let head: [u8; 8] = bytes(source)?;
            let name = [head[4], head[5], head[6], head[7]];
            let stated = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let (size, head) = match stated {
                0 => (range.end - at, 8),
                1 => (u64::from_be_bytes(bytes(source)?), 16),
                size => (u64::from(size), 8),
            };
            if path.is_empty() && (stated == 0 || size > range.end - at) {
                let rest = range.end - at;
                self.last = match stated {
                    1 => Some((at + 8, rest.to_be_bytes().to_vec())),
                    _ => u32::try_from(rest).ok().map(|rest| (at, rest.to_be_bytes().to_vec())),
                };
            }
            let Some(end) = at.checked_add(size).filter(|&end| size >= head && end <= range.end)
            else {
                break;
            };
            let inside = at + head..end;
            let path = [path, &[name]].concat();
            match path.iter().map(|name| &name[..]).collect::<Vec<_>>()[..] {
                [b"moov"]
                | [b"moov", b"trak" | b"udta"]
                | [b"moov", b"trak", b"edts" | b"mdia"]
                | [b"moov", b"trak", b"mdia", b"minf"]
                | [b"moov", b"trak", b"mdia", b"minf", b"stbl"]
                | [b"moov", b"udta", b"meta", b"ilst"] => {
                    self.has_movie = true;
                    if name == *b"trak" {
                        self.tracks.push(TrackEdits::default());
                    }
                    self.read_boxes(source, inside, &path)?;
                }
                // Four bytes of version and flags, then boxes.
                [b"moov", b"udta", b"meta"] => {
                    self.read_boxes(source, inside.start + 4..end, &path)?
                }
                [b"moov", b"mvhd"] => self.movie_timescale = timescale(source)?,
                [b"moov", b"trak", b"tkhd"] => {
                    let wide = version(source)? == 1;
                    source.seek(SeekFrom::Current(if wide { 16 } else { 8 }))?;
                    let id = u32::from_be_bytes(bytes(source)?);
                    self.track().id = id;
                }
                [b"moov", b"trak", b"mdia", b"mdhd"] => self.track().timescale = timescale(source)?,
                [b"moov", b"trak", b"edts", b"elst"] => {
                    let entries = edit_list(source, end)?;
                    self.track().entries = entries;
                }
                [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"] => {
                    let mut entries = Vec::new();
                    source.take(size.min(MOST_COMMENT) - head).read_to_end(&mut entries)?;
                    self.track().sound = entries.get(8..).and_then(Mp4Sound::of);
                }
                [b"moov", b"udta", b"meta", b"ilst", b"----"] if size <= MOST_COMMENT => {
                    let mut comment = vec![0; (end - inside.start) as usize];
                    source.read_exact(&mut comment)?;
                    self.priming = self.priming.or_else(|| priming(&comment));
                }
                _ => {}
            }
            at = end;
        }
        Ok(())
    }

    /// The track whose boxes are read.
    fn track(&mut self) -> &mut TrackEdits {
        if self.tracks.is_empty() {
            self.tracks.push(TrackEdits::default());
        }
        let last = self.tracks.len() - 1;
        &mut self.tracks[last]
    }
}

fn bytes<const LENGTH: usize>(source: &mut impl Read) -> Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The version of a box, which comes first, with three bytes of flags.
fn version(source: &mut impl Read) -> Result<u8> {
    bytes::<4>(source).map(|bytes| bytes[0])
}

/// Of `mvhd` or `mdhd`: after two times, of 8 bytes each in version 1.
fn timescale(source: &mut (impl Read + Seek)) -> Result<u32> {
    let wide = version(source)? == 1;
    source.seek(SeekFrom::Current(if wide { 16 } else { 8 }))?;
    bytes(source).map(u32::from_be_bytes)
}

fn edit_list(source: &mut (impl Read + Seek), end: u64) -> Result<Vec<(u64, i64)>> {
    let wide = version(source)? == 1;
    let count = u64::from(u32::from_be_bytes(bytes(source)?));
    let entry = if wide { 20 } else { 12 };
    let count = count.min(end.saturating_sub(source.stream_position()?) / entry).min(MOST_BOXES);
    let mut entries = Vec::new();
    for _ in 0..count {
        let (length, start) = if wide {
            (u64::from_be_bytes(bytes(source)?), i64::from_be_bytes(bytes(source)?))
        } else {
            let length = u32::from_be_bytes(bytes(source)?);
            (u64::from(length), i64::from(i32::from_be_bytes(bytes(source)?)))
        };
        // The speed, which only films change.
        bytes::<4>(source)?;
        entries.push((length, start));
    }
    Ok(entries)
}

/// The second of the hexadecimal numbers in the comment `iTunSMPB`.
fn priming(comment: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(comment);
    let (_, numbers) = text.split_once("iTunSMPB")?;
    let (_, numbers) = numbers.split_once(" 00000000 ")?;
    let priming = u64::from_str_radix(numbers.split(' ').next()?, 16).ok()?;
    (priming < MOST_PRIMING).then_some(priming)
}

/// In one box; real files have dozens.
const MOST_BOXES: u64 = 10_000;
const MOST_COMMENT: u64 = 1 << 12;
/// ffmpeg's limit.
const MOST_PRIMING: u64 = 16_384;
