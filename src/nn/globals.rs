//! What tokens attend to beside the window of their layer.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::nn::Step;
use crate::nn::norm::{Norm, NormConfig};
use crate::nn::relative::RelativePositions;
use crate::weights::names::HeadCounts;
use crate::weights::{Bias, Linear, Weights};

/// What tokens attend to beside the window of their layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Globals {
    /// The tokens that the caller [marks](crate::batch::TokenBatch::with_global_attention_mask). These attend to
    /// all tokens, through projections of their own: LED, <https://arxiv.org/abs/2004.05150>.
    Marked,
    /// Nothing: most families.
    None,
    /// Sums of tokens that stand together, normed: LongT5, <https://arxiv.org/abs/2112.07916>.
    Sums {
        /// How many tokens are in a sum. Those that are left over are in the last one, and a row of fewer has none.
        tokens: usize,
        /// Of the sums.
        norm: NormConfig,
        /// Of distances between the sum that a token is in and others.
        positions: RelativePositions,
    },
}

/// What an attention has for its [`Globals`].
#[derive(Debug, Clone)]
pub(crate) enum LoadedGlobals {
    /// Projections of queries, keys and values.
    Marked(Box<[Linear; 3]>),
    Sums {
        tokens: usize,
        norm: Norm,
        table: usize,
    },
}

impl LoadedGlobals {
    /// Reads `global.q`, `global.k` and `global.v`, or `sums_norm`, from the scope of an attention.
    pub(crate) fn load(
        weights: &Weights,
        hidden: usize,
        HeadCounts { heads, kv_heads, head_dim }: HeadCounts,
        bias: Bias,
        globals: &Globals,
    ) -> Result<Option<Self>> {
        let linear =
            |name: &str| weights.scope("global").linear(name, hidden, heads * head_dim, bias);
        let loaded = match *globals {
            Globals::None => return Ok(None),
            _ if kv_heads != heads => {
                return Err(Error::unsupported("global attention of heads that share keys"));
            }
            Globals::Marked => Self::Marked(Box::new([linear("q")?, linear("k")?, linear("v")?])),
            Globals::Sums { tokens, norm, positions } => {
                let RelativePositions::Buckets { table, .. } = positions else {
                    return Err(Error::unsupported("sums of tokens without buckets of distances"));
                };
                let norm = Norm::load(weights, "sums_norm", hidden, norm)?;
                Self::Sums { tokens, norm, table }
            }
        };
        Ok(Some(loaded))
    }

    /// Whether there are any in these rows.
    pub(crate) fn are_in(&self, step: &Step) -> bool {
        match self {
            Self::Marked(_) => step.marked.iter().any(|row| !row.is_empty()),
            Self::Sums { tokens, .. } => step.longest >= *tokens,
        }
    }
}
