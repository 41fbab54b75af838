//! Audio files, block by block.

use std::io::{Cursor, ErrorKind, Read, Seek};
use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::packet::Packet;
use symphonia::core::units::Duration as SymphoniaDuration;

use crate::audio::conform::Conform;
use crate::audio::container::Container;
use crate::audio::cut::Cut;
use crate::audio::decoder::{Decoder, Failure, Sound};
use crate::audio::resample::reserve;
use crate::audio::stream::AudioStream;
use crate::error::{Error, Result};
use crate::media::Audio;
use crate::source::file;
use crate::warning::warn;

/// Samples that were decoded together.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AudioBlock {
    /// One sample of each channel in turn, `(samples, channels)`, from -1 to 1. Floating-point files may go beyond.
    pub samples: Vec<f32>,
    /// The number of channels.
    pub channels: usize,
}

/// Reads an audio file, or the first audio track of a film, in bounded memory: an iterator over blocks of samples of
/// all channels, in the file's own sampling rate. [`docs/audio.md`](crate::guide::audio) lists the formats, and what is cut
/// at both ends.
///
/// A file that breaks off, or has damaged packets, gives what it has; [`damage`](Self::damage) then says what is missing.
///
/// ```
/// use sconce::audio::{Audio, AudioReader};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("call.wav");
/// Audio::new(vec![0.25; 8_000], 8_000)?.save(&path)?;
/// let mut reader = AudioReader::open(&path)?;
/// assert_eq!((reader.sampling_rate(), reader.channels()), (8_000, 1));
/// let mut loudest = 0.0_f32;
/// for block in &mut reader {
///     loudest = block?.samples.iter().fold(loudest, |loudest, sample| loudest.max(sample.abs()));
/// }
/// assert_eq!((loudest, reader.damage()), (0.25, None));
///
/// let audio = AudioReader::open(&path)?.mono(16_000)?;
/// assert_eq!(audio.samples.len(), 16_000);
/// # Ok::<(), sconce::Error>(())
/// ```
pub struct AudioReader<'s> {
    path: Option<PathBuf>,
    container: Container<'s>,
    decoder: Decoder,
    cut: Cut,
    sound: Sound,
    /// What packets are now, and how that becomes `sound`, where it is something else.
    own: Sound,
    conform: Option<Conform>,
    /// The first block, which was decoded to know `sound`.
    first: Option<AudioBlock>,
    /// Samples of each channel that were given out.
    given: u64,
    /// Packets that could not be decoded.
    lost: u64,
    /// How many samples of each channel the last packet had.
    packet_length: usize,
    damage: Option<String>,
    has_ended: bool,
}

impl AudioReader<'static> {
    /// Opens a file. Its format is known by its content.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is in no format that is supported, or has no audio.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::with_path(file::open(path)?, Some(path.to_owned()))
    }
}

impl<'s> AudioReader<'s> {
    /// Reads a file that is held elsewhere, such as in memory, in a [`Cursor`].
    ///
    /// # Errors
    ///
    /// As [`open`](AudioReader::open).
    pub fn new(source: impl Read + Seek + Send + Sync + 's) -> Result<Self> {
        Self::with_path(source, None)
    }

    fn with_path(
        source: impl Read + Seek + Send + Sync + 's,
        path: Option<PathBuf>,
    ) -> Result<Self> {
        let opened = Container::open(source).and_then(|container| {
            let (decoder, skip) = Decoder::new(&container.track, container.is_mp4)?;
            Ok((container, decoder, skip))
        });
        let (container, decoder, skip) =
            opened.map_err(|failure| failure_in(path.as_deref(), failure))?;
        let stated = decoder.sound(&container.track);
        let mut reader = Self {
            path,
            container,
            decoder,
            cut: Cut::new(skip),
            sound: UNKNOWN,
            own: UNKNOWN,
            conform: None,
            first: None,
            given: 0,
            lost: 0,
            packet_length: 0,
            damage: None,
            has_ended: false,
        };
        // What decoders give may differ from what files state.
        reader.first = reader.next_block()?;
        if reader.first.is_none() {
            if let Some(damage) = &reader.damage {
                return Err(reader.error(damage));
            }
            reader.sound = stated.ok_or_else(|| reader.error("the file has no samples"))?;
        }
        if reader.sound.sampling_rate == 0 || reader.sound.channels == 0 {
            let Sound { sampling_rate, channels } = reader.sound;
            return Err(reader.error(&format!("has {channels} channels of {sampling_rate} Hz")));
        }
        Ok(reader)
    }

    /// Samples per second of each channel.
    #[must_use]
    pub fn sampling_rate(&self) -> u32 {
        self.sound.sampling_rate
    }

    /// The number of channels.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.sound.channels
    }

    /// The kind of file, by its usual short name: `wave`, `mp3`, `flac`, `ogg`, `isomp4`, `matroska`, `aiff`, `aac`.
    #[must_use]
    pub fn format(&self) -> &'static str {
        self.container.format
    }

    /// How long the sound is, as far as the file says so; for an mp3 without a tag, an estimate.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        let exact = self
            .container
            .length()
            .map(|length| length as f64 / f64::from(self.sound.sampling_rate));
        exact
            .or_else(|| self.container.seconds())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// What is missing: a file that breaks off, packets that could not be decoded. Known when the last block was read.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// The rest of the sound as one channel of so many samples per second: channels are mixed by their mean, and
    /// resampled as by a [`Resampler`](crate::audio::Resampler). Nothing else of the sound is held in memory. Damage is a
    /// [warning](crate::pipeline::on_warning).
    ///
    /// # Errors
    ///
    /// When the file cannot be read further, a sample is no finite number, the rates do not go together, or there is no
    /// memory.
    pub fn mono(mut self, sampling_rate: u32) -> Result<Audio> {
        let mut stream =
            AudioStream::new(self.sound.sampling_rate, self.sound.channels, sampling_rate)?;
        let mut samples = Vec::new();
        self.reserve(&mut samples, sampling_rate)?;
        while let Some(block) = self.next().transpose()? {
            stream.push(&block.samples, &mut samples)?;
        }
        stream.finish(&mut samples)?;
        samples.shrink_to_fit();
        self.warn_of_damage();
        Audio::new(samples, sampling_rate)
    }

    /// The rest of the sound, each channel apart, in the file's sampling rate: recordings of calls have a speaker in each.
    ///
    /// # Errors
    ///
    /// As [`mono`](Self::mono).
    pub fn split(mut self) -> Result<Vec<Audio>> {
        let mut channels = vec![Vec::new(); self.sound.channels];
        for samples in &mut channels {
            self.reserve(samples, self.sound.sampling_rate)?;
        }
        while let Some(block) = self.next().transpose()? {
            for (number, samples) in channels.iter_mut().enumerate() {
                reserve(samples, block.samples.len() / block.channels)?;
                samples.extend(block.samples.iter().skip(number).step_by(block.channels));
            }
        }
        self.warn_of_damage();
        channels.into_iter().map(|samples| Audio::new(samples, self.sound.sampling_rate)).collect()
    }

    /// Room for the whole sound, where the file says how long it is and has the bytes for it.
    fn reserve(&self, samples: &mut Vec<f32>, sampling_rate: u32) -> Result<()> {
        reserve(samples, self.expected_samples(sampling_rate).unwrap_or(0))
    }

    /// How many samples of a channel the file has at another rate, as far as it says so and has the bytes for
    /// them.
    pub(crate) fn expected_samples(&self, sampling_rate: u32) -> Option<usize> {
        let seconds = self.duration()?.as_secs_f64();
        let most = self.container.byte_length.saturating_mul(MOST_SAMPLES_PER_BYTE);
        Some(((seconds * f64::from(sampling_rate)) as u64).min(most) as usize)
    }

    fn warn_of_damage(&self) {
        if let Some(damage) = &self.damage {
            let path = self.path.as_ref().map(|path| format!("{}: ", path.display()));
            warn(&format!("{}{damage}", path.unwrap_or_default()));
        }
    }

    /// Decodes packets until one gives samples; at the end of the file, `None`.
    fn next_block(&mut self) -> Result<Option<AudioBlock>> {
        while !self.has_ended {
            match self.container.next_packet() {
                Ok(Some(packet)) => {
                    if let Some(block) = self.decode(packet)? {
                        return Ok(Some(block));
                    }
                }
                Ok(None) => self.end(None),
                Err(Failure::Error(SymphoniaError::ResetRequired)) => self.restart()?,
                Err(Failure::Error(SymphoniaError::IoError(error)))
                    if error.kind() == ErrorKind::UnexpectedEof =>
                {
                    self.end((!self.container.is_open).then_some("the file breaks off"));
                }
                Err(failure @ Failure::Error(SymphoniaError::IoError(_))) => {
                    return Err(self.failure(failure));
                }
                Err(failure) => self.end(Some(&failure.to_string())),
            }
        }
        match self.conform.take() {
            Some(mut last) => Ok(self.block(last.finish()?)),
            None => Ok(None),
        }
    }

    fn decode(&mut self, mut packet: Packet) -> Result<Option<AudioBlock>> {
        // Decoders are not to leave out anything themselves.
        let trim_end = mem::replace(&mut packet.trim_end, SymphoniaDuration::ZERO);
        packet.trim_start = SymphoniaDuration::ZERO;
        let mut samples = Vec::new();
        let decoded = match self.decoder.decode(&packet, &mut samples) {
            Err(Failure::Lost) => {
                let changed = self.decoder.decode_changed(&packet, &mut samples, self.own);
                if changed.is_ok() {
                    // What is held back was padding.
                    self.cut = Cut::new(0);
                }
                changed
            }
            decoded => decoded,
        };
        let sound = match decoded {
            Ok(sound) => sound,
            Err(Failure::Lost) => {
                // Silence keeps what follows at its time.
                self.lost += 1;
                samples.clear();
                samples.resize(self.packet_length * self.own.channels, 0.0);
                self.own
            }
            Err(failure) => {
                self.end(Some(&failure.to_string()));
                return Ok(None);
            }
        };
        if samples.is_empty() {
            return Ok(None);
        }
        let mut before = Vec::new();
        if self.sound == UNKNOWN {
            self.sound = sound;
        } else if self.own != sound {
            if let Some(mut conform) = self.conform.take() {
                before = conform.finish()?;
            }
            if sound != self.sound {
                self.conform = Some(Conform::new(sound, self.sound)?);
            }
        }
        self.own = sound;
        self.packet_length = samples.len() / sound.channels;
        let frames = self.packet_length as u64;
        let trim = self.container.trim(&packet, trim_end, frames, sound);
        self.cut.apply(&mut samples, sound.channels, trim);
        if let Some(at) = samples.iter().position(|sample| !sample.is_finite()) {
            let (at, value) = (self.given + (at / sound.channels) as u64, samples[at]);
            return Err(self.error(&format!("sample {at} of the audio is {value}")));
        }
        if let Some(conform) = &mut self.conform {
            samples = conform.push(&samples)?;
        }
        before.append(&mut samples);
        Ok(self.block(before))
    }

    /// A block that is given out, where there is something in it.
    fn block(&mut self, samples: Vec<f32>) -> Option<AudioBlock> {
        let channels = self.sound.channels;
        self.given += (samples.len() / channels) as u64;
        (!samples.is_empty()).then_some(AudioBlock { samples, channels })
    }

    /// Another stream follows the first, as in chained Ogg files.
    fn restart(&mut self) -> Result<()> {
        let restarted = self
            .container
            .restart()
            .and_then(|()| Decoder::new(&self.container.track, self.container.is_mp4));
        let (decoder, skip) = restarted.map_err(|failure| self.failure(failure))?;
        (self.decoder, self.cut) = (decoder, Cut::new(skip));
        Ok(())
    }

    /// No more packets come. What is missing is noted.
    fn end(&mut self, reason: Option<&str>) {
        self.has_ended = true;
        let mut damage = Vec::from_iter(reason.map(str::to_owned));
        if self.lost > 0 {
            damage
                .push(format!("{} of its packets could not be decoded and are silence", self.lost));
        }
        if self.container.breaks_off {
            damage.push("the file breaks off".to_owned());
        }
        if let Some(length) = self.container.length().filter(|length| self.given < *length) {
            let given = self.given;
            damage.push(format!("it has {given} of the {length} samples that it should have"));
        }
        self.damage = (!damage.is_empty()).then(|| damage.join("; "));
    }

    fn failure(&self, failure: Failure) -> Error {
        failure_in(self.path.as_deref(), failure)
    }

    fn error(&self, reason: &str) -> Error {
        self.failure(Failure::Other(reason.to_owned()))
    }
}

impl Iterator for AudioReader<'_> {
    type Item = Result<AudioBlock>;

    /// The next block; nothing after an error.
    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.first.take() {
            Some(first) => return Some(Ok(first)),
            None => self.next_block(),
        };
        self.has_ended |= next.is_err();
        next.transpose()
    }
}

impl std::fmt::Debug for AudioReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioReader")
            .field("path", &self.path)
            .field("container", &self.container)
            .field("sampling_rate", &self.sound.sampling_rate)
            .field("channels", &self.sound.channels)
            .finish_non_exhaustive()
    }
}

/// Reads a whole file as one channel, in its own sampling rate.
///
/// # Errors
///
/// As [`AudioReader::open`] and [`AudioReader::mono`].
pub fn read(path: impl AsRef<Path>) -> Result<Audio> {
    let reader = AudioReader::open(path)?;
    let sampling_rate = reader.sampling_rate();
    reader.mono(sampling_rate)
}

/// Reads a whole file that is held in memory as one channel, in its own sampling rate.
///
/// # Errors
///
/// As [`AudioReader::new`] and [`AudioReader::mono`].
pub fn read_bytes(bytes: &[u8]) -> Result<Audio> {
    let reader = AudioReader::new(Cursor::new(bytes))?;
    let sampling_rate = reader.sampling_rate();
    reader.mono(sampling_rate)
}

fn failure_in(path: Option<&Path>, failure: Failure) -> Error {
    match (path, failure) {
        (Some(path), Failure::Error(SymphoniaError::IoError(error)))
            if error.kind() != ErrorKind::UnexpectedEof =>
        {
            Error::read(path)(error)
        }
        (Some(path), failure) => Error::malformed(path, failure),
        (None, failure) => Error::input(format!("audio: {failure}")),
    }
}

/// What speech at the lowest rates of Opus comes to; silence may come to more.
const MOST_SAMPLES_PER_BYTE: u64 = 64;
/// Before the first packet has been decoded.
const UNKNOWN: Sound = Sound { sampling_rate: 0, channels: 0 };
