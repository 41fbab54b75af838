//! What symphonia reads over in Matroska and WebM files: how many samples the encoder added, by the elements
//! `DiscardPadding` in the last blocks of a track, how packets are packed, and whether the file knows its length or was
//! cut off.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Result, Seek, SeekFrom};

use crate::audio::ebml::{Element, variable_length};
use crate::audio::mkv_packing::Packing;

/// What is read of a file before its demuxer does.
#[derive(Debug, Default)]
pub(super) struct MkvEnd {
    /// The padding of each track in nanoseconds, by the track's number: what its last blocks say together.
    pub(super) padding: HashMap<u64, u64>,
    /// Whether the file states no length, as live recordings do.
    pub(super) is_open: bool,
    /// How the packets of tracks are packed that are, by the track's number.
    pub(super) packings: HashMap<u64, Packing>,
    /// Where the length of a file is written that was cut off, and what it is to be: not known.
    pub(super) length: Option<(u64, Vec<u8>)>,
}

impl MkvEnd {
    /// Reads it. What is broken is left for the demuxer to report.
    pub(super) fn read(source: &mut (impl Read + Seek)) -> Self {
        let (mut found, mut clusters) = (Self::default(), VecDeque::new());
        let _ = find_clusters(source, &mut clusters, &mut found);
        for (start, end) in clusters {
            let _ = read_cluster(source, start, end, &mut found.padding);
        }
        found
    }
}

/// Where the insides of the last clusters lie.
fn find_clusters(
    source: &mut (impl Read + Seek),
    clusters: &mut VecDeque<(u64, u64)>,
    found: &mut MkvEnd,
) -> Result<()> {
    let file_end = source.seek(SeekFrom::End(0))?;
    let mut at = 0;
    for _ in 0..MOST_ELEMENTS {
        if at >= file_end {
            break;
        }
        let element = Element::read(source, at, file_end)?;
        found.is_open |= element.end.is_none();
        match element.id {
            SEGMENT => {
                if element.is_cut {
                    let length = element.start - element.size_at;
                    let mut unknown = vec![0xFF; length as usize];
                    unknown[0] >>= length - 1;
                    found.length = Some((element.size_at, unknown));
                }
                at = element.start;
            }
            TRACKS => {
                let end = element.end.unwrap_or(element.start);
                let mut tracks = Vec::new();
                source.seek(SeekFrom::Start(element.start))?;
                source.take((end - element.start).min(MOST_HEADER)).read_to_end(&mut tracks)?;
                found.packings = Packing::of_tracks(&tracks);
                at = end;
            }
            CLUSTER => {
                // A cluster of unknown length goes on to the next one, which its reader notices.
                clusters.push_back((element.start, element.end.unwrap_or(file_end)));
                if clusters.len() > MOST_CLUSTERS {
                    clusters.pop_front();
                }
                at = element.end.unwrap_or(element.start);
            }
            _ => at = element.end.unwrap_or(file_end),
        }
    }
    Ok(())
}

/// Adds up the padding of the last blocks of each track.
fn read_cluster(
    source: &mut (impl Read + Seek),
    start: u64,
    end: u64,
    tracks: &mut HashMap<u64, u64>,
) -> Result<()> {
    let mut at = start;
    while at < end {
        let element = Element::read(source, at, end)?;
        let Some(inside_end) = element.end else { break };
        let block = match element.id {
            CLUSTER => break,
            SIMPLE_BLOCK => Some((track_number(source, element.start)?, 0)),
            BLOCK_GROUP => block_group(source, element.start, inside_end)?,
            _ => None,
        };
        if let Some((track, padding)) = block.filter(|_| tracks.len() < MOST_TRACKS) {
            let sum = tracks.entry(track).or_default();
            *sum = if padding == 0 { 0 } else { sum.saturating_add(padding) };
        }
        at = inside_end;
    }
    Ok(())
}

fn block_group(
    source: &mut (impl Read + Seek),
    start: u64,
    end: u64,
) -> Result<Option<(u64, u64)>> {
    let (mut track, mut padding) = (None, 0);
    let mut at = start;
    while at < end {
        let element = Element::read(source, at, end)?;
        let Some(inside_end) = element.end else { break };
        match element.id {
            BLOCK => track = Some(track_number(source, element.start)?),
            DISCARD_PADDING => {
                source.seek(SeekFrom::Start(element.start))?;
                let mut bytes = [0; 8];
                let length = (inside_end - element.start).min(8) as usize;
                source.read_exact(&mut bytes[8 - length..])?;
                // Negative: samples to leave out at the beginning of the block, which nobody writes.
                let is_negative = bytes.get(8 - length).is_some_and(|first| first & 0x80 != 0);
                padding = if is_negative { 0 } else { u64::from_be_bytes(bytes) };
            }
            _ => {}
        }
        at = inside_end;
    }
    Ok(track.map(|track| (track, padding)))
}

/// The number of the track at the beginning of a block.
fn track_number(source: &mut (impl Read + Seek), start: u64) -> Result<u64> {
    source.seek(SeekFrom::Start(start))?;
    Ok(variable_length(source, false)?.0)
}

const SEGMENT: u64 = 0x1853_8067;
const TRACKS: u64 = 0x1654_AE6B;
const CLUSTER: u64 = 0x1F43_B675;
const SIMPLE_BLOCK: u64 = 0xA3;
const BLOCK_GROUP: u64 = 0xA0;
const BLOCK: u64 = 0xA1;
const DISCARD_PADDING: u64 = 0x75A2;
/// Sound has blocks in every cluster, so its last block is in one of the last.
const MOST_CLUSTERS: usize = 8;
const MOST_TRACKS: usize = 64;
/// Bytes of the descriptions of tracks.
const MOST_HEADER: u64 = 1 << 22;
/// More than a day of clusters; a live recording has no clusters but blocks here, some hours of them.
const MOST_ELEMENTS: usize = 1 << 20;
