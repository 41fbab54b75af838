//! Functions that files name by the path of their class in torch: `torch.nn.modules.activation.Tanh`.

use crate::error::{Result, none_of};
use crate::kernels::elementwise;
use crate::warning::warn;

/// What is applied to each vector of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function(Kind);

#[derive(Debug, Clone, Copy)]
enum Kind {
    Each(fn(f32) -> f32),
    Row(fn(&mut Vec<f32>)),
    /// The slope of negative numbers, which is learnt.
    PRelu(f32),
}

impl Function {
    pub(crate) const IDENTITY: Self = Self(Kind::Each(|x| x));
    pub(crate) const SIGMOID: Self = Self(Kind::Each(sigmoid));
    pub(crate) const TANH: Self = Self(Kind::Each(f32::tanh));

    /// The function of a class with the arguments it has by default. As in the reference, a class
    /// that is not torch's counts as `default`, with a warning: it would be code to be run.
    pub(crate) fn named(class: &str, default: Self) -> std::result::Result<Self, String> {
        if !class.starts_with("torch.") {
            warn(&format!(
                "the function {class:?} is not one of torch's; the default is taken in its place, as \
                 sentence-transformers does it"
            ));
            return Ok(default);
        }
        let name = class.rsplit('.').next().unwrap_or_default();
        let found = FUNCTIONS.iter().find(|(known, _)| *known == name);
        found.map(|(_, kind)| Self(*kind)).ok_or_else(|| {
            let known: Vec<_> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
            format!("{class:?}: {}", none_of(name, &known))
        })
    }

    /// The same with the slope that was learnt, where there is one to learn.
    pub(crate) fn with_slope(self, learnt: impl FnOnce() -> Result<Vec<f32>>) -> Result<Self> {
        Ok(match self.0 {
            Kind::PRelu(default) => {
                Self(Kind::PRelu(learnt()?.first().copied().unwrap_or(default)))
            }
            _ => self,
        })
    }

    /// How many numbers it makes of so many.
    pub(crate) fn length(self, of: usize) -> usize {
        let mut row = vec![0.0; of];
        self.apply(&mut row);
        row.len()
    }

    pub(crate) fn apply(self, row: &mut Vec<f32>) {
        match self.0 {
            Kind::Each(each) => row.iter_mut().for_each(|x| *x = each(*x)),
            Kind::Row(whole) => whole(row),
            Kind::PRelu(slope) => row.iter_mut().for_each(|x| *x = x.max(0.0) + slope * x.min(0.0)),
        }
    }
}

/// `torch.nn`'s, by their defaults, as they compute when not training.
const FUNCTIONS: &[(&str, Kind)] = &[
    ("CELU", Kind::Each(|x| x.max(0.0) + x.min(0.0).exp_m1())),
    ("ELU", Kind::Each(|x| x.max(0.0) + x.min(0.0).exp_m1())),
    ("GELU", Kind::Row(|row| elementwise::gelu(row))),
    ("GLU", Kind::Row(glu)),
    ("Hardshrink", Kind::Each(|x| if x.abs() > 0.5 { x } else { 0.0 })),
    ("Hardsigmoid", Kind::Each(|x| (x + 3.0).clamp(0.0, 6.0) / 6.0)),
    ("Hardswish", Kind::Each(|x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0)),
    ("Hardtanh", Kind::Each(|x| x.clamp(-1.0, 1.0))),
    ("Identity", Kind::Each(|x| x)),
    ("LeakyReLU", Kind::Each(|x| x.max(0.0) + 0.01 * x.min(0.0))),
    ("LogSigmoid", Kind::Each(|x| x.min(0.0) - (-x.abs()).exp().ln_1p())),
    ("LogSoftmax", Kind::Row(log_softmax)),
    ("Mish", Kind::Each(|x| x * softplus(x).tanh())),
    ("PReLU", Kind::PRelu(0.25)),
    ("RReLU", Kind::Each(|x| x.max(0.0) + (1.0 / 8.0 + 1.0 / 3.0) / 2.0 * x.min(0.0))),
    ("ReLU", Kind::Each(|x| x.max(0.0))),
    ("ReLU6", Kind::Each(|x| x.clamp(0.0, 6.0))),
    ("SELU", Kind::Each(|x| SELU_SCALE * (x.max(0.0) + SELU_ALPHA * x.min(0.0).exp_m1()))),
    ("SiLU", Kind::Each(|x| x * sigmoid(x))),
    ("Sigmoid", Kind::Each(sigmoid)),
    ("Softmax", Kind::Row(softmax)),
    ("Softmin", Kind::Row(softmin)),
    ("Softplus", Kind::Each(softplus)),
    ("Softshrink", Kind::Each(|x| (x.abs() - 0.5).max(0.0).copysign(x))),
    ("Softsign", Kind::Each(|x| x / (1.0 + x.abs()))),
    ("Tanh", Kind::Each(f32::tanh)),
    ("Tanhshrink", Kind::Each(|x| x - x.tanh())),
];

const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_SCALE: f32 = 1.050_701;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Beyond 20 it is the identity, as torch has it.
fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

/// The first half, each number weighted by the sigmoid of the other half's.
fn glu(row: &mut Vec<f32>) {
    let gates = row.split_off(row.len() / 2);
    row.iter_mut().zip(gates).for_each(|(x, gate)| *x *= sigmoid(gate));
}

fn softmin(row: &mut Vec<f32>) {
    row.iter_mut().for_each(|x| *x = -*x);
    softmax(row);
}

fn softmax(row: &mut Vec<f32>) {
    log_softmax(row);
    row.iter_mut().for_each(|x| *x = x.exp());
}

#[expect(clippy::ptr_arg, reason = "the type of its kind")]
fn log_softmax(row: &mut Vec<f32>) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|x| f64::from(x - most).exp()).sum();
    let norm = most + sum.ln() as f32;
    row.iter_mut().for_each(|x| *x -= norm);
}
