//! `y = x Wᵀ + b`, with dense or quantized weights.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::kernels::dense;
use crate::kernels::packed::{self, Factor, Packed};
use crate::weights::elements::block_name;
use crate::weights::low_rank::LowRank;
use crate::weights::slices::{with_dense, with_f32};

/// `y = x Wᵀ + b`, with dense or quantized weights. Cloning shares the weights.
#[derive(Debug, Clone)]
pub struct Linear {
    pub(super) weight: Matrix,
    pub(super) bias: Option<Tensor>,
    /// What adapters add.
    pub(super) beside: Option<LowRank>,
}

/// A weight of shape `(out_features, in_features)`.
#[derive(Debug, Clone)]
pub(super) enum Matrix {
    Dense(Tensor),
    /// bf16 on the CPU, for which activations are rounded to bf16.
    RoundedBF16(Tensor),
    /// Blocks on the CPU, arranged for its kernels.
    Packed(Arc<Packed>),
    /// Blocks elsewhere, multiplied by candle.
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
        Ok(Self { weight: Matrix::Dense(weight.contiguous()?), bias, beside: None })
    }

    /// The same layer with another bias, of `(out_features)`.
    pub(crate) fn with_bias(self, bias: Tensor) -> Self {
        Self { bias: Some(bias), ..self }
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

    /// How the weight is stored: `f32`, `bf16`, `f16`, or a block format such as `q4_k`.
    #[must_use]
    pub fn precision(&self) -> &'static str {
        self.weight.precision()
    }

    /// `(.., in_features)` to `(.., out_features)`, in the dtype of `x`.
    ///
    /// Makes the casts. Blocks, and 16-bit weights on the CPU, are multiplied with f32 activations.
    /// On a GPU, activations take the weights' dtype.
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
        if x.device().is_cpu() {
            let rows = x.to_dtype(DType::F32)?.contiguous()?;
            let [y] = with_f32(&rows, |x| Self::forward_rows([self], x))??;
            return Ok(Tensor::from_vec(y, shape, x.device())?.to_dtype(x.dtype())?);
        }
        Ok(self.by_candle(&x.reshape(((), in_features))?)?.reshape(shape)?)
    }

    /// `(rows, in_features)` to `(rows, out_features)` in the same dtype, by candle's operations.
    fn by_candle(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.weight.multiply(x)?;
        let y = match &self.beside {
            Some(beside) => (&y + beside.of(x)?.to_dtype(y.dtype())?)?,
            None => y,
        };
        let y = y.to_dtype(x.dtype())?;
        match &self.bias {
            Some(bias) => Ok(y.broadcast_add(&bias.to_dtype(y.dtype())?)?),
            None => Ok(y),
        }
    }

    /// Rows of `in_features` of which each begins `stride` after the one before, as many as `x` holds, to
    /// rows of `out_features`, on the CPU; `None` where the weights only take rows that lie one after the
    /// other.
    pub(crate) fn forward_overlapping(&self, x: &[f32], stride: usize) -> Result<Option<Vec<f32>>> {
        let (Matrix::Dense(weight), None) = (&self.weight, &self.beside) else { return Ok(None) };
        let bias = self.bias_numbers()?;
        let columns = self.in_features();
        let products = with_dense(weight, |weight| {
            dense::multiply_overlapping(x, stride, columns, weight, bias.as_deref())
        });
        products.map(Some)
    }

    fn bias_numbers(&self) -> Result<Option<Vec<f32>>> {
        let numbers = |bias: &Tensor| Ok(bias.to_dtype(DType::F32)?.to_vec1()?);
        self.bias.as_ref().map(numbers).transpose()
    }

    /// Rows of `in_features`, the same for all layers, to rows of each one's `out_features`, on the
    /// CPU. Packed layers round their activations once and are multiplied together.
    pub(crate) fn forward_rows<const N: usize>(
        layers: [&Self; N],
        x: &[f32],
    ) -> Result<[Vec<f32>; N]> {
        let in_features = layers.first().map_or(0, |layer| layer.in_features());
        let fits = layers.iter().all(|layer| layer.in_features() == in_features);
        if !fits || in_features == 0 || !x.len().is_multiple_of(in_features) {
            return Err(Error::input(format!("{} numbers into {in_features} features", x.len())));
        }
        let rows = x.len() / in_features;
        let mut biases = layers.map(|_| None);
        for (layer, bias) in layers.iter().zip(&mut biases) {
            *bias = layer.bias_numbers()?;
        }
        let mut outs = [const { Vec::new() }; N];
        let mut factors = Vec::with_capacity(N);
        for ((layer, out), bias) in layers.iter().zip(&mut outs).zip(&biases) {
            let bias = bias.as_deref();
            match &layer.weight {
                Matrix::Dense(weight) => {
                    *out =
                        with_dense(weight, |weight| dense::multiply(x, in_features, weight, bias))?;
                }
                Matrix::RoundedBF16(weight) => {
                    *out = with_dense(weight, |weight| {
                        dense::multiply(x, in_features, weight.rounded(), bias)
                    })?;
                }
                Matrix::Packed(weight) => factors.push((Factor { weight, bias }, out)),
                Matrix::Quantized(_) => {
                    let x = Tensor::from_slice(x, (rows, in_features), &Device::Cpu)?;
                    let alone = Self { beside: None, ..(*layer).clone() };
                    *out = alone.by_candle(&x)?.flatten_all()?.to_vec1()?;
                }
            }
        }
        let (factors, packed_outs): (Vec<_>, Vec<_>) = factors.into_iter().unzip();
        if !factors.is_empty() {
            let products = packed::multiply(x, in_features, &factors);
            packed_outs.into_iter().zip(products).for_each(|(out, product)| *out = product);
        }
        for (layer, out) in layers.iter().zip(&mut outs) {
            if let Some(beside) = &layer.beside {
                beside.add_rows(x, out)?;
            }
        }
        Ok(outs)
    }
}

impl Matrix {
    pub(super) fn dims(&self) -> [usize; 2] {
        match self {
            Self::Dense(weight) | Self::RoundedBF16(weight) => [weight.dims()[0], weight.dims()[1]],
            Self::Packed(weight) => weight.dims(),
            Self::Quantized(weight) => [weight.shape().dims()[0], weight.shape().dims()[1]],
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Dense(weight) | Self::RoundedBF16(weight) => {
                weight.elem_count() * weight.dtype().size_in_bytes()
            }
            Self::Packed(weight) => weight.bytes(),
            Self::Quantized(weight) => weight.storage_size_in_bytes(),
        }
    }

    pub(super) fn precision(&self) -> &'static str {
        match self {
            Self::Dense(weight) | Self::RoundedBF16(weight) => weight.dtype().as_str(),
            Self::Packed(weight) => weight.format().name(),
            Self::Quantized(weight) => block_name(weight.dtype()),
        }
    }

    /// `(rows, in_features)` to `(rows, out_features)`, in any dtype, on a GPU.
    fn multiply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) | Self::RoundedBF16(weight) => {
                Ok(x.to_dtype(weight.dtype())?.matmul(&weight.t()?)?)
            }
            Self::Packed(_) => Err(Error::input("packed weights are multiplied on the CPU")),
            Self::Quantized(weight) => {
                let x = x.to_dtype(DType::F32)?.contiguous()?;
                Ok(x.apply_op1_no_bwd(weight.as_ref())?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_core::quantized::GgmlDType;

    use super::*;
    use crate::kernels::packed::BlockFormat;

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
                    // Activations that are exact in bf16 are what they were when rounded to it.
                    let Linear { weight: Matrix::Dense(weight), bias, .. } = linear else {
                        unreachable!()
                    };
                    let weight = Matrix::RoundedBF16(weight);
                    let y = Linear { weight, bias, beside: None }.forward(&x)?;
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
        let linear =
            Linear { weight: Matrix::Quantized(Arc::new(quantized)), bias: None, beside: None };
        assert_eq!((linear.precision(), linear.bytes()), ("q8_0", 48 * 8 * 34));
        let values = |y: Tensor| y.flatten_all().and_then(|y| y.to_vec1::<f32>());
        // Activations are quantized too, to 8 bits.
        close(&values(linear.forward(&x)?)?, &values(dense.forward(&x)?)?, 0.15);
        let half = linear.forward(&x.to_dtype(DType::BF16)?)?;
        assert_eq!(half.dtype(), DType::BF16);
        Ok(())
    }

    #[test]
    fn packed_blocks_multiply_like_candles() -> Result<()> {
        let cpu = &Device::Cpu;
        let weight = Tensor::from_vec(numbers(48 * 256, 3), (48, 256), cpu)?;
        let quantized = QTensor::quantize(&weight, GgmlDType::Q4K)?;
        let packed = Packed::new(BlockFormat::Q4K, 48, 256, &[&quantized.data()?]).unwrap();
        let values = |weight, rows| -> Result<Vec<f32>> {
            let x = Tensor::from_vec(numbers(rows * 256, 4), (1, rows, 256), cpu)?;
            let y =
                Linear { weight, bias: None, beside: None }.forward(&x.to_dtype(DType::BF16)?)?;
            assert_eq!((y.dims(), y.dtype()), ([1, rows, 48].as_slice(), DType::BF16));
            Ok(y.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?)
        };
        let (quantized, packed) = (Arc::new(quantized), Arc::new(packed));
        // Both round activations, and results to bf16, which has steps of a quarter here.
        for rows in [1, 3, 11] {
            let candle = values(Matrix::Quantized(Arc::clone(&quantized)), rows)?;
            close(&values(Matrix::Packed(Arc::clone(&packed)), rows)?, &candle, 0.5);
        }
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
