//! One layer: where norms sit and how the two halves join.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::models::decoder::config::LayerConfig;
use crate::models::decoder::config::Residual;
use crate::nn::Step;
use crate::nn::attention::Attention;
use crate::nn::cache::LayerCache;
use crate::nn::mlp::Mlp;
use crate::nn::norm::Norm;
use crate::nn::residual;
use crate::weights::Weights;

/// One attention half and one feed-forward half.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    attention: Attention,
    attention_norms: Norms,
    mlp: Mlp,
    mlp_norms: Norms,
    residual: Residual,
    residual_scale: Option<f64>,
}

/// The norm before the MLP.
const MLP_NORM: &str = "mlp_norm";

/// The norms of one half; a layout has only those it uses.
#[derive(Debug, Clone)]
struct Norms {
    before: Option<Norm>,
    after: Option<Norm>,
}

impl Layer {
    pub(super) fn load(weights: &Weights, hidden: usize, config: &LayerConfig) -> Result<Self> {
        let norm = |name: &str| Norm::load(weights, name, hidden, config.norm).map(Some);
        let norms = |before: &str, after: &str| {
            Ok::<_, Error>(match config.residual {
                Residual::PostNorm => Norms { before: None, after: norm(after)? },
                Residual::Parallel if before == MLP_NORM => Norms { before: None, after: None },
                Residual::Parallel | Residual::ParallelNorms | Residual::PreNorm => {
                    Norms { before: norm(before)?, after: None }
                }
                Residual::Sandwich => Norms { before: norm(before)?, after: norm(after)? },
            })
        };
        Ok(Self {
            attention: Attention::load(&weights.scope("attn"), hidden, &config.attention)?,
            attention_norms: norms("attn_norm", "attn_post_norm")?,
            mlp: Mlp::load(&weights.scope("mlp"), hidden, &config.mlp)?,
            mlp_norms: norms(MLP_NORM, "mlp_post_norm")?,
            residual: config.residual,
            residual_scale: config.residual_scale,
        })
    }

    /// ```text
    /// PreNorm                  Sandwich                        PostNorm
    /// x -+- norm - half -+-    x -+- norm - half - norm -+-    x -+- half - norm -+-
    ///    +---------------+        +----------------------+        +---------------+
    /// ```
    /// first for attention, then for the MLP; for the parallel ones
    /// ```text
    /// x -+- norm -+- attention -+-    x -+- norm - attention -+-
    ///    |        +- MLP -------+        +- norm - MLP -------+
    ///    +----------------------+        +--------------------+
    /// ```
    /// `x` and the result are `(batch, tokens, hidden)`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        step: &Step,
        cache: &mut LayerCache,
    ) -> Result<Tensor> {
        let normed = self.attention_norms.before(x)?;
        let attended = self.attention.forward(&normed, step, cache)?;
        match self.residual {
            Residual::Parallel => return self.join(x, (self.mlp.forward(&normed)? + attended)?),
            Residual::ParallelNorms => {
                let fed = self.mlp.forward(&self.mlp_norms.before(x)?)?;
                return self.join(x, (fed + attended)?);
            }
            Residual::PostNorm | Residual::PreNorm | Residual::Sandwich => {}
        }
        let x = self.join(x, self.attention_norms.after(attended)?)?;
        let fed = self.mlp.forward(&self.mlp_norms.before(&x)?)?;
        self.join(&x, self.mlp_norms.after(fed)?)
    }

    fn join(&self, x: &Tensor, half: Tensor) -> Result<Tensor> {
        residual::join(x, half, self.residual_scale)
    }
}

impl Norms {
    fn before(&self, x: &Tensor) -> Result<Tensor> {
        self.before.as_ref().map_or_else(|| Ok(x.clone()), |norm| norm.forward(x))
    }

    fn after(&self, x: Tensor) -> Result<Tensor> {
        match &self.after {
            Some(norm) => norm.forward(&x),
            None => Ok(x),
        }
    }
}
