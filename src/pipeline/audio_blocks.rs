//! The samples of recordings, block by block.

use std::io::Cursor;
use std::path::Path;

use crate::audio::{AudioReader, AudioStream};
use crate::error::{Error, Result};
use crate::media::Audio;
use crate::pipeline::audio_input::AudioInput;
use crate::warning::warn;

/// The samples of a recording at a model's rate, block by block: of a file, a packet is in memory at a time.
#[derive(Debug)]
pub(super) struct AudioBlocks {
    source: Source,
    /// `None` when all samples have come.
    stream: Option<AudioStream>,
    stride: Option<(usize, usize)>,
    expected: Option<usize>,
}

#[derive(Debug)]
enum Source {
    File(Box<AudioReader<'static>>),
    Samples { samples: Vec<f32>, taken: usize },
}

impl AudioInput {
    /// The samples at another rate, block by block.
    pub(super) fn blocks(self, rate: u32) -> Result<AudioBlocks> {
        match self {
            Self::File(path) => {
                refuse_address(&path)?;
                AudioBlocks::of_file(AudioReader::open(&path)?, rate)
            }
            Self::Bytes(bytes) => AudioBlocks::of_file(AudioReader::new(Cursor::new(bytes))?, rate),
            Self::Samples { audio, stride } => AudioBlocks::of_samples(audio, stride, rate),
        }
    }
}

impl AudioBlocks {
    fn of_file(reader: AudioReader<'static>, rate: u32) -> Result<Self> {
        let stream = AudioStream::new(reader.sampling_rate(), reader.channels(), rate)?;
        let expected = reader.expected_samples(rate);
        let source = Source::File(Box::new(reader));
        Ok(Self { source, stream: Some(stream), stride: None, expected })
    }

    fn of_samples(audio: Audio, stride: Option<(usize, usize)>, rate: u32) -> Result<Self> {
        let Audio { samples, sampling_rate: from, .. } = audio;
        let stream = AudioStream::new(from, 1, rate)?;
        let count = (samples.len() as u128 * u128::from(rate)).div_ceil(u128::from(from));
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if let Some((left, right)) = stride
            && left.saturating_add(right) > count
        {
            return Err(Error::input(format!(
                "a stride of {left} and {right} samples, but there are only {count}"
            )));
        }
        let ratio = f64::from(rate) / f64::from(from);
        let scaled = |samples: usize| (samples as f64 * ratio).round_ties_even() as usize;
        Ok(Self {
            source: Source::Samples { samples, taken: 0 },
            stream: Some(stream),
            stride: stride.map(|(left, right)| (scaled(left), scaled(right))),
            expected: Some(count),
        })
    }

    /// How many samples at both ends are only context, at the model's rate.
    pub(super) fn stride(&self) -> Option<(usize, usize)> {
        self.stride
    }

    /// How many samples there are, as far as that is known before they are read.
    pub(super) fn expected(&self) -> Option<usize> {
        self.expected
    }

    fn next_block(&mut self) -> Result<Option<Vec<f32>>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let mut block = Vec::new();
        let has_more = match &mut self.source {
            Source::File(reader) => match reader.next().transpose()? {
                Some(read) => {
                    stream.push(&read.samples, &mut block)?;
                    true
                }
                None => false,
            },
            Source::Samples { samples, taken } => {
                let rest = &samples[*taken..];
                let next = &rest[..rest.len().min(BLOCK)];
                *taken += next.len();
                stream.push(next, &mut block)?;
                !next.is_empty()
            }
        };
        if !has_more && let Some(stream) = self.stream.take() {
            stream.finish(&mut block)?;
            if let Source::File(reader) = &self.source
                && let Some(damage) = reader.damage()
            {
                warn(&format!("the recording is damaged: {damage}"));
            }
        }
        Ok(Some(block))
    }
}

impl Iterator for AudioBlocks {
    type Item = Result<Vec<f32>>;

    /// The next block; nothing after an error.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_block();
        if next.is_err() {
            self.stream = None;
        }
        next.transpose()
    }
}

fn refuse_address(path: &Path) -> Result<()> {
    let address =
        path.to_str().filter(|path| path.starts_with("http://") || path.starts_with("https://"));
    match address {
        None => Ok(()),
        Some(address) => Err(Error::input(format!("{address}: download it, and give the file"))),
    }
}

/// Samples that are handed on at once.
const BLOCK: usize = 1 << 16;
