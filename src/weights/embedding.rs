//! A table of vectors, one for each id.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::weights::linear::{Linear, Matrix};

/// An embedding table: one vector for each id, dense or in blocks. Cloning shares the table.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: Matrix,
    /// Of the vectors handed out.
    compute: DType,
}

impl Embedding {
    /// A dense `table` of shape `(vocab, hidden)`; vectors come in the dtype `compute`.
    ///
    /// # Errors
    ///
    /// When the table has another number of dimensions.
    pub fn new(table: Tensor, compute: DType) -> Result<Self> {
        table.dims2()?;
        Ok(Self { table: Matrix::Dense(table.contiguous()?), compute })
    }

    pub(super) fn of(table: Matrix, compute: DType) -> Self {
        Self { table, compute }
    }

    /// Ids are below this.
    #[must_use]
    pub fn vocab(&self) -> usize {
        self.table.dims()[0]
    }

    /// The length of a vector.
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.table.dims()[1]
    }

    /// Bytes of the table.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.table.bytes()
    }

    /// How the table is stored: `f32`, `bf16`, `f16`, or a block format such as `q6_k`.
    #[must_use]
    pub fn precision(&self) -> &'static str {
        self.table.precision()
    }

    /// u32 ids of any shape, such as `(batch, tokens)`, to `(batch, tokens, hidden)`. Only the rows
    /// asked for are dequantized.
    ///
    /// # Errors
    ///
    /// When an id is not below [`vocab`](Self::vocab) (on the CPU; a GPU does not check).
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let mut shape = ids.dims().to_vec();
        shape.push(self.hidden());
        let ids = ids.flatten_all()?.contiguous()?;
        if ids.device().is_cpu()
            && let Some(id) =
                ids.to_vec1::<u32>()?.into_iter().find(|&id| id as usize >= self.vocab())
        {
            let vocab = self.vocab();
            return Err(Error::input(format!("the id {id} in a vocabulary of {vocab}")));
        }
        let vectors = match &self.table {
            Matrix::Dense(table) | Matrix::RoundedBF16(table) => table.index_select(&ids, 0)?,
            Matrix::Packed(table) => {
                let mut vectors = vec![0.0; ids.elem_count() * self.hidden()];
                let rows = vectors.chunks_exact_mut(self.hidden().max(1));
                for (id, vector) in ids.to_vec1::<u32>()?.into_iter().zip(rows) {
                    table.row(id as usize, vector);
                }
                Tensor::from_vec(vectors, (ids.elem_count(), self.hidden()), ids.device())?
            }
            Matrix::Quantized(table) => table.embedding(&ids)?,
        };
        Ok(vectors.to_dtype(self.compute)?.reshape(shape)?)
    }

    /// The output head of a model whose head is tied to its embedding: `(.., hidden)` to
    /// `(.., vocab)`. It shares the table, which does not change.
    #[must_use]
    pub fn as_linear(&self) -> Linear {
        Linear { weight: self.table.clone(), bias: None, beside: None }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use candle_core::Device;
    use candle_core::quantized::{GgmlDType, QTensor};

    use super::*;
    use crate::kernels::packed::{BlockFormat, Packed};

    #[test]
    fn looks_up_rows_and_serves_as_a_head() -> Result<()> {
        let cpu = &Device::Cpu;
        let table = Tensor::arange(0_f32, 3.0 * 32.0, cpu)?.reshape((3, 32))?;
        let ids = Tensor::new(&[[2_u32, 0]], cpu)?;
        let dense = Embedding::new(table.to_dtype(DType::BF16)?, DType::F32)?;
        let stored = QTensor::quantize(&table, GgmlDType::Q8_0)?;
        let packed = Packed::new(BlockFormat::Q8_0, 3, 32, &[&stored.data()?]).unwrap();
        let [blocks, packed] =
            [Matrix::Quantized(Arc::new(stored)), Matrix::Packed(Arc::new(packed))]
                .map(|table| Embedding::of(table, DType::F32));
        for embedding in [dense, blocks, packed] {
            let vectors = embedding.forward(&ids)?;
            assert_eq!((vectors.dims(), vectors.dtype()), ([1, 2, 32].as_slice(), DType::F32));
            let vectors = vectors.flatten_all()?.to_vec1::<f32>()?;
            assert!((vectors[1] - 65.0).abs() < 0.5 && (vectors[33] - 1.0).abs() < 0.2);
            let head = embedding.as_linear();
            assert_eq!((head.in_features(), head.out_features()), (32, 3));
            assert_eq!(head.bytes(), embedding.bytes());
            assert_eq!(head.precision(), embedding.precision());
            let outside = Tensor::new(&[3_u32], cpu)?;
            assert!(embedding.forward(&outside).unwrap_err().is_caller_error());
        }
        Ok(())
    }
}
