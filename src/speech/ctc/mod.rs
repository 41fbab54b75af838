//! From the logits of CTC models to text: `Wav2Vec2CTCTokenizer` of transformers, and a search over prefixes
//! without a language model, as pyctcdecode does it.

mod beams;
mod chunks;
mod decode;
mod set_order;
mod tokenizer;

pub use beams::{CtcBeam, CtcBeamOptions};
pub use chunks::{ChunkStride, join_chunks};
pub use decode::{CtcOffset, CtcText};
pub use tokenizer::CtcTokenizer;

use candle_core::Tensor;

use crate::error::Result;

/// The most likely id of each frame of `(frames, vocab)`, the first of several.
///
/// # Errors
///
/// When the tensor has another number of dimensions.
pub fn greedy_ids(logits: &Tensor) -> Result<Vec<u32>> {
    let best = |row: &Vec<f32>| {
        let mut best = 0;
        for (id, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = id;
            }
        }
        best as u32
    };
    Ok(logits.to_dtype(candle_core::DType::F32)?.to_vec2::<f32>()?.iter().map(best).collect())
}
