//! Attention of pixels to one another, or to a text.

use candle_core::{D, DType, Tensor};
use candle_nn::ops;

use crate::error::{Error, Result};
use crate::kernels::cross_attention::{self, CrossAttention};
use crate::weights::slices::with_f32;

/// Queries whose scores are in memory at a time, where there is no kernel.
const QUERIES: usize = 1024;

/// `softmax(scale q kᵀ) v` of each head: of `queries: (tokens, heads * head_dim)` to `keys` and `values`,
/// `(others, heads * head_dim)`. Scores of all pairs are never in memory together.
pub(crate) fn attend(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    heads: usize,
    scale: f64,
) -> Result<Tensor> {
    let (tokens, all) = queries.dims2()?;
    let head_dim = all / heads.max(1);
    if heads * head_dim != all || keys.dims() != values.dims() || keys.dim(1)? != all {
        let dims = [queries.dims(), keys.dims(), values.dims()];
        return Err(Error::input(format!("attention of {heads} heads over {dims:?}")));
    }
    if !queries.device().is_cpu() || queries.dtype() != DType::F32 {
        return by_candle(queries, keys, values, heads, scale);
    }
    let [q, k, v] = [queries, keys, values].map(Tensor::contiguous);
    let out = with_f32(&q?, |queries| {
        with_f32(&k?, |keys| {
            with_f32(&v?, |values| {
                let scale = scale as f32;
                let attention = CrossAttention { queries, keys, values, heads, head_dim, scale };
                Ok::<_, Error>(cross_attention::attend(attention))
            })
        })
    })????;
    Ok(Tensor::from_vec(out, (tokens, all), queries.device())?)
}

fn by_candle(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    heads: usize,
    scale: f64,
) -> Result<Tensor> {
    let split = |x: &Tensor| -> Result<Tensor> {
        let (tokens, all) = x.dims2()?;
        Ok(x.reshape((tokens, heads, all / heads))?.transpose(0, 1)?.contiguous()?)
    };
    let (queries, keys, values) = ((split(queries)? * scale)?, split(keys)?, split(values)?);
    let turned = keys.t()?.contiguous()?;
    let tokens = queries.dim(1)?;
    let part = |start: usize| -> Result<Tensor> {
        let queries = queries.narrow(1, start, QUERIES.min(tokens - start))?.contiguous()?;
        let scores = queries.matmul(&turned)?.to_dtype(DType::F32)?;
        let shares = ops::softmax_last_dim(&scores)?.to_dtype(values.dtype())?;
        Ok(shares.matmul(&values)?.transpose(0, 1)?.flatten_from(D::Minus2)?)
    };
    let parts = (0..tokens).step_by(QUERIES).map(part).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&parts, 0)?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn what_serves_other_devices_is_as_the_kernel() -> Result<()> {
        let x = |rows| Tensor::randn(0.0_f32, 1.0, (rows, 24), &Device::Cpu);
        let (queries, keys, values) = (x(2100)?, x(77)?, x(77)?);
        let found = attend(&queries, &keys, &values, 3, 0.35)?;
        let expected = by_candle(&queries, &keys, &values, 3, 0.35)?;
        let most = (found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(most < 1e-5, "{most}");
        assert!(attend(&queries, &keys, &values, 5, 1.0).is_err());
        Ok(())
    }
}
