//! From a file's bytes to the tensors a model computes with: dense in any dtype, or blocks.
//!
//! Everything runs in parallel over chunks, straight from the mapped file into the result, so no
//! tensor ever exists a second time in another dtype.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor, WithDType};
use half::slice::HalfFloatSliceExt;
use half::vec::HalfBitsVecExt;
use half::{bf16, f16};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use crate::error::{Error, Result};
use crate::kernels::packed::{Packed, Unpackable};
use crate::kernels::quantize;
use crate::weights::elements::{Elements, block_name, each};
use crate::weights::linear::Matrix;
use crate::weights::plan::Blocks;
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

/// The tensor's elements.
pub(super) fn numbers(stored: &StoredTensor<'_>) -> Result<Vec<f32>> {
    values::<f32>(stored, 0.0)
}

/// The matrix as blocks; its rows must be whole blocks. Stored blocks of that kind are used as they
/// are. On the CPU they are packed for the kernels.
pub(super) fn blocks(stored: &StoredTensor<'_>, blocks: Blocks, device: &Device) -> Result<Matrix> {
    let matrix = match blocks {
        Blocks::Of(kind) if stored.elements != Elements::Blocks(kind) => {
            quantized_matrix(stored, kind, device)?
        }
        _ => stored_matrix(stored, device)?,
    };
    stored.release();
    Ok(matrix)
}

fn stored_matrix(stored: &StoredTensor<'_>, device: &Device) -> Result<Matrix> {
    let pieces: Vec<&[u8]> = stored.pieces.iter().map(Cow::as_ref).collect();
    if let (Some(format), &[rows, columns], true) =
        (stored.elements.packed(), stored.shape.as_slice(), device.is_cpu())
    {
        match Packed::new(format, rows, columns, &pieces) {
            Ok(packed) => return Ok(Matrix::Packed(Arc::new(packed))),
            Err(Unpackable::NotFinite) => return Err(not_finite(stored, stored.elements.name())),
            Err(Unpackable::Shape) => {}
        }
    }
    check_scales(stored)?;
    let Elements::Blocks(kind) = stored.elements else { return Err(stored.unreadable()) };
    let bytes = match pieces.as_slice() {
        [whole] => Cow::Borrowed(*whole),
        pieces => Cow::Owned(pieces.concat()),
    };
    by_candle(bytes, kind, stored, device)
}

/// On the CPU, eight rows at a time are quantized and packed, without another copy of the matrix.
fn quantized_matrix(stored: &StoredTensor<'_>, kind: GgmlDType, device: &Device) -> Result<Matrix> {
    let packs = device.is_cpu() && stored.elements_count() > 0;
    let (Some(format), &[rows, columns], true) =
        (Elements::Blocks(kind).packed(), stored.shape.as_slice(), packs)
    else {
        return by_candle(Cow::Owned(quantized(stored, kind)?), kind, stored, device);
    };
    let row_bytes = stored.row_bytes(rows).ok_or_else(|| stored.unreadable())?;
    let pieces = stored.pieces.iter();
    let starts: Vec<&[u8]> = pieces.flat_map(|piece| piece.chunks_exact(row_bytes)).collect();
    let packed = Packed::quantized(format, [rows, columns], |range, out| {
        for (row, out) in starts[range].iter().zip(out.chunks_exact_mut(columns)) {
            stored.elements.widen(row, out)?;
        }
        check_range(stored, kind, out)
    })?;
    let packed = packed.ok_or_else(|| no_quantizer(format.name()))?;
    Ok(Matrix::Packed(Arc::new(packed)))
}

fn by_candle(
    bytes: Cow<'_, [u8]>,
    kind: GgmlDType,
    stored: &StoredTensor<'_>,
    device: &Device,
) -> Result<Matrix> {
    let storage = QStorage::from_data(bytes, device, kind)?;
    Ok(Matrix::Quantized(Arc::new(QTensor::new(storage, stored.shape.as_slice())?)))
}

fn collect<T: Float>(stored: &StoredTensor<'_>, plus: f32, device: &Device) -> Result<Tensor> {
    let tensor = Tensor::from_vec(values::<T>(stored, plus)?, stored.shape.as_slice(), device)?;
    stored.release();
    Ok(tensor)
}

fn values<T: Float>(stored: &StoredTensor<'_>, plus: f32) -> Result<Vec<T>> {
    // Memory that the system hands out zeroed is first touched by the thread that fills it.
    let mut values = T::zeros(stored.elements_count());
    let as_stored = stored.elements == T::STORED && plus == 0.0;
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
                    if as_stored {
                        T::copy(bytes, out);
                    } else {
                        stored.elements.widen(bytes, scratch)?;
                        if plus != 0.0 {
                            scratch.iter_mut().for_each(|value| *value += plus);
                        }
                        T::narrow(scratch, out);
                    }
                    if finite(out, T::is_finite) {
                        Ok(())
                    } else {
                        Err(not_finite(stored, T::DTYPE.as_str()))
                    }
                },
            )?;
    }
    Ok(values)
}

/// The tensor's blocks of `kind`, which its rows must divide into.
pub(super) fn quantized(stored: &StoredTensor<'_>, kind: GgmlDType) -> Result<Vec<u8>> {
    let (weights, size) = (kind.block_size(), kind.type_size());
    let format = Elements::Blocks(kind).packed();
    let quantize = format.and_then(quantize::to).ok_or_else(|| no_quantizer(block_name(kind)))?;
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
                check_range(stored, kind, scratch).map(|()| quantize(scratch, out))
            },
        )?;
    }
    Ok(blocks)
}

/// Blocks hold only what f16 holds, because their scales are f16: the searches for scales overflow
/// beyond it.
fn check_range(stored: &StoredTensor<'_>, kind: GgmlDType, values: &[f32]) -> Result<()> {
    /// The largest number of f16.
    const MOST: f32 = 65_504.0;
    let holds = |value: f32| value.abs() <= MOST;
    if finite(values, holds) { Ok(()) } else { Err(not_finite(stored, block_name(kind))) }
}

fn no_quantizer(blocks: &str) -> Error {
    Error::unsupported(format!("quantizing to {blocks}"))
}

/// A dtype that dense weights may have.
trait Float: WithDType {
    /// What holds it as it is.
    const STORED: Elements;

    fn zeros(length: usize) -> Vec<Self>;

    fn copy(bytes: &[u8], out: &mut [Self]);

    /// Rounds to the nearest; what is beyond its range is infinite.
    fn narrow(values: &[f32], out: &mut [Self]);

    fn is_finite(self) -> bool;
}

impl Float for f32 {
    const STORED: Elements = Elements::F32;

    fn zeros(length: usize) -> Vec<Self> {
        vec![0.0; length]
    }

    fn copy(bytes: &[u8], out: &mut [Self]) {
        each(bytes, out, Self::from_le_bytes);
    }

    fn narrow(values: &[f32], out: &mut [Self]) {
        out.copy_from_slice(values);
    }

    fn is_finite(self) -> bool {
        self.is_finite()
    }
}

macro_rules! half_precision {
    ($($float:ident: $stored:ident),*) => {
        $(impl Float for $float {
            const STORED: Elements = Elements::$stored;

            fn zeros(length: usize) -> Vec<Self> {
                vec![0_u16; length].reinterpret_into()
            }

            fn copy(bytes: &[u8], out: &mut [Self]) {
                each(bytes, out, Self::from_le_bytes);
            }

            fn narrow(values: &[f32], out: &mut [Self]) {
                out.convert_from_f32_slice(values);
            }

            fn is_finite(self) -> bool {
                self.is_finite()
            }
        })*
    };
}
half_precision!(bf16: BF16, f16: F16);

/// Checks all elements: that vectorizes, and stopping at the first bad one would not.
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
