//! Keys and values as a cache keeps them.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Keys or values of a layer, `(rows, kv_heads, capacity, head_dim)`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cached<'a> {
    F16(&'a [f16]),
    F32(&'a [f32]),
}

/// The same, to be written.
#[derive(Debug)]
pub(crate) enum Buffer<'a> {
    F16(&'a mut [f16]),
    F32(&'a mut [f32]),
}

/// Writes keys or values, `(rows, tokens, kv_heads, head_dim)`, into a buffer of
/// `(rows, kv_heads, capacity, head_dim)` from a slot on. In f16 what is beyond its range becomes
/// its largest number.
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
        (((row * heads + head) * capacity + slot) * head_dim, vector)
    });
    match buffer {
        Buffer::F16(buffer) => {
            let largest = f16::MAX.to_f32();
            let mut within = vec![0.0; head_dim];
            for (at, vector) in places {
                let values = within.iter_mut().zip(vector);
                values.for_each(|(within, value)| *within = value.clamp(-largest, largest));
                buffer[at..at + head_dim].convert_from_f32_slice(&within);
            }
        }
        Buffer::F32(buffer) => {
            for (at, vector) in places {
                buffer[at..at + head_dim].copy_from_slice(vector);
            }
        }
    }
}

impl Cached<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::F16(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Some of its rows of `width`, as f32, each `stride` after the one before.
    pub(super) fn widen(&self, rows: Range<usize>, width: usize, stride: usize, out: &mut [f32]) {
        let range = rows.start * width..rows.end * width;
        match self {
            Self::F16(values) => {
                let rows = values[range].chunks_exact(width);
                for (out, row) in out.chunks_exact_mut(stride).zip(rows) {
                    row.convert_to_f32_slice(&mut out[..width]);
                }
            }
            Self::F32(values) => {
                let rows = values[range].chunks_exact(width);
                for (out, row) in out.chunks_exact_mut(stride).zip(rows) {
                    out[..width].copy_from_slice(row);
                }
            }
        }
    }
}
