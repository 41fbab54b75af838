//! A mixture of experts: many small MLPs, of which each token takes a few.
//! <https://arxiv.org/abs/1701.06538>

mod pairs;

use std::ops::Range;

use candle_core::{D, DType, Tensor};
use candle_nn::ops;
use serde::Serialize;

pub use pairs::{Capacity, ExpertLimit, FirstServed, PairConfig, PairSums, RouterPrecision};

use crate::error::Result;
use crate::nn::activation::Activation;
use crate::nn::dense::Dense;
use crate::weights::{Bias, Linear, Weights};

/// The shape of a mixture of experts.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExpertsConfig {
    /// How many there are.
    pub count: usize,
    /// How many a token takes: those with the largest shares.
    pub chosen: usize,
    /// Width between an expert's projections.
    pub hidden: usize,
    /// Applied to the gates, or between the projections.
    pub activation: Activation,
    /// What an expert is.
    pub form: ExpertForm,
    /// What experts' results are multiplied by before they are added.
    pub shares: ExpertShares,
    /// Width of an expert that every token takes besides, through a gate of its own: Qwen2-MoE.
    pub shared: Option<usize>,
}

/// What an expert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum ExpertForm {
    /// A gated MLP without biases: most families.
    Gated,
    /// Two projections with biases: NLLB-MoE.
    Plain,
}

/// What the results of a token's experts are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub enum ExpertShares {
    /// Shares of the chosen, which sum to one: Mixtral, Qwen3-MoE.
    OfChosen,
    /// Shares of all experts: Qwen2-MoE.
    OfAll,
    /// Shares of the two chosen, of which experts that have enough tokens drop some: NLLB-MoE.
    OfPairs(PairConfig),
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
        let expert = |weights: &Weights, hidden: usize| match config.form {
            ExpertForm::Gated => {
                Dense::gated(weights, size, hidden, config.activation, Bias::Absent)
            }
            ExpertForm::Plain => {
                Dense::plain(weights, size, hidden, config.activation, Bias::Present)
            }
        };
        let gate = |name: &str, out: usize| weights.tensor(&format!("{name}.weight"), &[out, size]);
        let scope = weights.scope("experts");
        let shared = match config.shared {
            None => None,
            Some(hidden) => Some((
                Linear::new(gate("shared_gate", 1)?, None)?,
                expert(&weights.scope("shared"), hidden)?,
            )),
        };
        let mut router = gate("router", config.count)?;
        let mut bias = None;
        if let ExpertShares::OfPairs(PairConfig { precision, router_bias, .. }) = config.shares {
            router = precision.rounded(&router)?;
            if router_bias != Bias::Absent {
                bias = Some(precision.rounded(&weights.tensor("router.bias", &[config.count])?)?);
            }
        }
        Ok(Self {
            router: Linear::new(router, bias)?,
            experts: (0..config.count)
                .map(|number| expert(&scope.scope(number), config.hidden))
                .collect::<Result<_>>()?,
            shared,
            config: config.clone(),
        })
    }

    /// `x: (.., hidden)` of packed rows, the same shape back. Only chosen experts are computed, each once
    /// for all tokens that chose it.
    pub(crate) fn forward(&self, x: &Tensor, rows: &[Range<usize>]) -> Result<Tensor> {
        let tokens = x.flatten_to(D::Minus2)?;
        let mut takers = vec![Vec::new(); self.config.count];
        for (token, chosen) in self.route(&tokens, rows)?.into_iter().enumerate() {
            for (expert, share) in chosen {
                takers[expert].push((token as u32, share));
            }
        }
        let mut places = Vec::with_capacity(tokens.dim(0)? * self.config.chosen);
        let mut results = Vec::new();
        for (expert, takers) in self.experts.iter().zip(&takers) {
            if takers.is_empty() {
                continue;
            }
            let (own, shares): (Vec<_>, Vec<_>) = takers.iter().copied().unzip();
            let shares = Tensor::new(shares, x.device())?.to_dtype(x.dtype())?.unsqueeze(1)?;
            let own_tokens = tokens.index_select(&Tensor::new(own.as_slice(), x.device())?, 0)?;
            results.push(expert.forward(&own_tokens)?.broadcast_mul(&shares)?);
            places.extend(own);
        }
        let mut sum = tokens.zeros_like()?;
        if !results.is_empty() {
            let places = Tensor::new(places, x.device())?;
            sum = sum.index_add(&places, &Tensor::cat(&results, 0)?, 0)?;
        }
        let sum = match &self.shared {
            None => sum,
            Some((gate, shared)) => {
                let open = ops::sigmoid(&gate.forward(&tokens)?)?;
                (sum + shared.forward(&tokens)?.broadcast_mul(&open)?)?
            }
        };
        Ok(sum.reshape(x.shape())?)
    }

    /// The experts of each token, and what their results are multiplied by.
    fn route(&self, tokens: &Tensor, rows: &[Range<usize>]) -> Result<Vec<Vec<(usize, f32)>>> {
        let ExpertShares::OfPairs(config) = &self.config.shares else {
            let logits = self.router.forward(tokens)?.to_dtype(DType::F32)?;
            let shares = ops::softmax_last_dim(&logits)?.to_vec2::<f32>()?;
            return Ok(shares.iter().map(|shares| self.choose(shares)).collect());
        };
        let rounded = |x: Tensor| config.precision.rounded(&x.to_dtype(DType::F32)?);
        let logits = rounded(self.router.forward(&rounded(tokens.clone())?)?)?;
        let shares = rounded(ops::softmax_last_dim(&logits)?)?.to_vec2()?;
        let logits = logits.to_vec2()?;
        let of_row = |row: &Range<usize>| {
            config.route(&logits[row.clone()], &shares[row.clone()], self.config.count)
        };
        Ok(rows.iter().flat_map(of_row).collect())
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
