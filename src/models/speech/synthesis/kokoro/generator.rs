//! iSTFTNet: from frames to samples by a Fourier transform. <https://arxiv.org/abs/2203.02395>

use candle_core::{DType, Tensor};

use crate::audio::Stft;
use crate::error::Result;
use crate::models::speech::synthesis::hifigan::{mean, upsampling};
use crate::models::speech::synthesis::kokoro::adaptive::AdaIn;
use crate::models::speech::synthesis::kokoro::config::KokoroConfig;
use crate::nn::activation::leaky_relu;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::parts::{Frames, in_parts};
use crate::nn::residual::join;
use crate::nn::snake::Snake;
use crate::nn::transposed::TransposedConvolution;
use crate::nn::weight_norm;
use crate::weights::{Bias, Weights};

#[derive(Debug)]
pub(super) struct IstftNet {
    stages: Vec<Stage>,
    last: Convolution,
    stft: Stft,
}

/// An upsampling, what is added of the source, and the residual blocks whose mean follows.
#[derive(Debug)]
struct Stage {
    upsample: TransposedConvolution,
    source: Convolution,
    source_block: StyledBlock,
    blocks: Vec<StyledBlock>,
}

/// Three times a dilated convolution and a plain one, each behind a norm of a voice and a snake: `AdaINResBlock1`.
#[derive(Debug)]
struct StyledBlock(Vec<[Step; 2]>);

#[derive(Debug)]
struct Step {
    norm: AdaIn,
    snake: Snake,
    convolution: Convolution,
}

impl IstftNet {
    pub(super) fn load(weights: &Weights, config: &KokoroConfig) -> Result<Self> {
        let style = config.style_dim;
        let bins = config.gen_istft_n_fft + 2;
        let mut channels = config.upsample_initial_channel;
        let mut stages = Vec::new();
        for (number, &(rate, kernel)) in config.upsamples.iter().enumerate() {
            let upsample = upsampling(&weights.scope("ups"), number, channels, [rate, kernel])?;
            channels /= 2;
            // Frames of the source in one of what the upsamplings so far have made.
            let rest: usize = config.upsamples[number + 1..].iter().map(|(rate, _)| rate).product();
            let is_last = number + 1 == config.upsamples.len();
            let (kernel, padding) = if is_last { (1, 0) } else { (2 * rest, rest.div_ceil(2)) };
            let source = ConvolutionConfig::new([bins, channels], kernel, Bias::Present)
                .stride(if is_last { 1 } else { rest })
                .padding(padding);
            let block = |(at, (kernel, dilations)): (usize, &(usize, Vec<usize>))| {
                let scope = weights.scope("resblocks").scope(number * config.blocks.len() + at);
                StyledBlock::load(&scope, channels, *kernel, dilations, style)
            };
            stages.push(Stage {
                upsample,
                source: Convolution::load(
                    &weights.scope("noise_convs"),
                    &number.to_string(),
                    source,
                )?,
                source_block: StyledBlock::load(
                    &weights.scope("noise_res").scope(number),
                    channels,
                    if is_last { 11 } else { 7 },
                    &[1, 3, 5],
                    style,
                )?,
                blocks: config.blocks.iter().enumerate().map(block).collect::<Result<_>>()?,
            });
        }
        let last = ConvolutionConfig::new([channels, bins], 7, Bias::Present).padding(3);
        Ok(Self {
            stages,
            last: weight_norm::convolution(weights, "conv_post", last)?,
            stft: Stft::hann(config.gen_istft_n_fft, config.gen_istft_hop_size)?,
        })
    }

    /// Frames `(frames, upsample_initial_channel)` and the source to samples.
    pub(super) fn forward(&self, x: &Tensor, source: &[f32], style: &Tensor) -> Result<Vec<f32>> {
        let spectrum = self.stft.forward(source)?;
        self.of_spectrum(x, &polar(&spectrum, self.stft.bins(), x)?, style)
    }

    /// As [`forward`](Self::forward), of the magnitudes and the phases of the source, `(spectra, 2 bins)`.
    pub(super) fn of_spectrum(
        &self,
        x: &Tensor,
        source: &Tensor,
        style: &Tensor,
    ) -> Result<Vec<f32>> {
        let mut x = x.clone();
        for (number, stage) in self.stages.iter().enumerate() {
            let added = stage.source_block.forward(&stage.source.forward(source)?, style)?;
            x = stage.upsample.forward(&leaky_relu(&x, SLOPE)?)?;
            if number + 1 == self.stages.len() {
                // One frame of a Fourier transform more: the second, mirrored to the front.
                x = Tensor::cat(&[&x.narrow(0, 1, 1)?, &x], 0)?;
            }
            x = (x + added)?;
            x = mean(&stage.blocks, |block| block.forward(&x, style))?;
        }
        let x = self.last.forward(&leaky_relu(&x, LAST_SLOPE)?)?.to_dtype(DType::F32)?;
        let bins = self.stft.bins();
        let numbers: Vec<f32> = x.flatten_all()?.to_vec1()?;
        let mut spectrum = Vec::with_capacity(numbers.len() / 2);
        for frame in numbers.chunks_exact(2 * bins) {
            let (magnitudes, phases) = frame.split_at(bins);
            spectrum.extend(magnitudes.iter().zip(phases).map(|(magnitude, phase)| {
                let (magnitude, (sine, cosine)) = (magnitude.exp(), phase.sin().sin_cos());
                [magnitude * cosine, magnitude * sine]
            }));
        }
        self.stft.inverse(&spectrum, None)
    }
}

impl StyledBlock {
    fn load(
        weights: &Weights,
        channels: usize,
        kernel: usize,
        dilations: &[usize],
        style: usize,
    ) -> Result<Self> {
        let step = |at: usize, half: usize, dilation: usize| -> Result<Step> {
            let config = ConvolutionConfig::new([channels; 2], kernel, Bias::Present)
                .dilation(dilation)
                .padding((kernel - 1) * dilation / 2);
            let list = weights.scope(format!("convs{half}"));
            Ok(Step {
                norm: AdaIn::load(
                    &weights.scope(format!("adain{half}")).scope(at),
                    style,
                    channels,
                )?,
                snake: Snake::load(weights, &format!("alpha{half}.{at}"), channels, 0.0)?,
                convolution: weight_norm::convolution(&list, &at.to_string(), config)?,
            })
        };
        let both = |(at, &dilation): (usize, &usize)| Ok([step(at, 1, dilation)?, step(at, 2, 1)?]);
        Ok(Self(dilations.iter().enumerate().map(both).collect::<Result<_>>()?))
    }

    fn forward(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for steps in &self.0 {
            let [first, second] = steps;
            x = join(&x, second.forward(&first.forward(&x, style)?, style)?, None)?;
        }
        Ok(x)
    }
}

impl Step {
    fn forward(&self, x: &Tensor, style: &Tensor) -> Result<Tensor> {
        let norm = self.norm.norm(style)?;
        let behind = |x: &Tensor| self.convolution.forward(&self.snake.forward(x)?);
        let Some(mut moments) = norm.moments(x)? else { return behind(&norm.forward(x)?) };
        norm.add(x, &mut moments)?;
        let [before, after] = self.convolution.padding();
        let frames = Frames { rate: 1, width: x.dim(1)?, beside: before.max(after) };
        in_parts(x, frames, |x| behind(&norm.forward_by(x, &moments)?))
    }
}

/// The magnitudes and the phases of a spectrum, `(frames, 2 bins)`, as `like` in dtype and device.
fn polar(spectrum: &[[f32; 2]], bins: usize, like: &Tensor) -> Result<Tensor> {
    let mut numbers = Vec::with_capacity(2 * spectrum.len());
    for frame in spectrum.chunks_exact(bins) {
        numbers.extend(frame.iter().map(|[re, im]| re.hypot(*im)));
        // Half a turn is positive: a zero has no sign here.
        numbers.extend(frame.iter().map(|[re, im]| (im + 0.0).atan2(*re)));
    }
    let shape = (spectrum.len() / bins, 2 * bins);
    Ok(Tensor::from_vec(numbers, shape, like.device())?.to_dtype(like.dtype())?)
}

/// Of leaky ReLUs, but for the last.
const SLOPE: f32 = 0.1;
/// PyTorch's default.
const LAST_SLOPE: f32 = 0.01;
