//! Attention within the windows of a grid, <https://arxiv.org/abs/2103.14030>.

use candle_core::{DType, Device, Tensor};
use candle_nn::ops;

use crate::error::Result;
use crate::weights::{Bias, Linear, Weights};

/// Which vectors of a grid lie in which window.
#[derive(Debug, Clone)]
pub(super) struct Windows {
    /// The vectors of each window, one window after the other; the number of vectors stands for none.
    order: Tensor,
    /// Where each vector is in that order.
    places: Tensor,
    /// Added to scores of vectors that are no neighbours, `(windows, 1, size, size)`.
    mask: Option<Tensor>,
    count: usize,
    /// Vectors of a window.
    size: usize,
    has_gaps: bool,
}

/// Attention within windows, with a bias for each distance.
#[derive(Debug)]
pub(super) struct WindowAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    /// `(heads, size, size)` in f32.
    bias: Tensor,
    heads: usize,
    scale: f64,
}

impl Windows {
    /// Windows of `side` vectors each way, moved by `shift` over the ends of the grid.
    pub(super) fn new(
        [rows, columns]: [usize; 2],
        side: usize,
        shift: usize,
        device: &Device,
    ) -> Result<Self> {
        let [high, wide] = [rows, columns].map(|size| size.next_multiple_of(side));
        let (down, across) = (high / side, wide / side);
        let (count, size, none) = (down * across, side * side, rows * columns);
        let mut order = Vec::with_capacity(count * size);
        let mut places = vec![0_u32; none];
        // Vectors of one region are neighbours, also where the grid was moved.
        let mut regions = Vec::with_capacity(count * size);
        let region =
            |at: usize, all: usize| usize::from(at >= all - side) + usize::from(at >= all - shift);
        for at in 0..count * size {
            let (window, within) = (at / size, at % size);
            let row = window / across * side + within / side;
            let column = window % across * side + within % side;
            regions.push((region(row, high), region(column, wide)));
            let (row, column) = ((row + shift) % high, (column + shift) % wide);
            if row < rows && column < columns {
                places[row * columns + column] = at as u32;
                order.push((row * columns + column) as u32);
            } else {
                order.push(none as u32);
            }
        }
        let mask = if shift == 0 {
            None
        } else {
            let mut mask = Vec::with_capacity(count * size * size);
            for window in regions.chunks(size) {
                for one in window {
                    mask.extend(window.iter().map(|other| if one == other { 0.0 } else { APART }));
                }
            }
            Some(Tensor::from_vec(mask, (count, 1, size, size), device)?)
        };
        let has_gaps = [high, wide] != [rows, columns];
        let (order, places) = (Tensor::new(order, device)?, Tensor::new(places, device)?);
        Ok(Self { order, places, mask, count, size, has_gaps })
    }
}

impl WindowAttention {
    /// Reads `q`, `k`, `v`, `o` and `distances`, `((2 side - 1)², heads)`.
    pub(super) fn load(
        weights: &Weights,
        width: usize,
        heads: usize,
        side: usize,
        qkv_bias: Bias,
    ) -> Result<Self> {
        let linear = |name, bias| weights.linear(name, width, width, bias);
        let (distances, size) = (2 * side - 1, side * side);
        let table = weights.tensor("distances", &[distances * distances, heads])?;
        let numbers = (0..size * size).map(|at| {
            let (query, key) = (at / size, at % size);
            let apart = |query: usize, key: usize| query + side - 1 - key;
            let down = apart(query / side, key / side);
            (down * distances + apart(query % side, key % side)) as u32
        });
        let numbers = Tensor::from_iter(numbers, table.device())?;
        let bias = table.to_dtype(DType::F32)?.index_select(&numbers, 0)?.t()?.contiguous()?;
        Ok(Self {
            query: linear("q", qkv_bias)?,
            key: linear("k", qkv_bias)?,
            value: linear("v", qkv_bias)?,
            output: linear("o", Bias::Present)?,
            bias: bias.reshape((heads, size, size))?,
            heads,
            scale: ((width / heads) as f64).powf(-0.5),
        })
    }

    /// `x: (vectors, width)` of a grid, the same shape back. Where windows reach beyond the grid, zeros are
    /// attended to, as in the reference.
    pub(super) fn forward(&self, x: &Tensor, windows: &Windows) -> Result<Tensor> {
        let width = x.dim(1)?;
        let x = match windows.has_gaps {
            true => x.pad_with_zeros(0, 0, 1)?,
            false => x.clone(),
        };
        let x = x.contiguous()?.index_select(&windows.order, 0)?;
        let (count, size) = (windows.count, windows.size);
        let split = |x: Tensor| -> Result<Tensor> {
            let split = x.reshape((count, size, self.heads, width / self.heads))?;
            Ok(split.transpose(1, 2)?.contiguous()?)
        };
        let queries = (split(self.query.forward(&x)?)? * self.scale)?;
        let (keys, values) = (split(self.key.forward(&x)?)?, split(self.value.forward(&x)?)?);
        let scores = queries.matmul(&keys.transpose(2, 3)?)?.to_dtype(DType::F32)?;
        let mut scores = scores.broadcast_add(&self.bias.unsqueeze(0)?)?;
        if let Some(mask) = &windows.mask {
            scores = scores.broadcast_add(mask)?;
        }
        let shares = ops::softmax_last_dim(&scores)?.to_dtype(values.dtype())?;
        let attended = shares.matmul(&values)?.transpose(1, 2)?.contiguous()?;
        let attended = attended.reshape((count * size, width))?;
        Ok(self.output.forward(&attended)?.index_select(&windows.places, 0)?)
    }
}

/// What the reference adds to scores of vectors that are no neighbours.
const APART: f32 = -100.0;
