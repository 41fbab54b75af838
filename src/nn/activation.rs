//! Activation functions of the MLPs.

use std::f64::consts::SQRT_2;
use std::str::FromStr;

use candle_core::{DType, Tensor};
use candle_nn::ops;
use serde::Serialize;

use crate::error::{Error, Result, none_of};
use crate::kernels::elementwise;
use crate::kernels::gate::Gate;
use crate::weights::slices::with_f32;

/// An activation function, by the names of transformers' `ACT2FN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum Activation {
    /// `x Φ(x)` with the exact error function: Falcon, GPT-NeoX, most encoders.
    Gelu,
    /// The same, no further from 0 than 10.
    GeluClipped,
    /// GELU by its tanh approximation: Gemma, StarCoder2, GPT-2, Phi-2.
    GeluTanh,
    /// `Φ(x)` of a normal distribution around 0.707107 that deviates by 0.282095.
    Laplace,
    /// `x`, and a hundredth of it below 0.
    LeakyRelu,
    /// `x` itself.
    Linear,
    /// `x tanh(ln(1 + e^x))`.
    Mish,
    /// `x`, and below 0 as many times it as a weight says, which MLPs have.
    Prelu,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)` and no more than 6.
    Relu6,
    /// The square of `max(x, 0)`.
    ReluSquared,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `x sigmoid(x)`, also called swish: Llama, Mistral, Qwen, Phi-3.
    Silu,
    /// The hyperbolic tangent: the poolers of encoders.
    Tanh,
    /// xIELU, with weights that MLPs have: Apertus.
    Xielu,
}

impl Activation {
    /// Applies the function to every element.
    ///
    /// # Errors
    ///
    /// When the device fails, and for functions with weights of their own.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Gelu => return gelu(x),
            Self::GeluClipped => gelu(x)?.clamp(-10.0, 10.0),
            Self::GeluTanh => x.gelu(),
            Self::Laplace => {
                let deviations = ((x - LAPLACE_MEAN)? / (0.282_095 * SQRT_2))?;
                (deviations.erf()? + 1.0)? * 0.5
            }
            Self::LeakyRelu => ops::leaky_relu(x, 0.01),
            Self::Linear => Ok(x.clone()),
            Self::Mish => {
                // ln(1 + e^x), without e^x of large numbers.
                let softplus = (x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
                x * softplus.tanh()?
            }
            Self::Prelu | Self::Xielu => {
                return Err(Error::unsupported(format!(
                    "{self:?} has weights, which only MLPs load"
                )));
            }
            Self::QuickGelu => x * ops::sigmoid(&(x * 1.702)?)?,
            Self::Relu => x.relu(),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::ReluSquared => x.relu()?.sqr(),
            Self::Sigmoid => ops::sigmoid(x),
            Self::Silu => x.silu(),
            Self::Tanh => x.tanh(),
        }?)
    }

    /// Whether it has weights of its own.
    pub(crate) fn has_weights(self) -> bool {
        matches!(self, Self::Prelu | Self::Xielu)
    }

    /// The kernel that applies it to a gate on the CPU.
    pub(crate) fn kernel(self) -> Option<Gate> {
        match self {
            Self::GeluTanh => Some(Gate::GeluTanh),
            Self::Silu => Some(Gate::Silu),
            _ => None,
        }
    }
}

#[expect(clippy::approx_constant, reason = "the reference has so many digits of it")]
const LAPLACE_MEAN: f64 = 0.707_107;

/// By a kernel of our own where it can be.
fn gelu(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() || x.dtype() != DType::F32 || !x.is_contiguous() {
        return Ok(x.gelu_erf()?);
    }
    let mut out = with_f32(x, <[f32]>::to_vec)?;
    elementwise::gelu(&mut out);
    Ok(Tensor::from_vec(out, x.shape(), x.device())?)
}

/// The first half of the features times [`Activation::Gelu`] of the other half: `(tokens, 2 features)` to
/// `(tokens, features)`.
#[cfg(feature = "image")]
pub(crate) fn times_gelu(x: &Tensor) -> Result<Tensor> {
    let (tokens, both) = x.dims2()?;
    let width = both / 2;
    if !x.device().is_cpu() || x.dtype() != DType::F32 {
        let gate = gelu(&x.narrow(1, width, width)?.contiguous()?)?;
        return Ok((x.narrow(1, 0, width)? * gate)?);
    }
    let out = with_f32(&x.contiguous()?, |x| elementwise::times_gelu(x, width))?;
    Ok(Tensor::from_vec(out, (tokens, width), x.device())?)
}

/// `x`, and `slope` times it below 0, of each element.
#[cfg(feature = "audio")]
pub(crate) fn leaky_relu(x: &Tensor, slope: f32) -> Result<Tensor> {
    if !x.device().is_cpu() || x.dtype() != DType::F32 {
        return Ok(ops::leaky_relu(x, f64::from(slope))?);
    }
    let out = with_f32(&x.contiguous()?, |x| elementwise::leaky_relu(x, slope))?;
    Ok(Tensor::from_vec(out, x.shape(), x.device())?)
}

/// The hyperbolic tangent of the first half of the channels times the sigmoid of the other half:
/// `(frames, 2 channels)` to `(frames, channels)`.
#[cfg(feature = "audio")]
pub(crate) fn tanh_times_sigmoid(x: &Tensor) -> Result<Tensor> {
    let (frames, both) = x.dims2()?;
    let width = both / 2;
    if !x.device().is_cpu() || x.dtype() != DType::F32 {
        let gate = ops::sigmoid(&x.narrow(1, width, width)?)?;
        return Ok((x.narrow(1, 0, width)?.tanh()? * gate)?);
    }
    let out = with_f32(&x.contiguous()?, |x| elementwise::tanh_times_sigmoid(x, width))?;
    Ok(Tensor::from_vec(out, (frames, width), x.device())?)
}

/// The names of transformers' `ACT2FN`, some of which are one function computed in several ways.
const NAMES: &[(&str, Activation)] = &[
    ("gelu", Activation::Gelu),
    ("gelu_10", Activation::GeluClipped),
    ("gelu_accurate", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_python", Activation::Gelu),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("laplace", Activation::Laplace),
    ("leaky_relu", Activation::LeakyRelu),
    ("linear", Activation::Linear),
    ("mish", Activation::Mish),
    ("prelu", Activation::Prelu),
    ("quick_gelu", Activation::QuickGelu),
    ("relu", Activation::Relu),
    ("relu2", Activation::ReluSquared),
    ("relu6", Activation::Relu6),
    ("sigmoid", Activation::Sigmoid),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("tanh", Activation::Tanh),
    ("xielu", Activation::Xielu),
];

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        known.map(|&(_, activation)| activation).ok_or_else(|| {
            let known: Vec<_> = NAMES.iter().map(|&(name, _)| name).collect();
            Error::unsupported(none_of(name, &known))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use candle_core::Device;
    use serde::Deserialize;

    use super::*;

    /// `tests/goldens/activations.json`, by `make_configs.py`.
    #[derive(Deserialize)]
    struct Golden {
        x: Vec<f32>,
        y: BTreeMap<String, Vec<f32>>,
        /// Those with weights.
        trained: BTreeMap<String, Vec<f32>>,
    }

    #[test]
    fn every_name_of_the_reference_is_its_function() -> Result<()> {
        let golden: Golden =
            serde_json::from_str(include_str!("../../tests/goldens/activations.json")).unwrap();
        let names: BTreeMap<_, _> = golden.y.iter().chain(&golden.trained).collect();
        assert_eq!(
            names.into_keys().collect::<Vec<_>>(),
            NAMES.iter().map(|(name, _)| name).collect::<Vec<_>>()
        );
        for (name, expected) in &golden.y {
            let activation: Activation = name.parse()?;
            let x = Tensor::new(golden.x.as_slice(), &Device::Cpu)?;
            let found = activation.forward(&x)?.to_vec1::<f32>()?;
            for ((x, found), expected) in golden.x.iter().zip(found).zip(expected) {
                let allowed = 2e-6 * expected.abs().max(1.0);
                assert!(
                    (found - expected).abs() <= allowed,
                    "{name}({x}): {found}, not {expected}"
                );
            }
        }
        for name in golden.trained.keys() {
            let activation: Activation = name.parse()?;
            assert!(activation.has_weights(), "{name}");
            assert!(activation.forward(&Tensor::new(1.0_f32, &Device::Cpu)?).is_err(), "{name}");
        }
        Ok(())
    }
}
