//! Weights that are stored as a length and a direction. <https://arxiv.org/abs/1602.07868>

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::transposed::{TransposedConfig, TransposedConvolution};
use crate::weights::Weights;

/// The weight `name.weight` of that shape: as it is stored, or made of a direction and a magnitude for each entry
/// of its first dimension, `weight_norm` of PyTorch. Both spellings are known: `weight_g` and `weight_v`, and
/// `parametrizations.weight.original0` and `original1`.
pub(crate) fn weight(weights: &Weights, name: &str, shape: &[usize; 3]) -> Result<Tensor> {
    for [magnitude, direction] in SPELLINGS {
        let [magnitude, direction] = [magnitude, direction].map(|part| format!("{name}.{part}"));
        if weights.contains(&direction) {
            let magnitude = weights.tensor(&magnitude, &[shape[0], 1, 1])?;
            return folded(&weights.tensor(&direction, shape)?, &magnitude, 0);
        }
    }
    weights.tensor(&format!("{name}.weight"), shape)
}

/// The first size of the weight `name.weight`, however it is stored: the channels that come out of a convolution.
pub(crate) fn channels(weights: &Weights, name: &str) -> Option<usize> {
    let directions = SPELLINGS.iter().map(|[_, direction]| format!("{name}.{direction}"));
    let mut names = directions.chain([format!("{name}.weight")]);
    names.find_map(|name| weights.shape(&name)?.first().copied())
}

/// Of a direction and a magnitude for each entry of a dimension, the weight they stand for, in the direction's
/// dtype.
pub(crate) fn folded(direction: &Tensor, magnitude: &Tensor, kept: usize) -> Result<Tensor> {
    let wide = direction.to_dtype(DType::F32)?;
    let mut squares = wide.sqr()?;
    for dimension in (0..wide.rank()).filter(|&dimension| dimension != kept) {
        squares = squares.sum_keepdim(dimension)?;
    }
    let factor = (magnitude.to_dtype(DType::F32)? / squares.sqrt()?)?;
    Ok(wide.broadcast_mul(&factor)?.to_dtype(direction.dtype())?)
}

/// A convolution whose weight may be stored in either way.
pub(crate) fn convolution(
    weights: &Weights,
    name: &str,
    config: ConvolutionConfig,
) -> Result<Convolution> {
    let weight = weight(weights, name, &config.shape()?)?;
    Convolution::with_weight(weights, name, weight, config)
}

/// A transposed convolution whose weight may be stored in either way.
pub(crate) fn transposed(
    weights: &Weights,
    name: &str,
    config: TransposedConfig,
) -> Result<TransposedConvolution> {
    let weight = weight(weights, name, &config.shape()?)?;
    TransposedConvolution::with_weight(weights, name, &weight, config)
}

/// What magnitude and direction are called.
const SPELLINGS: [[&str; 2]; 2] = [
    ["parametrizations.weight.original0", "parametrizations.weight.original1"],
    ["weight_g", "weight_v"],
];

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn every_entry_has_its_magnitude() -> Result<()> {
        let direction = Tensor::arange(1_f32, 13.0, &Device::Cpu)?.reshape((2, 3, 2))?;
        let magnitude = Tensor::new(&[[[3_f32]], [[0.5]]], &Device::Cpu)?;
        let weight = folded(&direction, &magnitude, 0)?;
        let lengths = weight.sqr()?.sum((1, 2))?.sqrt()?.to_vec1::<f32>()?;
        assert!((lengths[0] - 3.0).abs() < 1e-6 && (lengths[1] - 0.5).abs() < 1e-6);
        let ratio = weight.flatten_all()?.to_vec1::<f32>()?;
        assert!((ratio[5] / ratio[0] - 6.0).abs() < 1e-5);
        Ok(())
    }
}
