//! From pixels to the first layer's input.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::image::PixelValues;
use crate::models::vision::config::{OtherSizes, VisionConfig};
use crate::models::vision::grid::{Interpolation, interpolated};
use crate::nn::norm::{Norm, normed};
use crate::weights::{Linear, Weights};

/// From pixels to the first layer's input: patches by a product, the tokens before them, positions.
#[derive(Debug)]
pub(super) struct Embeddings {
    patches: Linear,
    /// The tokens before the patches that have positions, `(1, hidden)` each.
    placed: Vec<Tensor>,
    registers: Option<Tensor>,
    /// `(placed + grid * grid, hidden)`.
    positions: Tensor,
    norm: Option<Norm>,
}

impl Embeddings {
    /// Reads `patches`, `class`, `distillation`, `registers`, `positions` and `norm`.
    pub(super) fn load(weights: &Weights, config: &VisionConfig) -> Result<Self> {
        let hidden = config.hidden_size;
        let patches =
            weights.linear("patches", config.patch_values(), hidden, config.patch_bias)?;
        let names = ["class", "distillation"].into_iter().take(config.leading.placed);
        let token =
            |name: &str| -> Result<Tensor> { Ok(weights.tensor(name, &[hidden])?.unsqueeze(0)?) };
        let registers = config.leading.registers;
        let count = config.leading.placed + config.grid() * config.grid();
        Ok(Self {
            patches,
            placed: names.map(token).collect::<Result<_>>()?,
            registers: match registers {
                0 => None,
                count => Some(weights.tensor("registers", &[count, hidden])?),
            },
            positions: weights.tensor("positions", &[count, hidden])?,
            norm: match config.embedding_norm {
                Some(norm) => Some(Norm::load(weights, "norm", hidden, norm)?),
                None => None,
            },
        })
    }

    /// `(tokens, hidden)`.
    pub(super) fn forward(
        &self,
        picture: &PixelValues,
        config: &VisionConfig,
        compute: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let (values, [rows, columns]) = patches(picture, config)?;
        let shape = (rows * columns, config.patch_values());
        let values = Tensor::from_vec(values, shape, device)?.to_dtype(compute)?;
        let patches = self.patches.forward(&values)?;
        let mut tokens = self.placed.clone();
        tokens.push(patches);
        let positions = self.positions_for([rows, columns], config)?;
        let mut x = (Tensor::cat(&tokens, 0)? + positions)?;
        if let Some(registers) = &self.registers {
            let placed = self.placed.len();
            let after = x.narrow(0, placed, rows * columns)?;
            x = Tensor::cat(&[&x.narrow(0, 0, placed)?, registers, &after], 0)?;
        }
        normed(self.norm.as_ref(), x)
    }

    fn positions_for(&self, [rows, columns]: [usize; 2], config: &VisionConfig) -> Result<Tensor> {
        let (grid, placed, hidden) = (config.grid(), self.placed.len(), config.hidden_size);
        let how = match config.other_sizes {
            _ if [rows, columns] == [grid, grid] => return Ok(self.positions.clone()),
            OtherSizes::Refused => return Ok(self.positions.clone()),
            OtherSizes::Bicubic => Interpolation::Bicubic,
            OtherSizes::BicubicAntialiased => Interpolation::BicubicAntialiased,
        };
        let of_patches = self.positions.narrow(0, placed, grid * grid)?.to_dtype(DType::F32)?;
        let table = of_patches.flatten_all()?.to_vec1::<f32>()?;
        let table = interpolated(&table, [grid, hidden], [rows, columns], how);
        let table = Tensor::from_vec(table, (rows * columns, hidden), self.positions.device())?;
        let table = table.to_dtype(self.positions.dtype())?;
        Ok(Tensor::cat(&[&self.positions.narrow(0, 0, placed)?, &table], 0)?)
    }
}

/// The values of the patches, `(patches, 3, edge, edge)`, and how many rows and columns of patches there are.
fn patches(picture: &PixelValues, config: &VisionConfig) -> Result<(Vec<f32>, [usize; 2])> {
    let PixelValues { values, height, width, .. } = picture;
    let (height, width) = (*height, *width);
    let edge = config.patch_size;
    let own = config.image_size;
    if config.other_sizes == OtherSizes::Refused && (height, width) != (own, own) {
        return Err(Error::input(format!(
            "a picture of {height} rows of {width} values for a model of {own} by {own}: preprocessor_config.json \
             and `image_size` of config.json do not fit each other"
        )));
    }
    let (rows, columns) = (height / edge, width / edge);
    if rows * columns == 0 || values.len() != 3 * height * width {
        return Err(Error::input(format!(
            "{} values for {height} by {width} pixels, of which a patch has {edge} by {edge}",
            values.len()
        )));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::input(format!("value {at} of the picture is {}", values[at])));
    }
    let mut patches = Vec::with_capacity(rows * columns * config.patch_values());
    for patch in 0..rows * columns {
        let (top, left) = (patch / columns * edge, patch % columns * edge);
        for channel in 0..3 {
            for row in top..top + edge {
                let start = (channel * height + row) * width + left;
                patches.extend_from_slice(&values[start..start + edge]);
            }
        }
    }
    Ok((patches, [rows, columns]))
}
