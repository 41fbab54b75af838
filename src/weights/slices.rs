//! Tensors on the CPU as the slices that kernels take.

use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp1, Layout, Storage, Tensor};

use crate::error::{Error, Result};
use crate::kernels::dense::Dense;

/// Calls `work` with the elements of a contiguous f32 tensor on the CPU.
pub(crate) fn with_f32<T>(x: &Tensor, work: impl FnOnce(&[f32]) -> T) -> Result<T> {
    with_dense(x, |x| match x {
        Dense::F32(x) => Ok(work(x)),
        _ => Err(Error::input("numbers in f32 are expected")),
    })?
}

/// Calls `work` with the elements of a contiguous dense tensor on the CPU.
pub(crate) fn with_dense<T>(tensor: &Tensor, work: impl FnOnce(Dense<'_>) -> T) -> Result<T> {
    with_storage(tensor, |storage, range| {
        Ok(work(match storage {
            CpuStorage::BF16(values) => Dense::BF16(&values[range]),
            CpuStorage::F16(values) => Dense::F16(&values[range]),
            CpuStorage::F32(values) => Dense::F32(&values[range]),
            _ => return Err(Error::input(format!("no arithmetic in {:?}", tensor.dtype()))),
        }))
    })?
}

/// Calls `work` with the storage of a contiguous tensor on the CPU and where in it the tensor lies.
pub(crate) fn with_storage<T>(
    tensor: &Tensor,
    work: impl FnOnce(&CpuStorage, Range<usize>) -> T,
) -> Result<T> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => Ok(work(storage, start..end)),
        _ => Err(Error::input("a contiguous tensor on the CPU is expected")),
    }
}

/// Calls `work` with all elements of a tensor on the CPU, to be changed where they are.
pub(crate) fn modify(tensor: &Tensor, work: impl Fn(&mut CpuStorage)) -> Result<()> {
    struct Modify<F>(F);

    impl<F: Fn(&mut CpuStorage)> InplaceOp1 for Modify<F> {
        fn name(&self) -> &'static str {
            "modify"
        }

        fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
            (self.0)(storage);
            Ok(())
        }
    }

    Ok(tensor.inplace_op1(&Modify(work))?)
}
