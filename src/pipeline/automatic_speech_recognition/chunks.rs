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

/// Cuts one recording, which comes block by block.
#[derive(Debug)]
pub(super) struct Cutter {
    chunking: Chunking,
    /// From where the next chunk begins.
    pending: Vec<f32>,
    is_first: bool,
}

impl Cutter {
    pub(super) fn new(chunking: Chunking) -> Self {
        Self { chunking, pending: Vec::new(), is_first: true }
    }

    /// Takes samples and gives every chunk that is complete, and not the last, to a function.
    pub(super) fn push(
        &mut self,
        samples: &[f32],
        mut give: impl FnMut(&[f32], Overlap) -> Result<()>,
    ) -> Result<()> {
        self.pending.extend_from_slice(samples);
        let Chunking { length, left, right } = self.chunking;
        let mut from = 0;
        while self.pending.len() - from > length {
            let shared = if self.is_first { 0 } else { left };
            give(&self.pending[from..from + length], Overlap { length, left: shared, right })?;
            self.is_first = false;
            from += length - left - right;
        }
        self.pending.drain(..from);
        Ok(())
    }

    /// Gives the last chunk to a function.
    pub(super) fn finish(self, mut give: impl FnMut(&[f32], Overlap) -> Result<()>) -> Result<()> {
        let left = if self.is_first { 0 } else { self.chunking.left };
        match self.pending.len() {
            length if length > left => give(&self.pending, Overlap { length, left, right: 0 }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(count: usize, chunking: Chunking) -> Vec<(usize, usize, usize)> {
        let mut found = Vec::new();
        let mut cutter = Cutter::new(chunking);
        let samples: Vec<f32> = (0..count).map(|at| at as f32).collect();
        let mut give = |_: &[f32], overlap: Overlap| {
            found.push((overlap.length, overlap.left, overlap.right));
            Ok(())
        };
        for block in samples.chunks(700) {
            cutter.push(block, &mut give).unwrap();
        }
        cutter.finish(&mut give).unwrap();
        found
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
