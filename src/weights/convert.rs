//! From a file's bytes to the tensors a model computes with: dense in any dtype, or blocks.
//!
//! Everything runs in parallel over chunks, straight from the mapped file into the result, so no
//! tensor ever exists a second time in another dtype.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor, WithDType};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use crate::error::{Error, Result};
use crate::kernels::packed::Packed;
use crate::weights::elements::Elements;
use crate::weights::linear::Matrix;
use crate::weights::plan::Blocks;
use crate::weights::quantize;
use crate::weights::store::StoredTensor;

/// The tensor in `dtype` (f32, f16 or bf16), each element plus `plus`.
pub(super) fn dense(
    stored: &StoredTensor<'_>,
    dtype: DType,
    plus: f32,
    device: &Device,
) -> Result<Tensor> {
    match dtype {
        DType::BF16 => collect::<bf16>(stored, plus, device),
        DType::F16 => collect::<f16>(stored, plus, device),
        _ => collect::<f32>(stored, plus, device),
    }
}

/// The matrix as blocks, whose rows must be whole ones; stored blocks of that kind are taken as they
/// are. On the CPU they are packed for its kernels.
pub(super) fn blocks(stored: &StoredTensor<'_>, blocks: Blocks, device: &Device) -> Result<Matrix> {
    let elements = match blocks {
        Blocks::AsStored => stored.elements.clone(),
        Blocks::Of(kind) => Elements::Blocks(kind),
    };
    let bytes;
    let pieces: Vec<&[u8]> = match blocks {
        Blocks::Of(kind) if stored.elements != elements => {
            bytes = quantized(stored, kind)?;
            stored.release();
            vec![bytes.as_slice()]
        }
        _ => {
            check_scales(stored)?;
            stored.pieces.iter().map(Cow::as_ref).collect()
        }
    };
    let packed = match (elements.packed(), stored.shape.as_slice()) {
        (Some(format), &[rows, columns]) if device.is_cpu() => {
            Packed::new(format, rows, columns, &pieces).ok()
        }
        _ => None,
    };
    let matrix = match (packed, elements) {
        (Some(packed), _) => Matrix::Packed(Arc::new(packed)),
        (None, Elements::Blocks(kind)) => {
            let bytes = match pieces.as_slice() {
                [whole] => Cow::Borrowed(*whole),
                pieces => Cow::Owned(pieces.concat()),
            };
            let storage = QStorage::from_data(bytes, device, kind)?;
            Matrix::Quantized(Arc::new(QTensor::new(storage, stored.shape.as_slice())?))
        }
        _ => return Err(stored.unreadable()),
    };
    stored.release();
    Ok(matrix)
}

fn collect<T: Float>(stored: &StoredTensor<'_>, plus: f32, device: &Device) -> Result<Tensor> {
    let mut values = vec![T::from_f64(0.0); stored.elements_count()];
    let mut rest = values.as_mut_slice();
    for piece in chunks(stored)? {
        let (out, later) = rest.split_at_mut(piece.elements);
        rest = later;
        out.par_chunks_mut(CHUNK)
            .zip(piece.bytes.par_chunks(piece.chunk_bytes))
            .try_for_each_init(
                || vec![0.0; CHUNK],
                |scratch, (out, bytes)| {
                    let scratch = &mut scratch[..out.len()];
                    stored.elements.widen(bytes, scratch)?;
                    if plus != 0.0 {
                        scratch.iter_mut().for_each(|value| *value += plus);
                    }
                    if T::narrow(scratch, out) {
                        Ok(())
                    } else {
                        Err(not_finite(stored, T::DTYPE.as_str()))
                    }
                },
            )?;
    }
    let tensor = Tensor::from_vec(values, stored.shape.as_slice(), device)?;
    stored.release();
    Ok(tensor)
}

/// The tensor's blocks of `kind`, which its rows must divide into.
pub(super) fn quantized(stored: &StoredTensor<'_>, kind: GgmlDType) -> Result<Vec<u8>> {
    let (weights, size) = (kind.block_size(), kind.type_size());
    let mut blocks = vec![0_u8; stored.elements_count() / weights * size];
    let mut rest = blocks.as_mut_slice();
    for piece in chunks(stored)? {
        let (out, later) = rest.split_at_mut(piece.elements / weights * size);
        rest = later;
        out.par_chunks_mut(CHUNK / weights * size)
            .zip(piece.bytes.par_chunks(piece.chunk_bytes))
            .try_for_each_init(
            || vec![0.0; CHUNK],
            |scratch, (out, bytes)| {
                let scratch = &mut scratch[..out.len() / size * weights];
                stored.elements.widen(bytes, scratch)?;
                if !finite(scratch, f32::is_finite) {
                    return Err(not_finite(stored, "f32"));
                }
                quantize::quantize(kind, scratch, out)
            },
        )?;
    }
    Ok(blocks)
}

/// A dtype that dense weights may have.
trait Float: WithDType {
    /// Rounds to the nearest; `false` if something is not finite, before or after.
    fn narrow(values: &[f32], out: &mut [Self]) -> bool;
}

impl Float for f32 {
    fn narrow(values: &[f32], out: &mut [Self]) -> bool {
        out.copy_from_slice(values);
        finite(out, Self::is_finite)
    }
}

impl Float for bf16 {
    fn narrow(values: &[f32], out: &mut [Self]) -> bool {
        out.convert_from_f32_slice(values);
        finite(out, Self::is_finite)
    }
}

impl Float for f16 {
    fn narrow(values: &[f32], out: &mut [Self]) -> bool {
        out.convert_from_f32_slice(values);
        finite(out, Self::is_finite)
    }
}

/// Looks at all of them, which vectorizes, where stopping at the first bad one would not.
fn finite<T: Copy>(values: &[T], is_finite: impl Fn(T) -> bool) -> bool {
    values.iter().fold(true, |finite, value| finite & is_finite(*value))
}

/// Bytes of a tensor that lie together, and how many of them make a chunk.
struct Piece<'a> {
    bytes: &'a [u8],
    elements: usize,
    chunk_bytes: usize,
}

fn chunks<'a>(stored: &'a StoredTensor<'_>) -> Result<Vec<Piece<'a>>> {
    let (weights, size) = stored.elements.unit().ok_or_else(|| stored.unreadable())?;
    let piece = |bytes: &'a Cow<'_, [u8]>| Piece {
        bytes,
        elements: bytes.len() / size * weights,
        chunk_bytes: CHUNK / weights * size,
    };
    Ok(stored.pieces.iter().map(piece).collect())
}

fn check_scales(stored: &StoredTensor<'_>) -> Result<()> {
    let (weights, size) = stored.elements.unit().ok_or_else(|| stored.unreadable())?;
    let scales = stored.elements.scales();
    let is_finite =
        |block: &[u8], at: usize| f16::from_le_bytes([block[at], block[at + 1]]).is_finite();
    let finite = stored.pieces.iter().all(|piece| {
        piece.par_chunks(CHUNK / weights * size).all(|blocks| {
            blocks.chunks_exact(size).all(|block| scales.iter().all(|&at| is_finite(block, at)))
        })
    });
    if finite { Ok(()) } else { Err(not_finite(stored, stored.elements.name())) }
}

fn not_finite(stored: &StoredTensor<'_>, dtype: &str) -> Error {
    let reason = format!(
        "tensor {:?} holds NaN, infinity or a number beyond the range of {dtype}",
        stored.name
    );
    Error::malformed(stored.file.path(), reason)
}

/// Elements that one thread converts at a time: whole blocks of every kind, and small enough that
/// the f32 values between reading and writing stay in the L2 cache.
const CHUNK: usize = 1 << 15;
