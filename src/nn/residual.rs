//! What goes past a half of a layer, and what comes out of it.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::kernels::residual;
use crate::weights::slices::with_f32;

/// `x + half * scale`, both `(batch, tokens, hidden)`; a scale of `None` is 1.
pub(crate) fn join(x: &Tensor, half: &Tensor, scale: Option<f64>) -> Result<Tensor> {
    if x.device().is_cpu() && x.dtype() == DType::F32 && x.dims() == half.dims() {
        let mut sum = with_f32(&x.contiguous()?, <[f32]>::to_vec)?;
        let scale = scale.unwrap_or(1.0) as f32;
        with_f32(&half.contiguous()?, |half| residual::add(&mut sum, half, scale))?;
        return Ok(Tensor::from_vec(sum, x.shape(), x.device())?);
    }
    Ok(match scale {
        Some(scale) => (x + (half * scale)?)?,
        None => (x + half)?,
    })
}
