//! A picture of one channel, cut into patches: `Conv2d` of PyTorch with one channel that goes in.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::weights::{Linear, Weights};

/// The shape of patches, each as rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PatchConfig {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    /// Zeros at either end.
    pub(super) padding: [usize; 2],
    /// Channels that come out.
    pub(super) channels: usize,
}

/// Where a model computes, and in what.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) device: Device,
    /// Of activations.
    pub(super) compute: DType,
}

/// From patches to vectors.
#[derive(Debug, Clone)]
pub(super) struct Patches {
    config: PatchConfig,
    linear: Linear,
}

impl Place {
    pub(super) fn of(weights: &Weights) -> Self {
        Self { device: weights.device().clone(), compute: weights.dtype() }
    }
}

impl PatchConfig {
    /// The rows and columns of patches in a picture; 0 where it is too small.
    pub(super) fn grid(&self, size: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| {
            let beyond = (size[axis] + 2 * self.padding[axis]).checked_sub(self.kernel[axis]);
            beyond.map_or(0, |beyond| beyond / self.stride[axis] + 1)
        })
    }
}

impl Patches {
    /// Reads `name.weight`, `(channels, 1, rows, columns)`, and `name.bias`.
    pub(super) fn load(weights: &Weights, name: &str, config: PatchConfig) -> Result<Self> {
        let PatchConfig { kernel: [rows, columns], stride, channels, .. } = config;
        if [rows, columns, channels, stride[0], stride[1]].contains(&0) {
            return Err(Error::unsupported(format!("patches of {config:?}")));
        }
        let weight = weights.tensor(&format!("{name}.weight"), &[channels, 1, rows, columns])?;
        let bias = weights.tensor(&format!("{name}.bias"), &[channels])?;
        let linear = Linear::new(weight.reshape((channels, rows * columns))?, Some(bias))?;
        Ok(Self { config, linear })
    }

    /// The vectors of all patches, row by row, `(patches, channels)`, of a picture `(rows, columns)`.
    pub(super) fn forward(
        &self,
        picture: &[f32],
        [rows, columns]: [usize; 2],
        place: &Place,
    ) -> Result<Tensor> {
        let PatchConfig { kernel, stride, padding, .. } = self.config;
        let grid = self.config.grid([rows, columns]);
        let mut patches = Vec::with_capacity(grid[0] * grid[1] * kernel[0] * kernel[1]);
        for (row, column) in (0..grid[0]).flat_map(|row| (0..grid[1]).map(move |at| (row, at))) {
            for at in 0..kernel[0] {
                let row = (row * stride[0] + at).wrapping_sub(padding[0]);
                for at in 0..kernel[1] {
                    let column = (column * stride[1] + at).wrapping_sub(padding[1]);
                    let is_inside = row < rows && column < columns;
                    patches.push(if is_inside { picture[row * columns + column] } else { 0.0 });
                }
            }
        }
        let shape = (grid[0] * grid[1], kernel[0] * kernel[1]);
        let patches = Tensor::from_vec(patches, shape, &place.device)?.to_dtype(place.compute)?;
        self.linear.forward(&patches)
    }
}
