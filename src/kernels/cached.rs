//! Keys and values as a cache keeps them.
//!
//! In 8 bits, a vector is blocks of 32 channels, the last one perhaps filled up: a scale in f16 and a
//! byte per channel, rounded to the nearest 127th of the largest.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::kernels::dense;
use crate::kernels::tier::{Tier, tiered};
use crate::kernels::tile::Rows;

/// Keys or values of a layer, `(rows, kv_heads, capacity, head_dim)`; in 8 bits
/// `(rows, kv_heads, capacity, block_bytes(head_dim))`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cached<'a> {
    F16(&'a [f16]),
    F32(&'a [f32]),
    Q8(&'a [u8]),
}

/// The same, to be written.
#[derive(Debug)]
pub(crate) enum Buffer<'a> {
    F16(&'a mut [f16]),
    F32(&'a mut [f32]),
    Q8(&'a mut [u8]),
}

/// Channels with a scale of their own.
const BLOCK: usize = 32;
/// Bytes of a block.
const BLOCK_BYTES: usize = 2 + BLOCK;

/// The bytes of a vector in 8 bits.
pub(crate) fn block_bytes(head_dim: usize) -> usize {
    head_dim.div_ceil(BLOCK) * BLOCK_BYTES
}

/// Writes keys or values, `(rows, tokens, kv_heads, head_dim)`, into a buffer of so many slots from a
/// slot on. In f16 what is beyond its range becomes its largest number.
pub(crate) fn store(
    new: &[f32],
    [rows, tokens, heads, head_dim]: [usize; 4],
    start: usize,
    capacity: usize,
    buffer: Buffer<'_>,
) {
    assert_eq!(new.len(), rows * tokens * heads * head_dim);
    assert!(start + tokens <= capacity);
    let places = new.chunks_exact(head_dim.max(1)).enumerate().map(|(number, vector)| {
        let (token, head) = (number / heads, number % heads);
        let (row, slot) = (token / tokens, start + token % tokens);
        ((row * heads + head) * capacity + slot, vector)
    });
    match buffer {
        Buffer::F16(buffer) => {
            let largest = f16::MAX.to_f32();
            let mut within = vec![0.0; head_dim];
            for (at, vector) in places {
                let values = within.iter_mut().zip(vector);
                values.for_each(|(within, value)| *within = value.clamp(-largest, largest));
                buffer[at * head_dim..][..head_dim].convert_from_f32_slice(&within);
            }
        }
        Buffer::F32(buffer) => {
            for (at, vector) in places {
                buffer[at * head_dim..][..head_dim].copy_from_slice(vector);
            }
        }
        Buffer::Q8(buffer) => {
            let width = block_bytes(head_dim);
            for (at, vector) in places {
                let blocks = buffer[at * width..][..width].as_chunks_mut().0;
                for (block, channels) in blocks.iter_mut().zip(vector.chunks(BLOCK)) {
                    round(channels, block);
                }
            }
        }
    }
}

/// Up to 32 channels in 8 bits.
fn round(channels: &[f32], block: &mut [u8; BLOCK_BYTES]) {
    let largest = channels.iter().fold(0.0_f32, |largest, channel| largest.max(channel.abs()));
    // Values are held against the scale as it is stored.
    let scale = f16::from_f32((largest / 127.0).min(f16::MAX.to_f32()));
    let inverse = if scale > f16::ZERO { 1.0 / scale.to_f32() } else { 0.0 };
    let (head, bytes) = block.split_at_mut(2);
    head.copy_from_slice(&scale.to_le_bytes());
    bytes.fill(0);
    for (byte, channel) in bytes.iter_mut().zip(channels) {
        let rounded = (channel * inverse).round_ties_even().clamp(-127.0, 127.0);
        *byte = (rounded as i8).cast_unsigned();
    }
}

tiered! {
    /// Blocks of vectors of `width`, as f32, each vector `stride` after the one before.
    fn unround(blocks: &[u8], width: usize, stride: usize, out: &mut [f32]) {
        let vectors = blocks.chunks_exact(width.div_ceil(BLOCK) * BLOCK_BYTES);
        for (out, vector) in out.chunks_exact_mut(stride).zip(vectors) {
            let blocks = vector.as_chunks::<BLOCK_BYTES>().0;
            for (out, block) in out[..width].chunks_mut(BLOCK).zip(blocks) {
                let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
                for (out, byte) in out.iter_mut().zip(&block[2..]) {
                    *out = scale * f32::from(byte.cast_signed());
                }
            }
        }
    }
}

impl Cached<'_> {
    /// Whether these are so many vectors of `head_dim` channels.
    pub(super) fn holds(&self, vectors: usize, head_dim: usize) -> bool {
        match self {
            Self::F16(values) => values.len() == vectors * head_dim,
            Self::F32(values) => values.len() == vectors * head_dim,
            Self::Q8(blocks) => blocks.len() == vectors * block_bytes(head_dim),
        }
    }

    /// Some of its vectors of `width`, as f32: where they lie, if they do so already, or in `room`, each
    /// `stride` after the one before.
    pub(super) fn rows<'a>(
        &'a self,
        vectors: Range<usize>,
        width: usize,
        stride: usize,
        room: &'a mut [f32],
    ) -> Rows<'a> {
        if let Self::F32(values) = self
            && width == stride
        {
            return Rows { values: &values[vectors.start * width..vectors.end * width], stride };
        }
        self.widen(vectors, width, stride, room);
        Rows { values: room, stride }
    }

    /// Some of its vectors of `width`, as f32, each `stride` after the one before.
    pub(crate) fn widen(
        &self,
        vectors: Range<usize>,
        width: usize,
        stride: usize,
        out: &mut [f32],
    ) {
        let (tier, range) = (Tier::best(), vectors.start * width..vectors.end * width);
        match self {
            Self::F16(values) if width == stride => {
                dense::widen(tier, &values[range.clone()], &mut out[..range.len()]);
            }
            Self::F16(values) => {
                let rows = values[range].chunks_exact(width);
                for (out, row) in out.chunks_exact_mut(stride).zip(rows) {
                    dense::widen(tier, row, &mut out[..width]);
                }
            }
            Self::F32(values) => {
                let rows = values[range].chunks_exact(width);
                for (out, row) in out.chunks_exact_mut(stride).zip(rows) {
                    out[..width].copy_from_slice(row);
                }
            }
            Self::Q8(blocks) => {
                let bytes = block_bytes(width);
                let blocks = &blocks[vectors.start * bytes..vectors.end * bytes];
                unround(tier, blocks, width, stride, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_are_off_by_a_254th_of_the_largest_of_32() {
        let [rows, tokens, heads, head_dim] = [2, 3, 2, 40];
        let mut new: Vec<f32> =
            (0..480).map(|at| ((at * 7919) % 1009) as f32 / 50.0 - 10.0).collect();
        new[40..80].fill(0.0);
        new[85] = -2e7;
        let (capacity, start) = (7, 2);
        let mut buffer = vec![1; rows * heads * capacity * block_bytes(head_dim)];
        let shape = [rows, tokens, heads, head_dim];
        store(&new, shape, start, capacity, Buffer::Q8(&mut buffer));
        assert!(Cached::Q8(&buffer).holds(rows * heads * capacity, head_dim));
        for (number, vector) in new.chunks(head_dim).enumerate() {
            let (token, head) = (number / heads, number % heads);
            let slot = ((token / tokens * heads) + head) * capacity + start + token % tokens;
            let mut found = vec![f32::NAN; 48];
            Cached::Q8(&buffer).widen(slot..slot + 1, head_dim, 48, &mut found);
            for (channels, found) in vector.chunks(32).zip(found.chunks(32)) {
                let largest = channels.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                // What is beyond 127 times the largest f16 becomes that.
                let largest = largest.min(127.0 * 65504.0);
                for (channel, found) in channels.iter().zip(found) {
                    let channel = channel.clamp(-largest, largest);
                    assert!((channel - found).abs() <= largest * 0.0041, "{channel} {found}");
                }
            }
        }
    }
}
