//! One layer: where norms sit and how the two halves join.

use candle_core::Tensor;

use crate::error::Result;
use crate::models::encoder::attention::Attention;
use crate::models::encoder::config::{LayerConfig, NormPlace, RelativePositions};
use crate::models::encoder::pass::Pass;
use crate::nn::mlp::Mlp;
use crate::nn::norm::Norm;
use crate::nn::residual;
use crate::weights::Weights;

/// One attention half and one feed-forward half.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    place: NormPlace,
    attention: Attention,
    attention_norm: Option<Norm>,
    mlp: Mlp,
    mlp_norm: Norm,
}

impl Layer {
    pub(super) fn load(
        weights: &Weights,
        hidden: usize,
        config: &LayerConfig,
        relative: &RelativePositions,
    ) -> Result<Self> {
        let norm = |name: &str| Norm::load(weights, name, hidden, config.norm);
        let scope = weights.scope("attn");
        Ok(Self {
            place: config.norms,
            attention: Attention::load(&scope, hidden, &config.attention, relative)?,
            attention_norm: match config.norms {
                NormPlace::BeforeMlpOnly => None,
                NormPlace::After | NormPlace::Before => Some(norm("attn_norm")?),
            },
            mlp: Mlp::load(&weights.scope("mlp"), hidden, &config.mlp)?,
            mlp_norm: norm("mlp_norm")?,
        })
    }

    /// ```text
    /// Before                   After
    /// x -+- norm - half -+-    x -+- half -+- norm -
    ///    +---------------+        +--------+
    /// ```
    /// first for attention, then for the MLP. `x` and the result are `(packed tokens, hidden)`.
    pub(super) fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let x = self.half(x, self.attention_norm.as_ref(), |x| self.attention.forward(x, pass))?;
        self.half(&x, Some(&self.mlp_norm), |x| self.mlp.forward(x))
    }

    fn half(
        &self,
        x: &Tensor,
        norm: Option<&Norm>,
        half: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let normed = |x: &Tensor| norm.map_or_else(|| Ok(x.clone()), |norm| norm.forward(x));
        match self.place {
            NormPlace::After => normed(&residual::join(x, half(x)?, None)?),
            NormPlace::Before | NormPlace::BeforeMlpOnly => {
                residual::join(x, half(&normed(x)?)?, None)
            }
        }
    }
}
