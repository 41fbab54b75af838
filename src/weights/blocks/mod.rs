//! ggml's block types that candle does not know: read here, and computed with in another format.
//!
//! The layouts are those of `ggml-common.h`; what the blocks stand for is held bit for bit against
//! gguf-py's `quants.py`.

mod bytes;
mod grids;
mod iq;
mod small;

use crate::source::ggml::GgmlType;

/// Writes what whole blocks stand for, as many numbers as `out` takes.
pub(super) type Reader = fn(&[u8], &mut [f32]);

/// The reader of a type, where there is one.
pub(super) fn reader(kind: GgmlType) -> Option<Reader> {
    READERS.iter().find(|(number, _)| *number == kind.number).map(|(_, read)| *read)
}

/// By ggml's number of the type.
const READERS: &[(u32, Reader)] = &[
    (16, |blocks, out| each(blocks, out, iq::iq2_xxs)),
    (17, |blocks, out| each(blocks, out, iq::iq2_xs)),
    (18, |blocks, out| each(blocks, out, iq::iq3_xxs)),
    (19, |blocks, out| each(blocks, out, iq::iq1_s)),
    (20, |blocks, out| each(blocks, out, small::iq4_nl)),
    (21, |blocks, out| each(blocks, out, iq::iq3_s)),
    (22, |blocks, out| each(blocks, out, iq::iq2_s)),
    (23, |blocks, out| each(blocks, out, small::iq4_xs)),
    (29, |blocks, out| each(blocks, out, iq::iq1_m)),
    (34, |blocks, out| each(blocks, out, small::tq1_0)),
    (35, |blocks, out| each(blocks, out, small::tq2_0)),
    (39, |blocks, out| each(blocks, out, small::mxfp4)),
    (40, |blocks, out| each(blocks, out, small::nvfp4)),
];

/// `BYTES` bytes of a block stand for `WEIGHTS` numbers.
fn each<const BYTES: usize, const WEIGHTS: usize>(
    blocks: &[u8],
    out: &mut [f32],
    read: fn(&[u8; BYTES], &mut [f32; WEIGHTS]),
) {
    for (block, out) in blocks.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        read(block, out);
    }
}
