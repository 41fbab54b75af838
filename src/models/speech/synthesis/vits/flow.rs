//! The flow from noise to a spectrogram. <https://arxiv.org/abs/1605.08803>

use candle_core::Tensor;

use crate::error::Result;
use crate::models::speech::synthesis::vits::config::VitsConfig;
use crate::models::speech::synthesis::vits::wavenet::WaveNet;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::weights::{Bias, Weights};

#[derive(Debug)]
pub(super) struct CouplingFlow {
    layers: Vec<CouplingLayer>,
}

/// Takes from one half of the channels what it computes of the other half.
#[derive(Debug)]
struct CouplingLayer {
    half: usize,
    first: Convolution,
    wavenet: WaveNet,
    last: Convolution,
}

impl CouplingFlow {
    pub(super) fn load(weights: &Weights, config: &VitsConfig) -> Result<Self> {
        let (half, hidden) = (config.flow_size / 2, config.hidden_size);
        let single = |channels: [usize; 2]| ConvolutionConfig::new(channels, 1, Bias::Present);
        let layer = |number: usize| -> Result<CouplingLayer> {
            let weights = weights.scope("flows").scope(number);
            let layers = config.prior_encoder_num_wavenet_layers;
            Ok(CouplingLayer {
                half,
                first: Convolution::load(&weights, "conv_pre", single([half, hidden]))?,
                wavenet: WaveNet::load(&weights.scope("wavenet"), config, layers)?,
                last: Convolution::load(&weights, "conv_post", single([hidden, half]))?,
            })
        };
        Ok(Self { layers: (0..config.prior_encoder_num_flows).map(layer).collect::<Result<_>>()? })
    }

    /// From the last layer to the first, `(frames, flow)`, the same shape back.
    pub(super) fn reverse(&self, x: &Tensor, speaker: Option<&Tensor>) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in self.layers.iter().rev() {
            let flipped = x.flip(&[1])?;
            let first = flipped.narrow(1, 0, layer.half)?.contiguous()?;
            let second = flipped.narrow(1, layer.half, layer.half)?;
            let hidden = layer.wavenet.forward(&layer.first.forward(&first)?, speaker)?;
            let second = (second - layer.last.forward(&hidden)?)?;
            x = Tensor::cat(&[first, second], 1)?;
        }
        Ok(x)
    }
}
