//! Convolutions that tell layers where a frame is.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::models::speech::ctc::config::PositionsConfig;
use crate::nn::activation::Activation;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::norm::{Norm, normed};
use crate::nn::weight_norm::folded;
use crate::weights::Weights;

/// Convolutions over hidden states, whose result is added to them.
#[derive(Debug)]
pub(super) struct Positions {
    layers: Vec<PositionLayer>,
    activation: Activation,
}

#[derive(Debug)]
struct PositionLayer {
    /// Multiplies each channel, and is added to it.
    before: Option<[Tensor; 2]>,
    convolution: Convolution,
    after: Option<Norm>,
}

/// What PyTorch adds to variances where nothing is said.
const EPS: f64 = 1e-5;

impl Positions {
    /// Reads `positions.0` and so on.
    pub(super) fn load(weights: &Weights, config: &PositionsConfig) -> Result<Option<Self>> {
        let scope = weights.scope("positions");
        let load = |number: usize, convolution| {
            Convolution::load(&scope, &number.to_string(), convolution)
        };
        let (layers, activation) = match *config {
            PositionsConfig::None => return Ok(None),
            PositionsConfig::BatchNorm(convolution, activation) => {
                let before = Some(batch_norm(&scope, convolution.in_channels)?);
                let convolution = load(0, convolution)?;
                (vec![PositionLayer { before, convolution, after: None }], activation)
            }
            PositionsConfig::Stack(convolution, activation, count) => {
                let layer = |number| {
                    let channels = convolution.out_channels;
                    let after = Some(Norm::without_weights(weights, channels, EPS)?);
                    let convolution = load(number, convolution)?;
                    Ok(PositionLayer { before: None, convolution, after })
                };
                ((0..count).map(layer).collect::<Result<_>>()?, activation)
            }
            PositionsConfig::WeightNorm(convolution, activation) => {
                let convolution = weight_normed(&scope, "0", convolution)?;
                (vec![PositionLayer { before: None, convolution, after: None }], activation)
            }
        };
        Ok(Some(Self { layers, activation }))
    }

    /// Hidden states of one row, `(frames, hidden)`, and what is added to them, of the same shape.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut added = x.clone();
        for PositionLayer { before, convolution, after } in &self.layers {
            if let Some([factor, summand]) = before {
                added = added.broadcast_mul(factor)?.broadcast_add(summand)?;
            }
            let convolved = normed(after.as_ref(), convolution.forward(&added)?)?;
            added = self.activation.forward(&convolved)?;
        }
        Ok((x + added)?)
    }
}

/// What a batch norm does after training: a factor and a summand of each channel.
fn batch_norm(weights: &Weights, channels: usize) -> Result<[Tensor; 2]> {
    let tensor = |name: &str| weights.tensor(&format!("batch_norm.{name}"), &[channels]);
    let deviation = (tensor("running_var")?.to_dtype(DType::F32)? + EPS)?.sqrt()?;
    let dtype = weights.dtype();
    let factor = (tensor("weight")?.to_dtype(DType::F32)? / deviation)?;
    let mean = tensor("running_mean")?.to_dtype(DType::F32)?;
    let summand = (tensor("bias")?.to_dtype(DType::F32)? - (mean * &factor)?)?;
    Ok([factor.to_dtype(dtype)?, summand.to_dtype(dtype)?])
}

/// A convolution whose weight is stored as the length and the direction of all numbers of each tap, in
/// `name.magnitude` and `name.direction`: `weight_norm` of PyTorch with `dim=2`.
fn weight_normed(weights: &Weights, name: &str, config: ConvolutionConfig) -> Result<Convolution> {
    // Some repositories store what the two make.
    if weights.contains(name) {
        return Convolution::load(weights, name, config);
    }
    let ConvolutionConfig { in_channels, out_channels, kernel, groups, .. } = config;
    let shape = [out_channels, in_channels / groups.max(1), kernel];
    let direction = weights.tensor(&format!("{name}.direction"), &shape)?;
    let magnitude = weights.tensor(&format!("{name}.magnitude"), &[1, 1, kernel])?;
    Convolution::with_weight(weights, name, folded(&direction, &magnitude, 2)?, config)
}
