//! Recordings cut into chunks that overlap: `chunk_iter` of the Python pipeline.

use crate::error::{Error, Result};
use crate::pipeline::automatic_speech_recognition::options::{
    AutomaticSpeechRecognitionOptions, StrideLength,
};

/// How recordings are cut, in samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunking {
    pub(super) length: usize,
    left: usize,
    right: usize,
}

/// A chunk's own samples, and how many of them it shares with its neighbours, on the left and on the right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overlap {
    pub(super) length: usize,
    pub(super) left: usize,
    pub(super) right: usize,
}

impl Chunking {
    /// What the options ask for, with lengths that are whole numbers of `align_to` samples.
    pub(super) fn new(
        options: &AutomaticSpeechRecognitionOptions,
        rate: u32,
        align_to: usize,
    ) -> Result<Option<Self>> {
        let Some(seconds) = options.chunk_length_s.filter(|seconds| *seconds > 0.0) else {
            return Ok(None);
        };
        let (left, right) = match options.stride_length_s {
            None => (seconds / 6.0, seconds / 6.0),
            Some(StrideLength::Both(both)) => (both, both),
            Some(StrideLength::Each(left, right)) => (left, right),
        };
        let samples = |seconds: f64| {
            let aligned = (seconds * f64::from(rate) / align_to as f64).round_ties_even() as usize;
            aligned.saturating_mul(align_to)
        };
        let (length, left, right) = (samples(seconds), samples(left), samples(right));
        if length <= left.saturating_add(right) {
            return Err(Error::option(
                "chunk_length_s",
                format!("{seconds} s is not longer than what chunks share: see `stride_length_s`"),
            ));
        }
        Ok(Some(Self { length, left, right }))
    }
}

/// The chunks of one recording, cut while its blocks come: no more than one and a block is held.
#[derive(Debug)]
pub(super) struct Chunks<B> {
    chunking: Chunking,
    /// `None` after the last.
    blocks: Option<B>,
    /// From where the next chunk begins.
    pending: Vec<f32>,
    is_first: bool,
}

impl<B: Iterator<Item = Result<Vec<f32>>>> Chunks<B> {
    pub(super) fn new(chunking: Chunking, blocks: B) -> Self {
        Self { chunking, blocks: Some(blocks), pending: Vec::new(), is_first: true }
    }

    fn next_chunk(&mut self) -> Result<Option<(Vec<f32>, Overlap)>> {
        let Chunking { length, left, right } = self.chunking;
        let left_of = |is_first: bool| if is_first { 0 } else { left };
        while let Some(blocks) = &mut self.blocks {
            if self.pending.len() > length {
                let overlap = Overlap { length, left: left_of(self.is_first), right };
                let chunk = self.pending[..length].to_vec();
                self.pending.drain(..length - left - right);
                self.is_first = false;
                return Ok(Some((chunk, overlap)));
            }
            match blocks.next().transpose()? {
                Some(block) => self.pending.extend_from_slice(&block),
                None => self.blocks = None,
            }
        }
        let chunk = std::mem::take(&mut self.pending);
        let left = left_of(self.is_first);
        let overlap = Overlap { length: chunk.len(), left, right: 0 };
        Ok((chunk.len() > left).then_some((chunk, overlap)))
    }
}

impl<B: Iterator<Item = Result<Vec<f32>>>> Iterator for Chunks<B> {
    type Item = Result<(Vec<f32>, Overlap)>;

    /// The next chunk; nothing after an error.
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_chunk();
        if next.is_err() {
            self.blocks = None;
            self.pending.clear();
        }
        next.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(count: usize, chunking: Chunking) -> Vec<(usize, usize, usize)> {
        let samples: Vec<f32> = (0..count).map(|at| at as f32).collect();
        let blocks = samples.chunks(700).map(|block| Ok(block.to_vec()));
        let mut place = 0;
        let chunks = Chunks::new(chunking, blocks).map(|chunk| {
            let (chunk, Overlap { length, left, right }) = chunk.unwrap();
            assert_eq!((chunk.len(), chunk[0]), (length, place as f32));
            place += length - chunking.left - right;
            (length, left, right)
        });
        chunks.collect()
    }

    #[test]
    fn nothing_comes_after_an_error() {
        let chunking = Chunking { length: 100, left: 10, right: 10 };
        let blocks = [Ok(vec![0.0; 150]), Err(Error::input("broken")), Ok(vec![0.0; 150])];
        let mut chunks = Chunks::new(chunking, blocks.into_iter());
        assert!(chunks.next().unwrap().is_ok() && chunks.next().unwrap().is_err());
        assert!(chunks.next().is_none());
    }

    /// The chunks that `chunk_iter` of transformers 4.57.6 makes.
    #[test]
    fn chunks_are_those_of_python() {
        let chunking = Chunking { length: 16_000, left: 2_667, right: 2_667 };
        let middle = (16_000, 2_667, 2_667);
        let expected = [(16_000, 0, 2_667), middle, middle, middle, (5_336, 2_667, 0)];
        assert_eq!(cut(48_000, chunking), expected);
        assert_eq!(cut(16_000, chunking), [(16_000, 0, 0)]);
        assert_eq!(cut(16_001, chunking), [(16_000, 0, 2_667), (5_335, 2_667, 0)]);
        assert_eq!(cut(0, chunking), []);
    }

    #[test]
    fn chunks_are_longer_than_what_they_share() {
        let options = AutomaticSpeechRecognitionOptions::default().chunk_length_s(1.0);
        let of = |stride| Chunking::new(&options.clone().stride_length_s(stride), 16_000, 320);
        assert!(of(StrideLength::Both(0.5)).is_err());
        let found = of(StrideLength::Each(0.1, 0.25)).unwrap().unwrap();
        assert_eq!(found, Chunking { length: 16_000, left: 1_600, right: 3_840 });
        let none = AutomaticSpeechRecognitionOptions::default().chunk_length_s(0.0);
        assert_eq!(Chunking::new(&none, 16_000, 1).unwrap(), None);
    }
}
