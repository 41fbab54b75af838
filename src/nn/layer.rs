//! One layer: where its norms stand and how its halves join.

use candle_core::Tensor;
use serde::Serialize;

use crate::error::Result;
use crate::nn::attention::{Attention, AttentionConfig};
use crate::nn::mlp::{Mlp, MlpConfig};
use crate::nn::norm::{Norm, NormConfig};
use crate::nn::residual;
use crate::weights::Weights;

/// One attention half and one feed-forward half.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LayerConfig {
    /// Where norms stand and how the halves join.
    pub norms: NormPlace,
    /// Every norm of the layer.
    pub norm: NormConfig,
    /// Multiplies each half before it is added: `residual_multiplier` in Granite.
    pub residual_scale: Option<f64>,
    /// The attention half.
    pub attention: AttentionConfig,
    /// The feed-forward half.
    pub mlp: MlpConfig,
}

/// Where norms stand in a layer, and how its halves join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum NormPlace {
    /// Each half's result is normed before it is added: OLMo 2, OLMo 3.
    AfterHalf,
    /// The sum of each half's input and result is normed, as in the first transformer: BERT and most
    /// encoders.
    AfterSum,
    /// Each half's input is normed: Llama and most decoders, ModernBERT.
    Before,
    /// As [`Before`](Self::Before), but the attention's input is not: ModernBERT's first layer, whose
    /// input the embeddings have normed.
    BeforeMlpOnly,
    /// Both halves take the same input, normed once: Falcon 7B, Phi-2, Command-R.
    Parallel,
    /// Both halves take the same input, each through a norm of its own: Falcon 40B, GPT-NeoX.
    ParallelNorms,
    /// Each half's input and its result are normed: Gemma 2, Gemma 3, GLM-4.
    Sandwich,
}

/// One attention half and one feed-forward half.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    attention: Half<Attention>,
    mlp: Half<Mlp>,
    parallel: bool,
    residual_scale: Option<f64>,
}

/// A half of a layer, and those of its norms that the layer's [`NormPlace`] asks for.
#[derive(Debug, Clone)]
struct Half<T> {
    inner: T,
    before: Option<Norm>,
    after: Option<Norm>,
    after_sum: Option<Norm>,
}

impl Layer {
    /// Reads `attn`, `mlp` and the norms that there are from the scope: `attn_norm` and `mlp_norm` before
    /// each half or after each sum, `attn_post_norm` and `mlp_post_norm` after each half.
    pub(crate) fn load(weights: &Weights, hidden: usize, config: &LayerConfig) -> Result<Self> {
        use NormPlace as Place;
        let place = config.norms;
        let norm = |wanted: bool, name: &str| {
            wanted.then(|| Norm::load(weights, name, hidden, config.norm)).transpose()
        };
        let (before, after) = match place {
            Place::AfterSum => (false, false),
            Place::AfterHalf => (false, true),
            Place::Sandwich => (true, true),
            Place::Before | Place::BeforeMlpOnly | Place::Parallel | Place::ParallelNorms => {
                (true, false)
            }
        };
        let after_sum = place == Place::AfterSum;
        Ok(Self {
            attention: Half {
                inner: Attention::load(&weights.scope("attn"), hidden, &config.attention)?,
                before: norm(before && place != Place::BeforeMlpOnly, "attn_norm")?,
                after: norm(after, "attn_post_norm")?,
                after_sum: norm(after_sum, "attn_norm")?,
            },
            mlp: Half {
                inner: Mlp::load(&weights.scope("mlp"), hidden, &config.mlp)?,
                before: norm(before && place != Place::Parallel, "mlp_norm")?,
                after: norm(after, "mlp_post_norm")?,
                after_sum: norm(after_sum, "mlp_norm")?,
            },
            parallel: matches!(place, Place::Parallel | Place::ParallelNorms),
            residual_scale: config.residual_scale,
        })
    }

    /// ```text
    /// Before                   Sandwich                        AfterHalf                AfterSum
    /// x -+- norm - half -+-    x -+- norm - half - norm -+-    x -+- half - norm -+-    x -+- half -+- norm -
    ///    +---------------+        +----------------------+        +---------------+        +--------+
    /// ```
    /// first for attention, then for the MLP; for the parallel ones
    /// ```text
    /// Parallel                        ParallelNorms
    /// x -+- norm -+- attention -+-    x -+- norm - attention -+-
    ///    |        +- MLP -------+        +- norm - MLP -------+
    ///    +----------------------+        +--------------------+
    /// ```
    /// `x: (.., tokens, hidden)`, and so are the result and what `attend` gives.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        attend: impl FnOnce(&Attention, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Self { attention, mlp, residual_scale: scale, .. } = self;
        if self.parallel {
            let normed = normed(attention.before.as_ref(), x.clone())?;
            let attended = attend(&attention.inner, &normed)?;
            let own = mlp.before.as_ref().map(|norm| norm.forward(x)).transpose()?;
            let fed = mlp.inner.forward(&own.unwrap_or(normed))?;
            return residual::join(x, (fed + attended)?, *scale);
        }
        let x = attention.forward(x, *scale, attend)?;
        mlp.forward(&x, *scale, Mlp::forward)
    }
}

impl<T> Half<T> {
    fn forward(
        &self,
        x: &Tensor,
        scale: Option<f64>,
        run: impl FnOnce(&T, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let result = run(&self.inner, &normed(self.before.as_ref(), x.clone())?)?;
        let sum = residual::join(x, normed(self.after.as_ref(), result)?, scale)?;
        normed(self.after_sum.as_ref(), sum)
    }
}

fn normed(norm: Option<&Norm>, x: Tensor) -> Result<Tensor> {
    match norm {
        Some(norm) => norm.forward(&x),
        None => Ok(x),
    }
}
