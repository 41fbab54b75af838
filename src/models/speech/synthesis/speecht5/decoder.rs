//! The speech decoder of SpeechT5: a few frames of a spectrogram at each step.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::models::speech::synthesis::speecht5::attention::{Attention, KeyValues};
use crate::models::speech::synthesis::speecht5::config::SpeechT5Config;
use crate::models::speech::synthesis::speecht5::encoder::FeedForward;
use crate::models::speech::synthesis::speecht5::positions::ScaledPositions;
use crate::nn::batch_norm::BatchNorm;
use crate::nn::norm::{Norm, NormConfig};
use crate::random::Generator;
use crate::weights::{Bias, Linear, Weights};

#[derive(Debug)]
pub(super) struct SpeechDecoder {
    /// Linear layers, each with a ReLU and a dropout that is not only for training.
    prenet: Vec<Linear>,
    kept: f64,
    last: Linear,
    positions: ScaledPositions,
    speaker: Linear,
    layers: Vec<DecoderLayer>,
    bins: usize,
}

#[derive(Debug)]
struct DecoderLayer {
    attention: Attention,
    attention_norm: Norm,
    cross: Attention,
    cross_norm: Norm,
    mlp: FeedForward,
    norm: Norm,
}

/// What a decoder remembers of a text: of each layer the keys and values of the text and of the steps so far.
#[derive(Debug)]
pub(super) struct DecoderState {
    /// The last frame, `(1, bins)`.
    frame: Tensor,
    /// The speaker's embedding of length 1, `(1, size)`.
    speaker: Tensor,
    sources: Vec<KeyValues>,
    steps: Vec<Option<KeyValues>>,
    count: usize,
}

impl SpeechDecoder {
    pub(super) fn load(weights: &Weights, config: &SpeechT5Config) -> Result<Self> {
        let (hidden, heads) = (config.hidden_size, config.decoder_attention_heads);
        let (bins, units) = (config.num_mel_bins, config.speech_decoder_prenet_units);
        let prenet = weights.scope("prenet");
        let eps = NormConfig::Layer { eps: config.layer_norm_eps };
        let first = |number: usize| {
            let inputs = if number == 0 { bins } else { units };
            prenet.scope("layers").linear(&number.to_string(), inputs, units, Bias::Present)
        };
        let layer = |number: usize| -> Result<DecoderLayer> {
            let weights = weights.scope("wrapped_decoder.layers").scope(number);
            let norm = |name: &str| Norm::load(&weights, name, hidden, eps);
            Ok(DecoderLayer {
                attention: Attention::load(&weights.scope("self_attn"), hidden, heads)?,
                attention_norm: norm("self_attn_layer_norm")?,
                cross: Attention::load(&weights.scope("encoder_attn"), hidden, heads)?,
                cross_norm: norm("encoder_attn_layer_norm")?,
                mlp: FeedForward::load(
                    &weights.scope("feed_forward"),
                    config,
                    config.decoder_ffn_dim,
                )?,
                norm: norm("final_layer_norm")?,
            })
        };
        let inputs = config.speaker_embedding_dim + hidden;
        Ok(Self {
            prenet: (0..config.speech_decoder_prenet_layers).map(first).collect::<Result<_>>()?,
            kept: config.speech_decoder_prenet_dropout,
            last: prenet.linear("final_layer", units, hidden, Bias::Present)?,
            positions: ScaledPositions::load(&prenet, hidden)?,
            speaker: prenet.linear("speaker_embeds_layer", inputs, hidden, Bias::Present)?,
            layers: (0..config.decoder_layers).map(layer).collect::<Result<_>>()?,
            bins,
        })
    }

    /// The state before the first step: of an encoded text `(ids, hidden)` and a speaker's embedding.
    pub(super) fn start(&self, text: &Tensor, speaker: &[f32]) -> Result<DecoderState> {
        let length = speaker.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
        let speaker: Vec<f32> = speaker.iter().map(|x| (f64::from(*x) / length) as f32).collect();
        let size = speaker.len();
        let sources = self.layers.iter().map(|layer| layer.cross.key_values(text));
        let speaker = Tensor::from_vec(speaker, (1, size), text.device())?;
        Ok(DecoderState {
            frame: Tensor::zeros((1, self.bins), text.dtype(), text.device())?,
            speaker: speaker.to_dtype(text.dtype())?,
            sources: sources.collect::<Result<_>>()?,
            steps: vec![None; self.layers.len()],
            count: 0,
        })
    }

    /// A step: `(1, hidden)` of the last frame.
    pub(super) fn step(
        &self,
        state: &mut DecoderState,
        generator: &mut Generator,
    ) -> Result<Tensor> {
        let mut x = state.frame.clone();
        for layer in &self.prenet {
            x = layer.forward(&x)?.relu()?;
            let units = x.dim(1)?;
            // The reference computes all frames again, with other random numbers; only the last is used.
            let drawn = generator.rand::<f64>((state.count + 1) * units);
            let factor = (1.0 / (1.0 - self.kept)) as f32;
            let last = &drawn[state.count * units..];
            let mask: Vec<f32> =
                last.iter().map(|&number| if number < self.kept { factor } else { 0.0 }).collect();
            let mask = Tensor::from_vec(mask, (1, units), x.device())?.to_dtype(x.dtype())?;
            x = (x * mask)?;
        }
        let x = self.last.forward(&x)?;
        let x = (&x + self.positions.rows(state.count..state.count + 1, &x)?)?;
        let mut x = self.speaker.forward(&Tensor::cat(&[&x, &state.speaker], 1)?)?.relu()?;
        let rows = self.layers.iter().zip(&state.sources).zip(&mut state.steps);
        for ((layer, source), steps) in rows {
            let own = KeyValues::extended(steps.as_ref(), layer.attention.key_values(&x)?)?;
            let y = layer.attention.forward(&x, &own, None)?;
            *steps = Some(own);
            let y = layer.attention_norm.forward(&(x + y)?)?;
            let crossed = layer.cross.forward(&y, source, None)?;
            let y = layer.cross_norm.forward(&(y + crossed)?)?;
            x = layer.norm.forward(&(&y + layer.mlp.forward(&y)?)?)?;
        }
        state.count += 1;
        Ok(x)
    }
}

impl DecoderState {
    /// Goes on with the last of some frames, `(frames, bins)`.
    pub(super) fn go_on(&mut self, frames: &Tensor) -> Result<()> {
        let last =
            frames.dim(0)?.checked_sub(1).ok_or_else(|| Error::input("a step of no frames"))?;
        self.frame = frames.narrow(0, last, 1)?.contiguous()?;
        Ok(())
    }
}

/// The postnet: convolutions over all frames whose result is added to them.
#[derive(Debug)]
pub(super) struct Postnet {
    /// To the frames of a step.
    frames: Linear,
    /// To the probability that each of them is the last.
    stops: Linear,
    layers: Vec<PostLayer>,
    bins: usize,
}

#[derive(Debug)]
struct PostLayer {
    convolution: crate::nn::convolution::Convolution,
    norm: BatchNorm,
}

impl Postnet {
    pub(super) fn load(weights: &Weights, config: &SpeechT5Config) -> Result<Self> {
        use crate::nn::convolution::{Convolution, ConvolutionConfig};
        let (hidden, bins) = (config.hidden_size, config.num_mel_bins);
        let count = config.speech_decoder_postnet_layers;
        let (units, kernel) =
            (config.speech_decoder_postnet_units, config.speech_decoder_postnet_kernel);
        let layer = |number: usize| -> Result<PostLayer> {
            let weights = weights.scope("layers").scope(number);
            let inputs = if number == 0 { bins } else { units };
            let outs = if number + 1 == count { bins } else { units };
            let conv =
                ConvolutionConfig::new([inputs, outs], kernel, Bias::Absent).padding(kernel / 2);
            Ok(PostLayer {
                convolution: Convolution::load(&weights, "conv", conv)?,
                norm: BatchNorm::load(&weights, "batch_norm", outs)?,
            })
        };
        let reduction = config.reduction_factor;
        Ok(Self {
            frames: weights.linear("feat_out", hidden, bins * reduction, Bias::Present)?,
            stops: weights.linear("prob_out", hidden, reduction, Bias::Present)?,
            layers: (0..count).map(layer).collect::<Result<_>>()?,
            bins,
        })
    }

    /// The frames of a step, `(frames, bins)`, and the sum of the probabilities that they are the last.
    pub(super) fn read(&self, x: &Tensor) -> Result<(Tensor, f32)> {
        let frames = self.frames.forward(x)?.reshape(((), self.bins))?;
        let stops = self.stops.forward(x)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let sum = stops.into_iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).sum();
        Ok((frames, sum))
    }

    /// `(frames, bins)`, the same shape back.
    pub(super) fn refine(&self, frames: &Tensor) -> Result<Tensor> {
        let mut x = frames.clone();
        for (number, layer) in self.layers.iter().enumerate() {
            let y = layer.norm.forward(&layer.convolution.forward(&x)?)?;
            x = if number + 1 < self.layers.len() { y.tanh()? } else { y };
        }
        Ok((frames + x)?)
    }
}
