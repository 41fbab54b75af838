//! Activation functions of the MLPs.

use std::str::FromStr;

use candle_core::{DType, Tensor};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::kernels::elementwise;
use crate::kernels::gate::Gate;
use crate::weights::slices::with_f32;

/// An activation function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum Activation {
    /// `x Φ(x)` with the exact error function: Falcon, GPT-NeoX, most encoders.
    Gelu,
    /// GELU by its tanh approximation: Gemma, StarCoder2, GPT-2, Phi-2.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x sigmoid(x)`, also called swish: Llama, Mistral, Qwen, Phi-3.
    Silu,
    /// The hyperbolic tangent: the poolers of encoders.
    Tanh,
}

impl Activation {
    /// Applies the function to every element.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Gelu => return gelu(x),
            Self::GeluTanh => x.gelu(),
            Self::Relu => x.relu(),
            Self::Silu => x.silu(),
            Self::Tanh => x.tanh(),
        }?)
    }

    /// The kernel that applies it to a gate on the CPU.
    pub(crate) fn kernel(self) -> Option<Gate> {
        match self {
            Self::GeluTanh => Some(Gate::GeluTanh),
            Self::Silu => Some(Gate::Silu),
            Self::Gelu | Self::Relu | Self::Tanh => None,
        }
    }
}

/// By a kernel of our own where it can be.
fn gelu(x: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() || x.dtype() != DType::F32 || !x.is_contiguous() {
        return Ok(x.gelu_erf()?);
    }
    let mut out = with_f32(x, <[f32]>::to_vec)?;
    elementwise::gelu(&mut out);
    Ok(Tensor::from_vec(out, x.shape(), x.device())?)
}

impl FromStr for Activation {
    type Err = Error;

    /// The names of transformers' `ACT2FN`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "gelu" => Ok(Self::Gelu),
            "gelu_fast" | "gelu_new" | "gelu_pytorch_tanh" => Ok(Self::GeluTanh),
            "relu" => Ok(Self::Relu),
            "silu" | "swish" => Ok(Self::Silu),
            "tanh" => Ok(Self::Tanh),
            _ => Err(Error::unsupported(format!(
                "the activation {name:?}; gelu, gelu_pytorch_tanh, relu, silu and tanh are supported"
            ))),
        }
    }
}
