//! Patches of the picture, and the fusion of several views of a recording.

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::models::speech::clap::config::AudioConfig;
use crate::models::speech::clap::picture::batch_norm;
use crate::models::speech::patches::{PatchConfig, Patches, Place};
use crate::nn::norm::{Norm, NormConfig, normed};
use crate::weights::{Linear, Weights};

/// From pictures to what goes into the first layer.
#[derive(Debug)]
pub(super) struct Embed {
    patches: Patches,
    norm: Option<Norm>,
    fusion: Option<Fusion>,
    side: usize,
    grid: [usize; 2],
}

/// How the views of parts of a recording are joined with the view of all of it:
/// <https://arxiv.org/abs/2009.14082>.
#[derive(Debug)]
struct Fusion {
    /// Patches three times as wide.
    parts: Patches,
    grid: [usize; 2],
    /// Of each place, and of the mean of all places.
    local: Bottleneck,
    global: Bottleneck,
}

/// Two layers, each with its norm.
#[derive(Debug)]
struct Bottleneck {
    down: Linear,
    up: Linear,
}

impl Embed {
    /// Reads `patches`, and `patch_norm` and `fusion` where there are such.
    pub(super) fn load(weights: &Weights, config: &AudioConfig) -> Result<Self> {
        let wide = config.patches;
        let [rows, columns] = wide.kernel;
        let parts = PatchConfig {
            kernel: [rows, columns * PARTS],
            stride: [wide.stride[0], wide.stride[1] * PARTS],
            ..wide
        };
        let norm = NormConfig::Layer { eps: 1e-5 };
        Ok(Self {
            patches: Patches::load(weights, "patches", wide)?,
            norm: match config.has_patch_norm {
                true => Some(Norm::load(weights, "patch_norm", wide.channels, norm)?),
                false => None,
            },
            fusion: match config.fusion {
                Some(width) => {
                    let weights = weights.scope("fusion");
                    let bottleneck = |name, first| {
                        Bottleneck::load(&weights.scope(name), [wide.channels, width], first)
                    };
                    Some(Fusion {
                        parts: Patches::load(&weights, "parts", parts)?,
                        grid: parts.grid([config.side; 2]),
                        local: bottleneck("local", 0)?,
                        // Behind the mean.
                        global: bottleneck("global", 1)?,
                    })
                }
                None => None,
            },
            side: config.side,
            grid: wide.grid([config.side; 2]),
        })
    }

    /// Whether several views of a recording are read.
    pub(super) fn fuses(&self) -> bool {
        self.fusion.is_some()
    }

    /// `(patches, channels)` of the picture of a recording and of those of its parts, of which there may be
    /// none.
    pub(super) fn forward(&self, pictures: &[Vec<f32>], place: &Place) -> Result<Tensor> {
        let size = [self.side; 2];
        let Some((whole, parts)) = pictures.split_first() else {
            return Err(Error::input("no picture of a recording"));
        };
        let mut x = self.patches.forward(whole, size, place)?;
        if let (Some(fusion), false) = (&self.fusion, parts.is_empty()) {
            let parts = parts.iter().map(|part| fusion.parts.forward(part, size, place));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            x = fusion.join(&x, &fusion.side_by_side(&parts, self.grid)?)?;
        }
        normed(self.norm.as_ref(), x)
    }
}

impl Fusion {
    /// The patches of the parts, one part beside the other in each row, as wide as the grid:
    /// `(patches, channels)`.
    fn side_by_side(&self, parts: &[Tensor], [rows, columns]: [usize; 2]) -> Result<Tensor> {
        let all = Tensor::cat(parts, 0)?;
        let (count, channels) = all.dims2()?;
        let nothing = Tensor::zeros((1, channels), all.dtype(), all.device())?;
        let [own_rows, own_columns] = self.grid;
        let order = (0..rows * columns).map(|at| {
            let (row, column) = (at / columns, at % columns);
            let (part, column) = (column / own_columns.max(1), column % own_columns.max(1));
            let place = (part * own_rows + row) * own_columns + column;
            if part < parts.len() && row < own_rows { place as u32 } else { count as u32 }
        });
        let order = Tensor::from_iter(order, all.device())?;
        Ok(Tensor::cat(&[&all, &nothing], 0)?.index_select(&order, 0)?)
    }

    fn join(&self, whole: &Tensor, parts: &Tensor) -> Result<Tensor> {
        let both = (whole + parts)?;
        let mean = both.to_dtype(DType::F32)?.mean_keepdim(0)?.to_dtype(both.dtype())?;
        let scores = self.local.forward(&both)?.broadcast_add(&self.global.forward(&mean)?)?;
        let shares = candle_nn::ops::sigmoid(&scores)?;
        let of_whole = ((whole * &shares)? * 2.0)?;
        let of_parts = ((parts * (1.0 - shares)?)? * 2.0)?;
        Ok((of_whole + of_parts)?)
    }
}

impl Bottleneck {
    /// Reads convolutions over single places and batch norms, which are the members of a list from `first`
    /// on: one, its norm, an activation, the other, its norm.
    fn load(weights: &Weights, [outer, inner]: [usize; 2], first: usize) -> Result<Self> {
        let linear = |at: usize, [ins, outs]: [usize; 2]| -> Result<Linear> {
            let weight = weights.tensor(&format!("{at}.weight"), &[outs, ins, 1, 1])?;
            let bias = weights.tensor(&format!("{at}.bias"), &[outs])?;
            let (factors, summands) = batch_norm(weights, &(at + 1).to_string(), outs)?;
            let row = |values: Vec<f32>, device: &Device| -> Result<Tensor> {
                Ok(Tensor::from_vec(values, outs, device)?.to_dtype(weight.dtype())?)
            };
            let factors = row(factors, weight.device())?;
            let summands = row(summands, weight.device())?;
            let weight = weight.reshape((outs, ins))?.broadcast_mul(&factors.unsqueeze(1)?)?;
            Linear::new(weight, Some(((bias * factors)? + summands)?))
        };
        Ok(Self { down: linear(first, [outer, inner])?, up: linear(first + 3, [inner, outer])? })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.up.forward(&self.down.forward(x)?.relu()?)
    }
}

/// Views of parts of a recording.
const PARTS: usize = 3;
