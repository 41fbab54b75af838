//! Recordings made ready for the model.

use std::sync::{Arc, Mutex, PoisonError};

use crate::audio::{AudioFeatures, FeatureExtractor};
use crate::error::{Error, Result};
use crate::pipeline::audio_blocks::AudioBlocks;
use crate::pipeline::audio_input::AudioInput;
use crate::pipeline::automatic_speech_recognition::chunks::{Chunking, Chunks, Overlap};
use crate::pipeline::automatic_speech_recognition::model::Local;
use crate::pipeline::flow::Measured;

/// A recording. Its chunks are read when the model comes to them, so that of an hour a minute is in memory.
#[derive(Debug)]
pub(super) struct Row {
    parts: Mutex<PartStream>,
    length: usize,
    seconds: f64,
}

/// What the model reads at once: a recording, or a chunk of one.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) features: Arc<AudioFeatures>,
    /// What it shares with its neighbours.
    pub(super) overlap: Option<Overlap>,
    /// How much of the recording is read with it, in seconds.
    pub(super) end: f64,
}

/// The parts of a recording.
#[derive(Debug)]
pub(super) enum PartStream {
    Whole(Part),
    Chunks {
        pipeline: Local,
        chunks: Box<Chunks<AudioBlocks>>,
        /// Samples that are read.
        done: usize,
    },
    End,
}

impl Row {
    /// A whole recording, or what its chunks will be read from.
    pub(super) fn new(
        input: AudioInput,
        pipeline: &Local,
        chunking: Option<Chunking>,
    ) -> Result<Self> {
        let rate = pipeline.sampling_rate();
        let Some(chunking) = chunking else {
            let part = whole(input, &pipeline.parts.extractor)?;
            let (length, seconds) = (part.features.frames(), part.end);
            return Ok(Self { parts: Mutex::new(PartStream::Whole(part)), length, seconds });
        };
        if let AudioInput::Samples { stride: Some(_), .. } = input {
            let reason = "samples with a `stride` are not cut into chunks: leave one out";
            return Err(Error::input(reason));
        }
        let blocks = input.blocks(rate)?;
        let length = blocks.expected().unwrap_or(0);
        let chunks = Box::new(Chunks::new(chunking, blocks));
        let parts = PartStream::Chunks { pipeline: pipeline.clone(), chunks, done: 0 };
        let seconds = length as f64 / f64::from(rate);
        Ok(Self { parts: Mutex::new(parts), length, seconds })
    }

    /// Its parts, which come once.
    pub(super) fn parts(&self) -> PartStream {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *parts, PartStream::End)
    }

    /// How long it is, as far as that is known; else 0.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds
    }
}

impl Measured for Row {
    fn length(&self) -> usize {
        self.length
    }
}

impl Iterator for PartStream {
    type Item = Result<Part>;

    /// The next part; nothing after an error.
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Chunks { pipeline, chunks, done } => {
                let rate = pipeline.sampling_rate();
                let extractor = &pipeline.parts.extractor;
                let part = chunks.next()?.and_then(|(samples, overlap)| {
                    let features = Arc::new(extractor.extract(&samples, rate)?);
                    *done += overlap.length - overlap.left - overlap.right;
                    let end = *done as f64 / f64::from(rate);
                    Ok(Part { features, overlap: Some(overlap), end })
                });
                if part.is_err() {
                    *self = Self::End;
                }
                Some(part)
            }
            one => match std::mem::replace(one, Self::End) {
                Self::Whole(part) => Some(Ok(part)),
                _ => None,
            },
        }
    }
}

/// The whole recording. Whisper's features are computed while it is read, so that an hour of samples is
/// never in memory.
fn whole(input: AudioInput, extractor: &FeatureExtractor) -> Result<Part> {
    let rate = extractor.sampling_rate();
    let blocks = input.blocks(rate)?;
    let (stride, expected) = (blocks.stride(), blocks.expected().unwrap_or(0));
    let (features, length) = match extractor {
        FeatureExtractor::Whisper(extractor) => {
            let mut stream = extractor.stream();
            stream.expect(expected)?;
            for block in blocks {
                stream.push(&block?)?;
            }
            let length = stream.samples();
            (stream.finish(extractor.chunk_samples())?, length)
        }
        extractor => {
            let mut samples = Vec::new();
            for block in blocks {
                samples.append(&mut block?);
            }
            (extractor.extract(&samples, rate)?, samples.len())
        }
    };
    let overlap = stride.map(|(left, right)| Overlap { length, left, right });
    Ok(Part { features: Arc::new(features), overlap, end: length as f64 / f64::from(rate) })
}
