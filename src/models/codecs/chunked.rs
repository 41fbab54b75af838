//! Sound in chunks of which each overlaps the next: EnCodec of 48 kHz.

use crate::error::{Error, Result};

/// Samples of each channel that wait until their chunk is whole.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<Vec<f32>>);

impl Waiting {
    pub(super) fn push(&mut self, channels: &[&[f32]]) {
        self.0.resize(channels.len(), Vec::new());
        self.0.iter_mut().zip(channels).for_each(|(waiting, channel)| waiting.extend(*channel));
    }

    /// The next chunk of so many samples, of which so many are before the one that follows. At the end of the row
    /// chunks are shorter.
    pub(super) fn next(
        &mut self,
        [length, stride]: [usize; 2],
        is_last: bool,
    ) -> Option<Vec<Vec<f32>>> {
        let samples = self.0.first().map_or(0, Vec::len);
        if samples == 0 || samples < length && !is_last {
            return None;
        }
        let chunk = self.0.iter().map(|channel| channel[..samples.min(length)].to_vec()).collect();
        self.0.iter_mut().for_each(|channel| drop(channel.drain(..samples.min(stride))));
        Some(chunk)
    }
}

/// Chunks of which each begins some samples after the one before, faded into each other: `_linear_overlap_add` of the
/// reference.
#[derive(Debug, Default)]
pub(super) struct FadedChunks {
    /// Samples of the first chunk, which say how all fade.
    first: Option<usize>,
    /// How many chunks there were, and the samples of the last one.
    count: usize,
    last: usize,
    /// The first sample that is not known yet, and what is known of it and of those behind it: sums of all channels,
    /// and of weights.
    start: usize,
    sums: Vec<f32>,
    weights: Vec<f32>,
}

impl FadedChunks {
    /// How many chunks there were.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Takes a chunk, a sample of each channel in turn, and returns the samples that are known by it.
    pub(super) fn push(
        &mut self,
        chunk: &[f32],
        stride: usize,
        channels: usize,
    ) -> Result<Vec<f32>> {
        let samples = chunk.len() / channels;
        let first = *self.first.get_or_insert(samples);
        let begin = self.count * stride - self.start;
        let end = self.weights.len().max(begin + samples);
        self.sums.resize(end * channels, 0.0);
        self.weights.resize(end, 0.0);
        for (at, frame) in chunk.chunks_exact(channels).enumerate() {
            // A triangle, without its ends.
            let time = (at + 1) as f32 / (first + 1) as f32;
            let weight = 0.5 - (time - 0.5).abs();
            let to = begin + at;
            self.weights[to] += weight;
            let sums = &mut self.sums[to * channels..(to + 1) * channels];
            sums.iter_mut().zip(frame).for_each(|(sum, sample)| *sum += weight * sample);
        }
        (self.count, self.last) = (self.count + 1, samples);
        // A short chunk may be the last, behind which nothing is heard of the one before.
        let known = if samples < stride { begin } else { begin + stride };
        self.known(known, channels)
    }

    /// The samples that are left at the end.
    pub(super) fn finish(&mut self, stride: usize, channels: usize) -> Result<Vec<f32>> {
        let total = self.count.saturating_sub(1) * stride + self.last;
        self.known(total.saturating_sub(self.start), channels)
    }

    fn known(&mut self, count: usize, channels: usize) -> Result<Vec<f32>> {
        let gap = self.weights.iter().take(count).position(|&weight| weight == 0.0);
        let gap = gap.or_else(|| (count > self.weights.len()).then_some(self.weights.len()));
        if let Some(gap) = gap {
            return Err(Error::input(format!("no chunk has sample {}", self.start + gap)));
        }
        let mut samples: Vec<f32> = self.sums.drain(..count * channels).collect();
        let weights = self.weights.drain(..count);
        for (frame, weight) in samples.chunks_exact_mut(channels).zip(weights) {
            frame.iter_mut().for_each(|sample| *sample /= weight);
        }
        self.start += count;
        Ok(samples)
    }
}
