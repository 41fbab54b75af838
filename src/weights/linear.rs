//! `y = x Wᵀ + b`, whatever the weights are made of.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Tensor};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::error::{Error, Result};
use crate::weights::elements::block_name;

/// `y = x Wᵀ + b`, whatever the weights are made of. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Linear {
    pub(super) weight: Matrix,
    pub(super) bias: Option<Tensor>,
}

/// A weight of shape `(out_features, in_features)`.
#[derive(Debug, Clone)]
pub(super) enum Matrix {
    Dense(Tensor),
    Quantized(Arc<QTensor>),
}

impl Linear {
    /// A layer from dense tensors: `weight` of shape `(out_features, in_features)`, `bias` of shape
    /// `(out_features)`, in f32, f16 or bf16.
    ///
    /// # Errors
    ///
    /// When the shapes are others.
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let (out_features, _) = weight.dims2()?;
        if let Some(bias) = &bias
            && bias.dims() != [out_features]
        {
            let dims = bias.dims();
            return Err(Error::input(format!("a bias of {dims:?} for {out_features} features")));
        }
        Ok(Self { weight: Matrix::Dense(weight.contiguous()?), bias })
    }

    /// The last dimension of what goes in.
    #[must_use]
    pub fn in_features(&self) -> usize {
        self.weight.dims()[1]
    }

    /// The last dimension of what comes out.
    #[must_use]
    pub fn out_features(&self) -> usize {
        self.weight.dims()[0]
    }

    /// Bytes of the weight, without what the matrix multiplication keeps beside it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.weight.bytes()
    }

    /// What the weight is made of: `f32`, `bf16`, `f16`, or a block format such as `q4_k`.
    #[must_use]
    pub fn precision(&self) -> &'static str {
        self.weight.precision()
    }

    /// `(.., in_features)` to `(.., out_features)`, in the dtype of `x`.
    ///
    /// Casts are made here: blocks are multiplied with f32 activations, and so are 16-bit weights
    /// on the CPU; on a GPU activations take the weights' dtype.
    ///
    /// # Errors
    ///
    /// When the last dimension of `x` is another, or `x` is on another device.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (in_features, out_features) = (self.in_features(), self.out_features());
        let mut shape = x.dims().to_vec();
        match shape.last_mut() {
            Some(last) if *last == in_features => *last = out_features,
            _ => {
                let dims = x.dims();
                return Err(Error::input(format!("{dims:?} into {in_features} features")));
            }
        }
        let rows = x.reshape(((), in_features))?;
        let y = self.weight.multiply(&rows)?.to_dtype(x.dtype())?.reshape(shape)?;
        match &self.bias {
            Some(bias) => Ok(y.broadcast_add(&bias.to_dtype(y.dtype())?)?),
            None => Ok(y),
        }
    }
}

impl Matrix {
    pub(super) fn dims(&self) -> &[usize] {
        match self {
            Self::Dense(weight) => weight.dims(),
            Self::Quantized(weight) => weight.shape().dims(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Dense(weight) => weight.elem_count() * weight.dtype().size_in_bytes(),
            Self::Quantized(weight) => weight.storage_size_in_bytes(),
        }
    }

    pub(super) fn precision(&self) -> &'static str {
        match self {
            Self::Dense(weight) => weight.dtype().as_str(),
            Self::Quantized(weight) => block_name(weight.dtype()),
        }
    }

    /// `(rows, in_features)` to `(rows, out_features)`, in any dtype.
    fn multiply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) if weight.device().is_cpu() => {
                multiply_on_cpu(&x.to_dtype(DType::F32)?.contiguous()?, weight)
            }
            Self::Dense(weight) => Ok(x.to_dtype(weight.dtype())?.matmul(&weight.t()?)?),
            Self::Quantized(weight) => {
                let x = x.to_dtype(DType::F32)?.contiguous()?;
                Ok(x.apply_op1_no_bwd(weight.as_ref())?)
            }
        }
    }
}

/// By chunks of the weight's rows, for two reasons: candle widens a 16-bit weight whole for every
/// product, and multiplies a single row on one thread.
fn multiply_on_cpu(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (out_features, in_features) = weight.dims2()?;
    let widened = weight.dtype() != DType::F32;
    let few = x.dim(0)? <= FEW_ROWS;
    if !few && !widened {
        return Ok(x.matmul(&weight.t()?)?);
    }
    let elements = if few { FEW_ROWS_CHUNK } else { MANY_ROWS_CHUNK };
    let chunk = (elements / in_features.max(1)).max(1);
    let product = |start: usize| -> Result<Tensor> {
        let rows = weight.narrow(0, start, chunk.min(out_features - start))?;
        Ok(x.matmul(&rows.to_dtype(DType::F32)?.t()?)?)
    };
    let starts = (0..out_features).step_by(chunk);
    let columns: Vec<_> = if few {
        starts.collect::<Vec<_>>().into_par_iter().map(product).collect::<Result<_>>()?
    } else {
        starts.map(product).collect::<Result<_>>()?
    };
    Ok(Tensor::cat(&columns, 1)?)
}

/// Up to so many rows, products are too small to be worth splitting inside.
const FEW_ROWS: usize = 4;
/// Weights of a chunk that one thread multiplies; below what candle would spread over threads.
const FEW_ROWS_CHUNK: usize = 48 << 10;
/// Weights of a chunk that all threads multiply: 4 MiB in f32.
const MANY_ROWS_CHUNK: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_core::quantized::GgmlDType;

    use super::*;

    /// Numbers that look random and are exact in bf16 and f16.
    fn numbers(length: usize, seed: usize) -> Vec<f32> {
        (0..length).map(|at| (((at * 37 + seed * 11) % 61) as f32 - 30.0) / 32.0).collect()
    }

    fn product(x: &[f32], weight: &[f32], bias: &[f32], inner: usize) -> Vec<f32> {
        let dot =
            |x: &[f32], w: &[f32]| -> f64 { x.iter().zip(w).map(|(x, w)| f64::from(x * w)).sum() };
        x.chunks(inner)
            .flat_map(|x| {
                let columns = weight.chunks(inner).zip(bias);
                columns.map(move |(w, b)| (dot(x, w) + f64::from(*b)) as f32)
            })
            .collect()
    }

    fn close(left: &[f32], right: &[f32], tolerance: f32) {
        assert_eq!(left.len(), right.len());
        for (left, right) in left.iter().zip(right) {
            assert!((left - right).abs() <= tolerance, "{left} and {right}");
        }
    }

    #[test]
    fn every_dtype_and_number_of_rows_agrees_with_a_plain_loop() -> Result<()> {
        let cpu = &Device::Cpu;
        for (inner, outer) in [(1, 1), (7, 5), (300, 900), (64, 20_000)] {
            let (weight, bias) = (numbers(inner * outer, 1), numbers(outer, 2));
            for rows in [1, 4, 5, 9] {
                let x = numbers(rows * inner, rows);
                let expected = product(&x, &weight, &bias, inner);
                let x = Tensor::from_vec(x, (1, rows, inner), cpu)?;
                for dtype in [DType::F32, DType::BF16, DType::F16] {
                    let weight = Tensor::from_slice(&weight, (outer, inner), cpu)?;
                    let bias = Tensor::from_slice(&bias, outer, cpu)?;
                    let linear = Linear::new(weight.to_dtype(dtype)?, Some(bias))?;
                    let y = linear.forward(&x)?;
                    assert_eq!(y.dims(), [1, rows, outer]);
                    assert_eq!(linear.bytes(), inner * outer * dtype.size_in_bytes());
                    close(&y.flatten_all()?.to_vec1::<f32>()?, &expected, 1e-4);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn blocks_multiply_like_what_they_stand_for() -> Result<()> {
        let cpu = &Device::Cpu;
        let weight = Tensor::from_vec(numbers(48 * 256, 3), (48, 256), cpu)?;
        let x = Tensor::from_vec(numbers(3 * 256, 4), (1, 3, 256), cpu)?;
        let quantized = QTensor::quantize(&weight, GgmlDType::Q8_0)?;
        let dense = Linear::new(quantized.dequantize(cpu)?, None)?;
        let linear = Linear { weight: Matrix::Quantized(Arc::new(quantized)), bias: None };
        assert_eq!((linear.precision(), linear.bytes()), ("q8_0", 48 * 8 * 34));
        let values = |y: Tensor| y.flatten_all().and_then(|y| y.to_vec1::<f32>());
        // Activations are quantized too, to 8 bits.
        close(&values(linear.forward(&x)?)?, &values(dense.forward(&x)?)?, 0.15);
        let half = linear.forward(&x.to_dtype(DType::BF16)?)?;
        assert_eq!(half.dtype(), DType::BF16);
        Ok(())
    }

    #[test]
    fn wrong_shapes_are_refused() -> Result<()> {
        let weight = Tensor::zeros((3, 4), DType::F32, &Device::Cpu)?;
        let bias = Tensor::zeros(4, DType::F32, &Device::Cpu)?;
        assert!(Linear::new(weight.clone(), Some(bias)).is_err());
        let linear = Linear::new(weight, None)?;
        // Twelve numbers would divide into rows of four.
        let x = Tensor::zeros((2, 6), DType::F32, &Device::Cpu)?;
        assert!(linear.forward(&x).is_err());
        Ok(())
    }
}
