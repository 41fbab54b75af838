//! The activation of an MLP, with its weights where it has some.

use candle_core::{DType, Tensor};
use half::bf16;

use crate::error::Result;
use crate::nn::activation::Activation;
use crate::weights::Weights;

/// What is applied between the projections of an MLP.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Function {
    Plain(Activation),
    /// `x`, and `slope` times it below 0.
    Prelu {
        slope: f32,
    },
    /// `positive x² + beta x`, and `negative (e^min(x, eps) - 1 - x) + beta x` below 0.
    ///
    /// Source: Huang and others, 2024, <https://arxiv.org/abs/2411.13010>.
    Xielu {
        positive: f32,
        negative: f32,
        beta: f32,
        eps: f32,
    },
}

impl Function {
    /// Reads the weights from `act` in the scope.
    pub(crate) fn load(weights: &Weights, activation: Activation) -> Result<Self> {
        let number = |name: &str, shape: &[usize]| -> Result<f32> {
            let numbers = weights.tensor(&format!("act.{name}"), shape)?.to_dtype(DType::F32)?;
            Ok(numbers.flatten_all()?.to_vec1::<f32>()?.first().copied().unwrap_or_default())
        };
        Ok(match activation {
            Activation::Prelu => Self::Prelu { slope: number("weight", &[1])? },
            Activation::Xielu => {
                let stored =
                    |name: &str, default: f32| match weights.contains(&format!("act.{name}")) {
                        true => number(name, &[]),
                        false => Ok(default),
                    };
                // The reference keeps these numbers in bf16, whatever the dtype of the model.
                let rounded = |x: f32| bf16::from_f32(x).to_f32();
                let beta = rounded(stored("beta", 0.5)?);
                let eps = rounded(stored("eps", -1e-6)?);
                let grown = |name: &str| -> Result<f32> {
                    Ok(rounded(softplus(rounded(number(name, &[1])?))))
                };
                let positive = grown("alpha_p")?;
                let negative = rounded(beta + grown("alpha_n")?);
                Self::Xielu { positive, negative, beta, eps }
            }
            plain => Self::Plain(plain),
        })
    }

    /// Applies the function to every element.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match *self {
            Self::Plain(activation) => return activation.forward(x),
            Self::Prelu { slope } => (x.relu()? - (x.neg()?.relu()? * f64::from(slope))?)?,
            Self::Xielu { positive, negative, beta, eps } => {
                let above = (x.relu()?.sqr()? * f64::from(positive))?;
                // Below 0 only: 0 elsewhere.
                let below = x.neg()?.relu()?.neg()?;
                let grown = (below.minimum(f64::from(eps))?.exp()? - 1.0)?;
                let is_below = x.le(0.0)?.to_dtype(x.dtype())?;
                let below = ((grown - below)? * is_below)?;
                ((above + (below * f64::from(negative))?)? + (x * f64::from(beta))?)?
            }
        })
    }

    /// As [`forward`](Self::forward), for those with weights, on the CPU; `false` for the others.
    pub(crate) fn apply(&self, x: &mut [f32]) -> bool {
        match *self {
            Self::Plain(_) => return false,
            Self::Prelu { slope } => {
                x.iter_mut().filter(|x| **x < 0.0).for_each(|x| *x *= slope);
            }
            Self::Xielu { positive, negative, beta, eps } => {
                for x in x {
                    *x = beta * *x
                        + if *x > 0.0 {
                            positive * *x * *x
                        } else {
                            ((*x).min(eps).exp_m1() - *x) * negative
                        };
                }
            }
        }
        true
    }

    /// The function, where it has no weights.
    pub(crate) fn plain(&self) -> Option<Activation> {
        match *self {
            Self::Plain(activation) => Some(activation),
            Self::Prelu { .. } | Self::Xielu { .. } => None,
        }
    }
}

/// `ln(1 + e^x)`.
fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
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
        /// Of those with weights, as they begin.
        trained: BTreeMap<String, Vec<f32>>,
    }

    #[test]
    fn functions_with_weights_are_the_references_on_both_paths() -> Result<()> {
        let golden: Golden =
            serde_json::from_str(include_str!("../../tests/goldens/activations.json")).unwrap();
        let alpha = (0.8_f32.exp_m1().ln(), 0.3_f32.exp_m1().ln());
        for (name, expected) in golden.trained {
            let function = match name.as_str() {
                "prelu" => Function::Prelu { slope: 0.25 },
                _ => Function::Xielu {
                    positive: softplus(alpha.0),
                    negative: 0.5 + softplus(alpha.1),
                    beta: 0.5,
                    eps: -1e-6,
                },
            };
            let mut rows = golden.x.clone();
            assert!(function.apply(&mut rows));
            let x = Tensor::new(golden.x.as_slice(), &Device::Cpu)?;
            let tensors = function.forward(&x)?.to_vec1::<f32>()?;
            for (found, expected) in rows.iter().zip(&expected).chain(tensors.iter().zip(&expected))
            {
                let allowed = 3e-6 * expected.abs().max(1.0);
                assert!((found - expected).abs() <= allowed, "{name}: {found}, not {expected}");
            }
        }
        Ok(())
    }
}
