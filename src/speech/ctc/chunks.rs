//! Recordings that were read in overlapping chunks.

/// Of a chunk of a recording: how much it holds, and how much of it belongs to the chunks before and after.
/// In samples, or in frames of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkStride {
    /// All of it.
    pub length: usize,
    /// At its beginning.
    pub left: usize,
    /// At its end.
    pub right: usize,
}

impl ChunkStride {
    /// The same in frames of logits of `ratio` samples each: `rescale_stride` of transformers.
    #[must_use]
    pub fn in_frames(self, ratio: usize) -> Self {
        if self.length == 0 || ratio == 0 {
            return Self { length: 0, left: 0, right: 0 };
        }
        let samples = self.length as f64;
        let frames = (samples * (1.0 / ratio as f64)).round_ties_even();
        let part = |part: usize| (part as f64 / samples * frames).round_ties_even() as usize;
        Self { length: frames as usize, left: part(self.left), right: part(self.right) }
    }
}

/// The ids of all frames of a recording from those of its chunks, each with its stride in frames: what
/// overlaps is left out. To be done before repeated ids are collapsed.
#[must_use]
pub fn join_chunks(chunks: &[(Vec<u32>, ChunkStride)]) -> Vec<u32> {
    let mut ids = Vec::new();
    for (chunk, stride) in chunks {
        // A chunk may have a frame less than its length in samples says.
        let end = stride.length.saturating_sub(stride.right).min(chunk.len());
        ids.extend(chunk.get(stride.left..end).unwrap_or_default());
    }
    ids
}
