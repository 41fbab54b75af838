//! What goes past a half of a layer, and what comes out of it.

use candle_core::{CpuStorage, DType, Tensor};

use crate::error::Result;
use crate::kernels::residual;
use crate::weights::slices::{modify, with_f32};

/// `x + half * scale`, both `(.., hidden)`; a scale of `None` is 1. The half becomes the sum, so it
/// must share its storage with no other tensor.
pub(crate) fn join(x: &Tensor, half: Tensor, scale: Option<f64>) -> Result<Tensor> {
    let on_cpu = x.device().is_cpu() && half.device().is_cpu();
    let alike = x.dims() == half.dims() && [x, &half].iter().all(|x| x.dtype() == DType::F32);
    if on_cpu
        && alike
        && let Some((start, end)) = half.layout().contiguous_offsets()
    {
        let scale = scale.unwrap_or(1.0) as f32;
        with_f32(&x.contiguous()?, |x| {
            modify(&half, |storage| {
                if let CpuStorage::F32(half) = storage {
                    residual::add(&mut half[start..end], x, scale);
                }
            })
        })??;
        return Ok(half);
    }
    Ok(match scale {
        Some(scale) => (x + (half * scale)?)?,
        None => (x + half)?,
    })
}
