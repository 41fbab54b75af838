//! Vectors of voices: `Wav2Vec2ForXVector` and its kin in transformers 4.57.
//!
//! X-vectors: <https://www.danielpovey.com/files/2018_icassp_xvectors.pdf>.

use candle_core::{DType, Tensor};
use candle_nn::ops;

use crate::audio::AudioFeatures;
use crate::error::{Error, Result};
use crate::models::heads::finite;
use crate::models::raw_config::RawConfig;
use crate::models::speech::ctc::heads::{Head, Headed};
use crate::models::speech::ctc::{OpenedWeights, SpeechEncoder};
use crate::models::speech::traits::SpeakerEncoder;
use crate::weights::{Bias, Linear, Weights};

/// A vector for the voice of a whole recording.
#[derive(Debug)]
pub(crate) struct SpeakerHead {
    /// Of the inputs of all layers and the result, which add up to 1.
    layers: Option<Vec<f64>>,
    projector: Linear,
    delays: Vec<DelayLayer>,
    out: Linear,
}

/// A layer over a few frames that lie `dilation` apart.
#[derive(Debug)]
struct DelayLayer {
    linear: Linear,
    kernel: usize,
    dilation: usize,
}

impl Head for SpeakerHead {
    const NAME: &'static str = "speaker-verification (XVector)";
    const MARK: &'static str = "speaker.delays.0";

    fn load(body: &SpeechEncoder, raw: &RawConfig, weights: &OpenedWeights) -> Result<Self> {
        let weights = weights.model.scope("speaker");
        let config = body.config();
        if config.adapter.is_some() {
            return Err(
                raw.refuse("add_adapter", "a head for voices reads the frames of the layers")
            );
        }
        let layers = match config.weighted_layers {
            true => Some(shares(&weights, config.layers.len() + 1)?),
            false => None,
        };
        let sizes = numbers(raw, "tdnn_dim", &[512, 512, 512, 512, 1500])?;
        let kernels = numbers(raw, "tdnn_kernel", &[5, 3, 3, 1, 1])?;
        let dilations = numbers(raw, "tdnn_dilation", &[1, 2, 3, 1, 1])?;
        for (field, count) in [("tdnn_kernel", kernels.len()), ("tdnn_dilation", dilations.len())] {
            if count != sizes.len() {
                let reason = format!("there are {} layers in `tdnn_dim`", sizes.len());
                return Err(raw.refuse(field, reason));
            }
        }
        let inputs = sizes.iter().take(1).chain(&sizes);
        let shapes = inputs.zip(&sizes).zip(kernels.iter().zip(&dilations)).enumerate();
        let delays = shapes.map(|(number, ((&inputs, &size), (&kernel, &dilation)))| {
            let name = format!("delays.{number}");
            let linear = weights.linear(&name, inputs * kernel, size, Bias::Present)?;
            Ok(DelayLayer { linear, kernel, dilation })
        });
        let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
        let size = raw.optional_size("xvector_output_dim")?.unwrap_or(512);
        Ok(Self {
            layers,
            projector: weights.linear("projector", config.hidden_size, first, Bias::Present)?,
            delays: delays.collect::<Result<_>>()?,
            out: weights.linear("out", 2 * last, size, Bias::Present)?,
        })
    }
}

impl SpeakerHead {
    /// Of the frames of a recording, `(frames, hidden)`, the vector, `(1, size)` in f32.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.projector.forward(x)?;
        for layer in &self.delays {
            x = layer.forward(&x)?;
        }
        let x = x.to_dtype(DType::F32)?;
        let frames = x.dim(0)?;
        if frames < 2 {
            let needed: usize = self.delays.iter().map(DelayLayer::span).sum();
            return Err(Error::input(format!(
                "a recording that is too short for the vector of a voice: it takes {} frames",
                needed + 2
            )));
        }
        let mean = x.mean_keepdim(0)?;
        // Without bias, as torch computes it.
        let squares = x.broadcast_sub(&mean)?.sqr()?.sum_keepdim(0)?;
        let deviation = (squares / (frames - 1) as f64)?.sqrt()?;
        let pooled = Tensor::cat(&[mean, deviation], 1)?;
        Ok(self.out.forward(&pooled)?.to_dtype(DType::F32)?)
    }
}

impl DelayLayer {
    /// The frames that are lost.
    fn span(&self) -> usize {
        (self.kernel - 1) * self.dilation
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let frames = x.dim(0)?.saturating_sub(self.span());
        if frames == 0 {
            return Ok(Tensor::zeros((0, self.linear.out_features()), x.dtype(), x.device())?);
        }
        let taps = (0..self.kernel).map(|tap| x.narrow(0, tap * self.dilation, frames));
        let taps = Tensor::cat(&taps.collect::<candle_core::Result<Vec<_>>>()?, 1)?;
        Ok(self.linear.forward(&taps)?.relu()?)
    }
}

impl SpeakerEncoder for Headed<SpeakerHead> {
    fn embedding_size(&self) -> usize {
        self.head().out.out_features()
    }

    fn speaker_embeddings(&self, rows: &[&AudioFeatures]) -> Result<Tensor> {
        let head = self.head();
        let rows = self.body().each(rows, head.layers.as_deref(), |x| head.forward(x))?;
        finite(Tensor::cat(&rows, 0)?)
    }
}

/// The shares of layers, which add up to 1.
fn shares(weights: &Weights, count: usize) -> Result<Vec<f64>> {
    let shares = weights.tensor("layers", &[count])?.to_dtype(DType::F32)?;
    let shares = ops::softmax(&shares, candle_core::D::Minus1)?;
    Ok(shares.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
}

fn numbers(raw: &RawConfig, field: &str, default: &[usize]) -> Result<Vec<usize>> {
    let Some(numbers) = raw.numbers(field)? else { return Ok(default.to_vec()) };
    let is_size = |number: &f32| (1.0..=MOST).contains(number) && number.fract() == 0.0;
    if numbers.is_empty() || numbers.len() > MOST_LAYERS || !numbers.iter().all(is_size) {
        let reason = format!("it should be 1 to {MOST_LAYERS} numbers from 1 to {MOST}");
        return Err(raw.refuse(field, reason));
    }
    Ok(numbers.into_iter().map(|number| number as usize).collect())
}

const MOST: f32 = 65_536.0;
const MOST_LAYERS: usize = 64;
