//! From phonemes in time and a melody to samples: `Decoder`.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::models::speech::synthesis::kokoro::adaptive::AdainBlock;
use crate::models::speech::synthesis::kokoro::config::KokoroConfig;
use crate::models::speech::synthesis::kokoro::generator::IstftNet;
use crate::models::speech::synthesis::kokoro::source::HarmonicSource;
use crate::models::traits::Checkpoint;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::weight_norm;
use crate::random::Generator;
use crate::weights::{Bias, Weights};

#[derive(Debug)]
pub(super) struct Decoder {
    /// Two numbers of the melody to one.
    pitch: Convolution,
    energy: Convolution,
    encode: AdainBlock,
    /// The last one doubles the frames.
    decode: Vec<AdainBlock>,
    phonemes: Convolution,
    source: HarmonicSource,
    generator: IstftNet,
    hop: usize,
}

/// What is computed on the way.
pub(super) struct Decoded {
    pub(super) source: Vec<f32>,
    pub(super) frames: Tensor,
    pub(super) waveform: Vec<f32>,
}

impl Decoder {
    pub(super) fn load(weights: &Weights, config: &KokoroConfig) -> Result<Self> {
        let (hidden, style) = (config.hidden_dim, config.style_dim);
        // The reference has these sizes in its code: 1024 and 64.
        let size = |name: &str| {
            weight_norm::channels(weights, name).ok_or_else(|| {
                Error::unsupported(format!("this voice lacks the convolution `decoder.{name}`"))
            })
        };
        let (wide, narrow) = (size("encode.conv1")?, size("asr_res.0")?);
        let halved = |name: &str| {
            let config = ConvolutionConfig::new([1, 1], 3, Bias::Present).stride(2).padding(1);
            weight_norm::convolution(weights, name, config)
        };
        let block = |number: usize| {
            let is_last = number + 1 == BLOCKS;
            let outs = if is_last { config.upsample_initial_channel } else { wide };
            let scope = weights.scope("decode").scope(number);
            AdainBlock::load(&scope, [wide + narrow + 2, outs], style, is_last)
        };
        let phonemes = ConvolutionConfig::new([hidden, narrow], 1, Bias::Present);
        let generator = weights.scope("generator");
        Ok(Self {
            pitch: halved("F0_conv")?,
            energy: halved("N_conv")?,
            encode: AdainBlock::load(&weights.scope("encode"), [hidden + 2, wide], style, false)?,
            decode: (0..BLOCKS).map(block).collect::<Result<_>>()?,
            phonemes: weight_norm::convolution(weights, "asr_res.0", phonemes)?,
            source: HarmonicSource::load(&generator.scope("m_source"))?,
            generator: IstftNet::load(&generator, config)?,
            hop: config.pitch_hop(),
        })
    }

    /// Of what is heard in each frame, `(frames, hidden)`, its pitch and its energy, two numbers each.
    pub(super) fn forward(
        &self,
        phonemes: &Tensor,
        [pitch, energy]: [&[f32]; 2],
        style: &Tensor,
        generator: &mut Generator,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Decoded> {
        let column = |numbers: &[f32]| -> Result<Tensor> {
            let column = Tensor::from_slice(numbers, (numbers.len(), 1), phonemes.device())?;
            Ok(column.to_dtype(phonemes.dtype())?)
        };
        let low_pitch = self.pitch.forward(&column(pitch)?)?;
        let low_energy = self.energy.forward(&column(energy)?)?;
        let beside = self.phonemes.forward(phonemes)?;
        let together = Tensor::cat(&[phonemes, &low_pitch, &low_energy], 1)?;
        let mut x = self.encode.forward(&together, style)?;
        for block in &self.decode {
            checkpoint()?;
            x = Tensor::cat(&[&x, &beside, &low_pitch, &low_energy], 1)?;
            x = block.forward(&x, style)?;
        }
        let source = self.source.forward(pitch, self.hop, generator);
        checkpoint()?;
        let waveform = self.generator.forward(&x, &source, style)?;
        Ok(Decoded { source, frames: x.to_dtype(DType::F32)?, waveform })
    }

    /// The last part alone.
    pub(super) fn generator(&self) -> &IstftNet {
        &self.generator
    }
}

/// Of the decoder.
const BLOCKS: usize = 4;
