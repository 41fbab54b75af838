//! A product of two small matrices beside a large one: an adapter.

use candle_core::Tensor;

use crate::error::Result;
use crate::kernels::dense;
use crate::weights::slices::with_dense;

/// `up (down x)`, which is added to what a layer gives.
#[derive(Debug, Clone)]
pub(super) struct LowRank {
    /// `(rank, in_features)`.
    down: Tensor,
    /// `(out_features, rank)`, with the scale in it.
    up: Tensor,
}

impl LowRank {
    pub(super) fn new(down: Tensor, up: Tensor) -> Result<Self> {
        down.dims2()?;
        up.dims2()?;
        Ok(Self { down, up })
    }

    pub(super) fn bytes(&self) -> usize {
        let bytes = |matrix: &Tensor| matrix.elem_count() * matrix.dtype().size_in_bytes();
        bytes(&self.down) + bytes(&self.up)
    }

    /// Adds what it makes of `x`, rows of `in_features`, to rows of `out_features`, on the CPU.
    pub(super) fn add_rows(&self, x: &[f32], out: &mut [f32]) -> Result<()> {
        let [rank, columns] = [self.down.dim(0)?, self.down.dim(1)?];
        let inner = with_dense(&self.down, |down| dense::multiply(x, columns, down, None))?;
        let more = with_dense(&self.up, |up| dense::multiply(&inner, rank, up, None))?;
        out.iter_mut().zip(more).for_each(|(out, more)| *out += more);
        Ok(())
    }

    /// What it makes of `x`, `(rows, in_features)`, by candle's operations.
    pub(super) fn of(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.to_dtype(self.down.dtype())?;
        Ok(x.matmul(&self.down.t()?)?.matmul(&self.up.t()?)?)
    }
}
