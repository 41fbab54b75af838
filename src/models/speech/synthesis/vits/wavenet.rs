//! Layers of gated convolutions. <https://arxiv.org/abs/1609.03499>

use candle_core::Tensor;

use crate::error::Result;
use crate::models::speech::synthesis::vits::config::VitsConfig;
use crate::nn::activation::tanh_times_sigmoid;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::weight_norm;
use crate::weights::{Bias, Weights};

#[derive(Debug)]
pub(super) struct WaveNet {
    hidden: usize,
    /// To what a speaker adds to each layer, one after the other.
    speaker: Option<Convolution>,
    layers: Vec<WaveLayer>,
}

#[derive(Debug)]
struct WaveLayer {
    gates: Convolution,
    /// To what is added to the input of the next layer, but for the last layer, and to the output.
    out: Convolution,
}

impl WaveNet {
    pub(super) fn load(weights: &Weights, config: &VitsConfig, layers: usize) -> Result<Self> {
        let (hidden, kernel) = (config.hidden_size, config.wavenet_kernel_size);
        let single =
            |outs: usize, ins: usize| ConvolutionConfig::new([ins, outs], 1, Bias::Present);
        let speaker = match config.speaker_size {
            0 => None,
            size => {
                let config = single(2 * hidden * layers, size);
                Some(weight_norm::convolution(weights, "cond_layer", config)?)
            }
        };
        let layer = |number: usize| -> Result<WaveLayer> {
            let dilation = config.wavenet_dilation_rate.pow(number as u32);
            let gates = ConvolutionConfig::new([hidden, 2 * hidden], kernel, Bias::Present)
                .dilation(dilation)
                .padding((kernel * dilation - dilation) / 2);
            let outs = if number + 1 < layers { 2 * hidden } else { hidden };
            let load = |list: &str, config| {
                weight_norm::convolution(&weights.scope(list), &number.to_string(), config)
            };
            Ok(WaveLayer {
                gates: load("in_layers", gates)?,
                out: load("res_skip_layers", single(outs, hidden))?,
            })
        };
        Ok(Self { hidden, speaker, layers: (0..layers).map(layer).collect::<Result<_>>()? })
    }

    /// `(frames, hidden)`, the same shape back; with a speaker's embedding `(1, size)`.
    pub(super) fn forward(&self, x: &Tensor, speaker: Option<&Tensor>) -> Result<Tensor> {
        let added = match (&self.speaker, speaker) {
            (Some(layer), Some(speaker)) => Some(layer.forward(speaker)?),
            _ => None,
        };
        let mut x = x.clone();
        let mut sum: Option<Tensor> = None;
        for (number, layer) in self.layers.iter().enumerate() {
            let mut gates = layer.gates.forward(&x)?;
            if let Some(added) = &added {
                let own = added.narrow(1, number * 2 * self.hidden, 2 * self.hidden)?;
                gates = gates.broadcast_add(&own)?;
            }
            let y = layer.out.forward(&tanh_times_sigmoid(&gates)?)?;
            let skipped = if number + 1 < self.layers.len() {
                x = (x + y.narrow(1, 0, self.hidden)?)?;
                y.narrow(1, self.hidden, self.hidden)?
            } else {
                y
            };
            sum = Some(match sum {
                None => skipped,
                Some(sum) => (sum + skipped)?,
            });
        }
        sum.map_or(Ok(x), Ok)
    }
}
