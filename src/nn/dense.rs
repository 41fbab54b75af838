//! One MLP, gated or plain.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::kernels::elementwise;
use crate::kernels::gate;
use crate::nn::activation::Activation;
use crate::nn::function::Function;
use crate::weights::slices::with_f32;
use crate::weights::{Bias, Linear, Weights};

/// One MLP that all tokens go through.
#[derive(Debug, Clone)]
pub(crate) struct Dense {
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    function: Function,
}

impl Dense {
    /// Reads `gate`, `up` and `down` from the scope.
    pub(crate) fn gated(
        weights: &Weights,
        size: usize,
        hidden: usize,
        activation: Activation,
        bias: Bias,
    ) -> Result<Self> {
        let gate = Some(weights.linear("gate", size, hidden, bias)?);
        Ok(Self { gate, ..Self::plain(weights, size, hidden, activation, bias)? })
    }

    /// Reads `up` and `down` from the scope.
    pub(crate) fn plain(
        weights: &Weights,
        size: usize,
        hidden: usize,
        activation: Activation,
        bias: Bias,
    ) -> Result<Self> {
        Ok(Self {
            gate: None,
            up: weights.linear("up", size, hidden, bias)?,
            down: weights.linear("down", hidden, size, bias)?,
            function: Function::load(weights, activation)?,
        })
    }

    /// `x: (.., hidden)`, the same shape back.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.device().is_cpu() && x.dtype() == DType::F32 {
            let rows = x.contiguous()?;
            if let Some(y) = with_f32(&rows, |x| self.forward_rows(x))?? {
                return Ok(Tensor::from_vec(y, x.shape(), x.device())?);
            }
        }
        let up = self.up.forward(x)?;
        let inner = match &self.gate {
            Some(gate) => (self.function.forward(&gate.forward(x)?)? * up)?,
            None => self.function.forward(&up)?,
        };
        self.down.forward(&inner)
    }

    /// Rows of `hidden` by kernels, some at a time: what lies between the projections is several times
    /// as wide, and stays in the caches; `None` where there is none for the activation.
    fn forward_rows(&self, x: &[f32]) -> Result<Option<Vec<f32>>> {
        const ROWS: usize = 1024;
        let mut parts = x.chunks(ROWS * self.up.in_features());
        let mut next = || -> Result<Option<Vec<f32>>> {
            let Some(x) = parts.next() else { return Ok(None) };
            let Some(inner) = self.inner_rows(x)? else { return Ok(None) };
            let [y] = Linear::forward_rows([&self.down], &inner)?;
            Ok(Some(y))
        };
        let Some(mut y) = next()? else { return Ok(None) };
        y.reserve_exact(x.len() - y.len());
        while let Some(part) = next()? {
            y.extend(part);
        }
        Ok(Some(y))
    }

    /// What goes into `down`, by kernels; `None` where there is none for the activation.
    fn inner_rows(&self, x: &[f32]) -> Result<Option<Vec<f32>>> {
        let Some(activation) = self.function.plain() else {
            let [mut inner] = Linear::forward_rows([self.gate.as_ref().unwrap_or(&self.up)], x)?;
            self.function.apply(&mut inner);
            if self.gate.is_some() {
                let [up] = Linear::forward_rows([&self.up], x)?;
                inner.iter_mut().zip(&up).for_each(|(inner, up)| *inner *= up);
            }
            return Ok(Some(inner));
        };
        Ok(match (&self.gate, activation) {
            (Some(gate), Activation::Gelu) => {
                let [mut inner, up] = Linear::forward_rows([gate, &self.up], x)?;
                elementwise::gelu(&mut inner);
                inner.iter_mut().zip(&up).for_each(|(inner, up)| *inner *= up);
                Some(inner)
            }
            (Some(gate), activation) => match activation.kernel() {
                None => None,
                Some(kernel) => {
                    let [mut inner, up] = Linear::forward_rows([gate, &self.up], x)?;
                    gate::apply(kernel, &mut inner, &up);
                    Some(inner)
                }
            },
            (None, Activation::Gelu) => {
                let [mut inner] = Linear::forward_rows([&self.up], x)?;
                elementwise::gelu(&mut inner);
                Some(inner)
            }
            (None, Activation::Relu) => {
                let [mut inner] = Linear::forward_rows([&self.up], x)?;
                inner.iter_mut().filter(|inner| **inner < 0.0).for_each(|inner| *inner = 0.0);
                Some(inner)
            }
            (None, activation) => match activation.kernel() {
                None => None,
                Some(kernel) => {
                    let [mut inner] = Linear::forward_rows([&self.up], x)?;
                    let up = vec![1.0; inner.len()];
                    gate::apply(kernel, &mut inner, &up);
                    Some(inner)
                }
            },
        })
    }
}
