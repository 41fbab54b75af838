//! The layers of an encoder of speech.

use candle_core::{DType, Tensor};
use candle_nn::ops;

use crate::error::{Error, Result};
use crate::models::speech::ctc::config::{ConformerConfig, SpeechLayerConfig};
use crate::nn::Step;
use crate::nn::activation::Activation;
use crate::nn::attention::Attention;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::function::Function;
use crate::nn::layer::Layer;
use crate::nn::mlp::{Mlp, MlpConfig};
use crate::nn::norm::{Norm, NormConfig};
use crate::weights::{Bias, Linear, Weights};

/// A layer of an encoder of speech.
#[derive(Debug)]
pub(super) enum SpeechLayer {
    Conformer(Box<Conformer>),
    Transformer { layer: Box<Layer>, language: Option<Box<LanguageAdapter>> },
}

/// Attention and convolution between two feed-forward halves.
#[derive(Debug)]
pub(super) struct Conformer {
    first_norm: Norm,
    first: Mlp,
    attention_norm: Norm,
    attention: Attention,
    convolution_norm: Norm,
    /// To twice the width, of which one half is the other's gate.
    gated: Linear,
    convolution: Convolution,
    convolved_norm: Norm,
    function: Function,
    joined: Linear,
    last_norm: Norm,
    last: Mlp,
    final_norm: Norm,
}

/// What is learned for each language, `x + down(relu(up(norm(x))))`: MMS,
/// <https://arxiv.org/abs/2305.13516>.
#[derive(Debug)]
pub(super) struct LanguageAdapter {
    norm: Norm,
    mlp: Mlp,
}

impl SpeechLayer {
    /// Reads a layer from its scope; what is learned for a language from the same scope of `language`.
    pub(super) fn load(
        weights: &Weights,
        language: &Weights,
        hidden: usize,
        config: &SpeechLayerConfig,
    ) -> Result<Self> {
        Ok(match config {
            SpeechLayerConfig::Conformer(config) => {
                Self::Conformer(Box::new(Conformer::load(weights, hidden, config)?))
            }
            SpeechLayerConfig::Transformer { layer, language_adapter } => Self::Transformer {
                layer: Box::new(Layer::load(weights, hidden, layer)?),
                language: match *language_adapter {
                    Some(width) => {
                        let weights = language.scope("language");
                        Some(Box::new(LanguageAdapter::load(&weights, hidden, width)?))
                    }
                    None => None,
                },
            },
        })
    }

    /// `x: (frames of all rows, hidden)`, the same shape back.
    pub(super) fn forward(&self, x: &Tensor, step: &Step) -> Result<Tensor> {
        match self {
            Self::Conformer(conformer) => conformer.forward(x, step),
            Self::Transformer { layer, language } => {
                let attend =
                    |attention: &Attention, x: &Tensor| attention.forward_uncached(x, step);
                let no_source =
                    |_: &Attention, _: &Tensor| Err(Error::input("an encoder has no source"));
                let x = layer.forward(x, step, attend, no_source)?;
                match language {
                    Some(adapter) => {
                        let LanguageAdapter { norm, mlp } = &**adapter;
                        Ok((&x + mlp.forward(&norm.forward(&x)?)?)?)
                    }
                    None => Ok(x),
                }
            }
        }
    }
}

impl LanguageAdapter {
    fn load(weights: &Weights, hidden: usize, width: usize) -> Result<Self> {
        let activation = Activation::Relu;
        let mlp = MlpConfig::Plain { hidden: width, activation, bias: Bias::Present };
        Ok(Self {
            norm: Norm::load(weights, "norm", hidden, NormConfig::Layer { eps: 1e-5 })?,
            mlp: Mlp::load(&weights.scope("mlp"), hidden, &mlp)?,
        })
    }
}

impl Conformer {
    fn load(weights: &Weights, hidden: usize, config: &ConformerConfig) -> Result<Self> {
        let norm = |name: &str| Norm::load(weights, name, hidden, config.norm);
        let mlp = |name: &str| Mlp::load(&weights.scope(name), hidden, &config.mlp);
        let scope = weights.scope("convolution");
        Ok(Self {
            first_norm: norm("first_norm")?,
            first: mlp("first")?,
            attention_norm: norm("attn_norm")?,
            attention: Attention::load(&weights.scope("attn"), hidden, &config.attention)?,
            convolution_norm: norm("convolution_norm")?,
            gated: scope.linear("gated", hidden, 2 * hidden, Bias::Absent)?,
            convolution: Convolution::load(&scope, "depthwise", config.convolution)?,
            convolved_norm: Norm::load(&scope, "norm", hidden, config.norm)?,
            function: Function::load(&scope, config.activation)?,
            joined: scope.linear("joined", hidden, hidden, Bias::Absent)?,
            last_norm: norm("last_norm")?,
            last: mlp("last")?,
            final_norm: norm("final_norm")?,
        })
    }

    fn forward(&self, x: &Tensor, step: &Step) -> Result<Tensor> {
        let half = |norm: &Norm, mlp: &Mlp, x: &Tensor| -> Result<Tensor> {
            Ok((x + (mlp.forward(&norm.forward(x)?)? * 0.5)?)?)
        };
        let x = half(&self.first_norm, &self.first, x)?;
        let normed = self.attention_norm.forward(&x)?;
        let x = (&x + self.attention.forward_uncached(&normed, step)?)?;
        let x = (&x + self.convolve(&self.convolution_norm.forward(&x)?, step)?)?;
        self.final_norm.forward(&half(&self.last_norm, &self.last, &x)?)
    }

    fn convolve(&self, x: &Tensor, step: &Step) -> Result<Tensor> {
        let gated = gated(&self.gated.forward(x)?)?;
        let rows: Vec<_> = step.segments.iter().map(|row| row.tokens.clone()).collect();
        let convolved = self.convolution.forward_packed(&gated, &rows)?;
        let activated = self.function.forward(&self.convolved_norm.forward(&convolved)?)?;
        self.joined.forward(&activated)
    }
}

/// `(frames, 2 channels)` to `(frames, channels)`: the first half times the sigmoid of the second, `glu` of
/// PyTorch.
pub(super) fn gated(x: &Tensor) -> Result<Tensor> {
    let [values, gates] = <[Tensor; 2]>::try_from(x.chunk(2, 1)?)
        .map_err(|_| Error::input("channels that are no two halves"))?;
    let gates = ops::sigmoid(&gates.to_dtype(DType::F32)?)?.to_dtype(x.dtype())?;
    Ok((values * gates)?)
}

/// A convolution over each channel of frames by itself, of this frame and those before.
pub(super) fn causal_depthwise(channels: usize, kernel: usize) -> ConvolutionConfig {
    let config = ConvolutionConfig::new([channels; 2], kernel, Bias::Absent).groups(channels);
    ConvolutionConfig { padding: [kernel.saturating_sub(1), 0], ..config }
}
