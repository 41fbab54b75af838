//! Recordings made ready for the model.

use std::sync::Arc;

use crate::audio::{AudioFeatures, FeatureExtractor};
use crate::error::{Error, Result};
use crate::pipeline::audio_input::AudioInput;
use crate::pipeline::automatic_speech_recognition::chunks::{Chunking, Cutter, Overlap};
use crate::pipeline::flow::Measured;

/// A recording, or a chunk of one.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) features: Arc<AudioFeatures>,
    /// What it shares with its neighbours.
    pub(super) overlap: Option<Overlap>,
}

impl Measured for Row {
    fn length(&self) -> usize {
        self.features.frames()
    }
}

/// The rows of a recording: one, or its chunks.
pub(super) fn rows_of(
    input: AudioInput,
    extractor: &FeatureExtractor,
    chunking: Option<Chunking>,
) -> Result<Vec<Row>> {
    match chunking {
        None => whole(input, extractor).map(|row| vec![row]),
        Some(chunking) => chunks(input, extractor, chunking),
    }
}

/// The whole recording. Whisper's features are computed while it is read, so that an hour of samples is
/// never in memory.
fn whole(input: AudioInput, extractor: &FeatureExtractor) -> Result<Row> {
    let rate = extractor.sampling_rate();
    let (features, samples, stride) = match extractor {
        FeatureExtractor::Whisper(extractor) => {
            let mut stream = extractor.stream();
            let stride = input.for_each_block(rate, |block| stream.push(block))?;
            let samples = stream.samples();
            (stream.finish(extractor.chunk_samples())?, samples, stride)
        }
        extractor => {
            let mut samples = Vec::new();
            let stride = input.for_each_block(rate, |block| {
                samples.extend_from_slice(block);
                Ok(())
            })?;
            (extractor.extract(&samples, rate)?, samples.len(), stride)
        }
    };
    let overlap = stride.map(|(left, right)| Overlap { length: samples, left, right });
    Ok(Row { features: Arc::new(features), overlap })
}

fn chunks(input: AudioInput, extractor: &FeatureExtractor, chunking: Chunking) -> Result<Vec<Row>> {
    let rate = extractor.sampling_rate();
    if let AudioInput::Samples { stride: Some(_), .. } = input {
        return Err(Error::input("samples with a `stride` are not cut into chunks: leave one out"));
    }
    let mut rows = Vec::new();
    let mut give = |samples: &[f32], overlap: Overlap| {
        let features = Arc::new(extractor.extract(samples, rate)?);
        rows.push(Row { features, overlap: Some(overlap) });
        Ok(())
    };
    let mut cutter = Cutter::new(chunking);
    input.for_each_block(rate, |block| cutter.push(block, &mut give))?;
    cutter.finish(&mut give)?;
    Ok(rows)
}
