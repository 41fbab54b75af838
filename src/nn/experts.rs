//! A mixture of experts: many small MLPs, of which each token takes a few.
//! <https://arxiv.org/abs/1701.06538>

use candle_core::{D, DType, Tensor};
use candle_nn::ops;
use serde::Serialize;

use crate::error::Result;
use crate::nn::activation::Activation;
use crate::nn::dense::Dense;
use crate::weights::{Bias, Linear, Weights};

/// The shape of a mixture of experts, each of them a gated MLP without biases.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExpertsConfig {
    /// How many there are.
    pub count: usize,
    /// How many a token takes: those with the largest shares.
    pub chosen: usize,
    /// Width between an expert's projections.
    pub hidden: usize,
    /// Applied to the gates.
    pub activation: Activation,
    /// What experts' results are multiplied by before they are added.
    pub shares: ExpertShares,
    /// Width of an expert that every token takes besides, through a gate of its own: Qwen2-MoE.
    pub shared: Option<usize>,
}

/// What the results of a token's experts are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum ExpertShares {
    /// Shares of the chosen, which sum to one: Mixtral, Qwen3-MoE.
    OfChosen,
    /// Shares of all experts: Qwen2-MoE.
    OfAll,
}

/// A mixture of experts.
#[derive(Debug, Clone)]
pub(crate) struct Experts {
    router: Linear,
    experts: Vec<Dense>,
    shared: Option<(Linear, Dense)>,
    config: ExpertsConfig,
}

impl Experts {
    /// Reads `router`, `experts.*` and, where there is one, `shared` with `shared_gate`. The router
    /// is never quantized: what it decides is too coarse for that.
    pub(crate) fn load(weights: &Weights, size: usize, config: &ExpertsConfig) -> Result<Self> {
        let expert = |weights: &Weights, hidden: usize| {
            Dense::gated(weights, size, hidden, config.activation, Bias::Absent)
        };
        let gate = |name: &str, out: usize| {
            Linear::new(weights.tensor(&format!("{name}.weight"), &[out, size])?, None)
        };
        let scope = weights.scope("experts");
        let shared = match config.shared {
            None => None,
            Some(hidden) => {
                Some((gate("shared_gate", 1)?, expert(&weights.scope("shared"), hidden)?))
            }
        };
        Ok(Self {
            router: gate("router", config.count)?,
            experts: (0..config.count)
                .map(|number| expert(&scope.scope(number), config.hidden))
                .collect::<Result<_>>()?,
            shared,
            config: config.clone(),
        })
    }

    /// `x: (batch, tokens, hidden)`, the same shape back. Only chosen experts are computed, each once
    /// for all tokens that chose it.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.flatten_to(D::Minus2)?;
        let logits = self.router.forward(&rows)?.to_dtype(DType::F32)?;
        let shares = ops::softmax_last_dim(&logits)?.to_vec2::<f32>()?;
        let mut takers = vec![Vec::new(); self.config.count];
        for (row, shares) in shares.iter().enumerate() {
            for (expert, share) in self.choose(shares) {
                takers[expert].push((row as u32, share));
            }
        }
        let mut tokens = Vec::with_capacity(shares.len() * self.config.chosen);
        let mut results = Vec::new();
        for (expert, takers) in self.experts.iter().zip(&takers) {
            if takers.is_empty() {
                continue;
            }
            let (own, shares): (Vec<_>, Vec<_>) = takers.iter().copied().unzip();
            let shares = Tensor::new(shares, x.device())?.to_dtype(x.dtype())?.unsqueeze(1)?;
            let own_rows = rows.index_select(&Tensor::new(own.as_slice(), x.device())?, 0)?;
            results.push(expert.forward(&own_rows)?.broadcast_mul(&shares)?);
            tokens.extend(own);
        }
        let tokens = Tensor::new(tokens, x.device())?;
        let sum = rows.zeros_like()?.index_add(&tokens, &Tensor::cat(&results, 0)?, 0)?;
        let sum = match &self.shared {
            None => sum,
            Some((gate, shared)) => {
                let open = ops::sigmoid(&gate.forward(&rows)?)?;
                (sum + shared.forward(&rows)?.broadcast_mul(&open)?)?
            }
        };
        Ok(sum.reshape(x.shape())?)
    }

    /// The experts of one token, and what their results are multiplied by.
    fn choose(&self, shares: &[f32]) -> Vec<(usize, f32)> {
        let mut chosen: Vec<_> = shares.iter().copied().enumerate().collect();
        chosen.sort_by(|(_, left), (_, right)| right.total_cmp(left));
        chosen.truncate(self.config.chosen);
        if self.config.shares == ExpertShares::OfChosen {
            let sum: f32 = chosen.iter().map(|(_, share)| share).sum();
            chosen.iter_mut().for_each(|(_, share)| *share /= sum);
        }
        chosen
    }
}
