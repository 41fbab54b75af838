//! Which two experts a token takes where each expert takes so many tokens only:
//! `NllbMoeTop2Router` of modeling_nllb_moe.py.

use candle_core::{DType, Tensor};
use serde::Serialize;

use crate::error::Result;
use crate::weights::Bias;

/// How tokens get two experts each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PairConfig {
    /// What the router computes in.
    pub precision: RouterPrecision,
    /// Whether the router has a bias.
    pub router_bias: Bias,
    /// Multiplies the experts' results: one minus the part of tokens that training left out.
    pub scale: f64,
    /// Where experts take so many tokens only.
    pub limit: Option<ExpertLimit>,
}

/// Which tokens an expert takes that more have chosen than it takes; those that it drops go without.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExpertLimit {
    /// How many tokens of a row's pass an expert takes: first those whose first choice it is.
    pub capacity: Capacity,
    /// Which tokens come first.
    pub first: FirstServed,
    /// What the shares of a token are divided by.
    pub sums: PairSums,
}

/// How many tokens of a row's pass an expert takes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Capacity {
    /// This part of them, rounded up.
    Fraction(f64),
    /// So many.
    Tokens(usize),
}

/// Which tokens come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum FirstServed {
    /// Those whose largest share is largest: `batch_prioritized_routing`.
    LargestShare,
    /// Those that stand first.
    Order,
}

/// What the shares of a token are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum PairSums {
    /// The sum of both, dropped or not.
    OfBoth,
    /// The sum of those that are not dropped.
    OfTaken,
}

/// What a router computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum RouterPrecision {
    /// `bfloat16`.
    BF16,
    /// `float16`.
    F16,
    /// `float32`.
    F32,
}

impl RouterPrecision {
    /// Numbers of this precision, in the dtype that they came in.
    pub(super) fn rounded(self, x: &Tensor) -> Result<Tensor> {
        let dtype = match self {
            Self::BF16 => DType::BF16,
            Self::F16 => DType::F16,
            Self::F32 => return Ok(x.clone()),
        };
        Ok(x.to_dtype(dtype)?.to_dtype(x.dtype())?)
    }
}

impl PairConfig {
    /// The experts of each token of a row, and what their results are multiplied by.
    pub(super) fn route(
        &self,
        logits: &[Vec<f32>],
        shares: &[Vec<f32>],
        count: usize,
    ) -> Vec<Vec<(usize, f32)>> {
        let pairs = logits.iter().zip(shares).map(|(logits, shares)| {
            let first = largest(shares, None);
            [first, largest(logits, Some(first))]
        });
        let pairs: Vec<[usize; 2]> = pairs.collect();
        let taken = match &self.limit {
            Some(limit) => limit.taken(&pairs, shares, count),
            None => vec![[true; 2]; pairs.len()],
        };
        let counts_both = self.limit.is_some_and(|limit| limit.sums == PairSums::OfBoth);
        let tokens = pairs.into_iter().zip(shares).zip(taken).map(|((pair, shares), taken)| {
            let own = pair.map(|expert| shares[expert]);
            let counted = [0, 1].map(|at| if counts_both || taken[at] { own[at] } else { 0.0 });
            let sum = (counted[0] + counted[1]).max(f32::EPSILON);
            let taken = [0, 1].into_iter().filter(|&at| taken[at]);
            taken.map(|at| (pair[at], self.scale as f32 * (own[at] / sum))).collect()
        });
        tokens.collect()
    }
}

impl ExpertLimit {
    /// Whether each token's first and second choice take it.
    fn taken(&self, pairs: &[[usize; 2]], shares: &[Vec<f32>], count: usize) -> Vec<[bool; 2]> {
        let capacity = match self.capacity {
            Capacity::Fraction(part) => (part * pairs.len() as f64).ceil() as usize,
            Capacity::Tokens(tokens) => tokens,
        };
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        if self.first == FirstServed::LargestShare {
            let most = |token: usize| shares[token].iter().copied().fold(f32::MIN, f32::max);
            order.sort_by(|&left, &right| most(right).total_cmp(&most(left)));
        }
        let mut taken = vec![[false; 2]; pairs.len()];
        // Of those that an expert drops, it has heard nevertheless.
        let mut heard = vec![0; count];
        for choice in 0..2 {
            for &token in &order {
                let expert = pairs[token][choice];
                taken[token][choice] = heard[expert] < capacity;
                heard[expert] += 1;
            }
        }
        taken
    }
}

/// The first of the largest numbers, but for one.
fn largest(numbers: &[f32], but: Option<usize>) -> usize {
    let others = numbers.iter().enumerate().filter(|&(at, _)| Some(at) != but);
    let first = |best: Option<(usize, f32)>, (at, &number): (usize, &f32)| match best {
        Some((_, most)) if most >= number => best,
        _ => Some((at, number)),
    };
    others.fold(None, first).map_or(0, |(at, _)| at)
}
