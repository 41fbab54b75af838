//! DAC (<https://arxiv.org/abs/2306.06546>): convolutions with snakes around a residual quantizer whose codebooks
//! compare directions in few channels.
//!
//! Config and behaviour: `configuration_dac.py` and `modeling_dac.py` of transformers, with their defaults.

use candle_core::{D, DType, Device, Tensor};

use super::common;
use super::in_pieces::{self, InPieces};
use super::pieces::{CodecState, Way};
use super::quantizer::Codebook;
use super::traits::{CodeChunk, Codec, CodecLayout, Codes};
use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::pieces::{Slots, convolution_piece, summed_piece, transposed_convolution_piece};
use crate::nn::snake::Snake;
use crate::nn::transposed::{TransposedConfig, TransposedConvolution};
use crate::nn::weight_norm;
use crate::weights::{Bias, Inventory, Weights};

/// DAC: `DacModel` of transformers.
#[derive(Debug, Clone)]
pub struct Dac {
    layout: CodecLayout,
    encoder: Vec<Layer>,
    books: Vec<Book>,
    decoder: Vec<Layer>,
    inventory: Inventory,
    device: Device,
    dtype: DType,
    threads: Threads,
}

/// One of a stack.
#[derive(Debug, Clone)]
enum Layer {
    Convolution(Convolution),
    /// A snake, a dilated convolution, a snake and a convolution, which are added to what goes in.
    Unit([Snake; 2], [Convolution; 2]),
    Snake(Snake),
    Transposed(TransposedConvolution),
}

/// A codebook in few channels.
#[derive(Debug, Clone)]
struct Book {
    input: Convolution,
    output: Convolution,
    /// Of length 1, of which the nearest is the one in the nearest direction.
    directions: Codebook,
    /// As they are.
    vectors: Codebook,
}

impl Dac {
    /// Reads a codec from a view of a checkpoint.
    pub(super) fn load(raw: &RawConfig, weights: &Weights, threads: Threads) -> Result<Self> {
        let size = |field: &str, default: usize| common::size(raw, field, default);
        let down = common::sizes(raw, "downsampling_ratios", &[2, 4, 8, 8])?;
        let reversed: Vec<usize> = down.iter().rev().copied().collect();
        let up = common::sizes(raw, "upsampling_ratios", &reversed)?;
        let hop_length = common::product(raw, "downsampling_ratios", &down)?;
        let (narrow, wide) = (size("encoder_hidden_size", 64)?, size("decoder_hidden_size", 1536)?);
        let hidden = match narrow.checked_mul(1 << down.len()).filter(|&hidden| hidden < 1 << 20) {
            Some(hidden) => size("hidden_size", hidden)?,
            None => return Err(raw.refuse("encoder_hidden_size", "it is too large")),
        };
        if wide >> up.len() == 0 {
            return Err(raw.refuse("decoder_hidden_size", "it is too small to be halved so often"));
        }
        let layout = CodecLayout {
            sampling_rate: size("sampling_rate", 16_000)? as u32,
            channels: 1,
            hop_length,
            codebooks: size("n_codebooks", 9)?,
            codebook_size: size("codebook_size", 1024)?,
        };
        let book_size = size("codebook_dim", 8)?;
        let book = |number: usize| {
            let scope = weights.scope("quantizer").scope("quantizers").scope(number);
            Book::load(&scope, hidden, book_size, layout.codebook_size)
        };
        if layout.codebooks > 1 << 10 {
            return Err(raw.refuse("n_codebooks", "no codec has so many"));
        }
        Ok(Self {
            encoder: encoder(&weights.scope("encoder"), narrow, hidden, &down)?,
            books: (0..layout.codebooks).map(book).collect::<Result<_>>()?,
            decoder: decoder(&weights.scope("decoder"), wide, hidden, &up)?,
            inventory: weights.inventory(),
            device: weights.device().clone(),
            dtype: weights.dtype(),
            layout,
            threads,
        })
    }
}

impl Book {
    fn load(weights: &Weights, hidden: usize, size: usize, codes: usize) -> Result<Self> {
        let vectors = weights.tensor("codebook.weight", &[codes, size])?;
        let point = |name: &str, channels: [usize; 2]| {
            weight_norm::convolution(
                weights,
                name,
                ConvolutionConfig::new(channels, 1, Bias::Present),
            )
        };
        Ok(Self {
            input: point("in_proj", [hidden, size])?,
            output: point("out_proj", [size, hidden])?,
            directions: Codebook::new(direction(&vectors.to_dtype(DType::F32)?)?)?,
            vectors: Codebook::new(vectors)?,
        })
    }

    /// The frames of codes, `(frames, hidden)`.
    fn decode(&self, codes: &Tensor, dtype: DType) -> Result<Tensor> {
        self.output.forward(&self.vectors.vectors(codes)?.to_dtype(dtype)?)
    }
}

/// Vectors of length 1: `F.normalize` of PyTorch.
fn direction(x: &Tensor) -> Result<Tensor> {
    let length = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.clamp(1e-12, f32::MAX)?;
    Ok(x.broadcast_div(&length)?)
}

fn encoder(
    weights: &Weights,
    narrow: usize,
    hidden: usize,
    ratios: &[usize],
) -> Result<Vec<Layer>> {
    let mut channels = narrow;
    let mut layers = vec![convolution(weights, "conv1", [1, channels], 7, 3)?];
    for (number, &ratio) in ratios.iter().enumerate() {
        let weights = weights.scope("block").scope(number);
        units(&weights, channels, &mut layers)?;
        layers.push(snake(&weights, channels)?);
        let config = ConvolutionConfig::new([channels, 2 * channels], 2 * ratio, Bias::Present)
            .stride(ratio)
            .padding(ratio.div_ceil(2));
        layers.push(Layer::Convolution(weight_norm::convolution(&weights, "conv1", config)?));
        channels *= 2;
    }
    layers.push(snake(weights, channels)?);
    layers.push(convolution(weights, "conv2", [channels, hidden], 3, 1)?);
    Ok(layers)
}

fn decoder(weights: &Weights, wide: usize, hidden: usize, ratios: &[usize]) -> Result<Vec<Layer>> {
    let mut layers = vec![convolution(weights, "conv1", [hidden, wide], 7, 3)?];
    for (number, &ratio) in ratios.iter().enumerate() {
        let weights = weights.scope("block").scope(number);
        let channels = [wide >> number, wide >> (number + 1)];
        layers.push(snake(&weights, channels[0])?);
        let padding = ratio.div_ceil(2);
        let config = TransposedConfig::new(channels, 2 * ratio, ratio, padding, Bias::Present);
        layers.push(Layer::Transposed(weight_norm::transposed(&weights, "conv_t1", config)?));
        units(&weights, channels[1], &mut layers)?;
    }
    let channels = wide >> ratios.len();
    layers.push(snake(weights, channels)?);
    layers.push(convolution(weights, "conv2", [channels, 1], 7, 3)?);
    Ok(layers)
}

fn convolution(
    weights: &Weights,
    name: &str,
    channels: [usize; 2],
    kernel: usize,
    padding: usize,
) -> Result<Layer> {
    let config = ConvolutionConfig::new(channels, kernel, Bias::Present).padding(padding);
    Ok(Layer::Convolution(weight_norm::convolution(weights, name, config)?))
}

fn snake(weights: &Weights, channels: usize) -> Result<Layer> {
    Ok(Layer::Snake(Snake::load(weights, "snake1.alpha", channels, EPS)?))
}

fn units(weights: &Weights, channels: usize, layers: &mut Vec<Layer>) -> Result<()> {
    for (number, dilation) in [1, 3, 9].into_iter().enumerate() {
        let weights = weights.scope(format!("res_unit{}", number + 1));
        let plain = |kernel| ConvolutionConfig::new([channels; 2], kernel, Bias::Present);
        let wide = plain(7).dilation(dilation).padding(3 * dilation);
        let snake = |name: &str| Snake::load(&weights, name, channels, EPS);
        layers.push(Layer::Unit(
            [snake("snake1.alpha")?, snake("snake2.alpha")?],
            [
                weight_norm::convolution(&weights, "conv1", wide)?,
                weight_norm::convolution(&weights, "conv2", plain(1))?,
            ],
        ));
    }
    Ok(())
}

fn forward(layers: &[Layer], x: &Tensor) -> Result<Tensor> {
    let mut x = x.clone();
    for layer in layers {
        x = match layer {
            Layer::Convolution(convolution) => convolution.forward(&x)?,
            Layer::Snake(snake) => snake.forward(&x)?,
            Layer::Transposed(transposed) => transposed.forward(&x)?,
            Layer::Unit([first, second], [wide, point]) => {
                let y = wide.forward(&first.forward(&x)?)?;
                (x + point.forward(&second.forward(&y)?)?)?
            }
        };
    }
    Ok(x)
}

/// A piece of a row, or the end of it; `None` where it completes no result.
fn forward_piece(
    layers: &[Layer],
    x: Option<Tensor>,
    is_last: bool,
    slots: &mut Slots,
) -> Result<Option<Tensor>> {
    let snaked = |snake: &Snake, x: Option<&Tensor>| x.map(|x| snake.forward(x)).transpose();
    let mut x = x;
    for layer in layers {
        x = match layer {
            Layer::Convolution(it) => convolution_piece(it, x, is_last, slots)?,
            Layer::Snake(snake) => snaked(snake, x.as_ref())?,
            Layer::Transposed(it) => transposed_convolution_piece(it, x, is_last, slots)?,
            Layer::Unit([first, second], [wide, point]) => {
                let y = snaked(first, x.as_ref())?;
                let y = convolution_piece(wide, y, is_last, slots)?;
                let y = snaked(second, y.as_ref())?.map(|y| point.forward(&y)).transpose()?;
                summed_piece([x, y], slots)?
            }
        };
    }
    Ok(x)
}

impl Dac {
    /// The codes of frames, `(frames, hidden)`.
    fn quantized(&self, frames: Tensor, books: usize) -> Result<Vec<Vec<u32>>> {
        let mut rest = frames;
        let mut codes = Vec::with_capacity(books);
        for book in self.books.iter().take(books) {
            let narrow = book.input.forward(&rest)?.to_dtype(DType::F32)?;
            let nearest = book.directions.nearest(&direction(&narrow)?)?;
            rest = (&rest - book.decode(&nearest, rest.dtype())?)?;
            codes.push(nearest.to_vec1()?);
        }
        Ok(codes)
    }
}

impl Codec for Dac {
    fn layout(&self) -> CodecLayout {
        self.layout
    }

    fn encode(&self, channels: &[&[f32]], books: Option<usize>) -> Result<Codes> {
        let (samples, books) = self.layout.checked(channels, books)?;
        self.threads.run(|| {
            let x = Tensor::from_vec(common::interleaved(channels), (samples, 1), &self.device)?;
            let frames =
                forward(&self.encoder, &x.to_dtype(self.dtype)?).map_err(|error| match error {
                    Error::InvalidInput { .. } => {
                        Error::input(format!("{samples} samples are too few for a frame"))
                    }
                    error => error,
                })?;
            let codes = self.quantized(frames, books)?;
            Ok(Codes { chunks: vec![CodeChunk::new(codes)] })
        })
    }

    fn decode(&self, codes: &Codes) -> Result<Vec<Vec<f32>>> {
        let [chunk] = codes.chunks.as_slice() else {
            let found = codes.chunks.len();
            return Err(match found {
                0 => Error::input("there are no codes to decode"),
                _ => Error::input(format!("{found} chunks for a codec that has one")),
            });
        };
        chunk.checked(&self.layout)?;
        self.threads.run(|| {
            let frames = self.frames(&chunk.books)?;
            let samples = forward(&self.decoder, &frames)?.tanh()?.to_dtype(DType::F32)?;
            Ok(common::apart(&samples.flatten_all()?.to_vec1()?, 1))
        })
    }

    fn begin_encoding(&self, books: Option<usize>) -> Result<CodecState> {
        let books = books.unwrap_or(self.layout.codebooks);
        self.layout.check_books(books)?;
        Ok(CodecState::new(Way::Encoding, books))
    }

    fn encode_piece(&self, channels: &[&[f32]], state: &mut CodecState) -> Result<Vec<CodeChunk>> {
        in_pieces::encode(self, channels, state)
    }

    fn finish_encoding(&self, state: &mut CodecState) -> Result<Vec<CodeChunk>> {
        in_pieces::finish_encoding(self, state)
    }

    fn begin_decoding(&self) -> Result<CodecState> {
        Ok(CodecState::new(Way::Decoding, 0))
    }

    fn decode_piece(&self, codes: &CodeChunk, state: &mut CodecState) -> Result<Vec<Vec<f32>>> {
        in_pieces::decode(self, codes, state)
    }

    fn finish_decoding(&self, state: &mut CodecState) -> Result<Vec<Vec<f32>>> {
        in_pieces::finish_decoding(self, state)
    }
}

impl InPieces for Dac {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn frames(&self, books: &[Vec<u32>]) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for (book, codes) in self.books.iter().zip(books) {
            let codes = Tensor::new(codes.as_slice(), &self.device)?;
            let frames = book.decode(&codes, self.dtype)?;
            sum = Some(match sum {
                Some(sum) => (sum + frames)?,
                None => frames,
            });
        }
        sum.ok_or_else(|| Error::input("there are no codes to decode"))
    }

    fn encoded(
        &self,
        x: Option<Tensor>,
        is_last: bool,
        state: &mut CodecState,
    ) -> Result<Vec<Vec<u32>>> {
        state.slots.rewind();
        let (books, slots) = (state.books, &mut state.slots);
        self.threads.run(|| match forward_piece(&self.encoder, x, is_last, slots)? {
            None => Ok(vec![Vec::new(); books]),
            Some(frames) => self.quantized(frames, books),
        })
    }

    fn decoded(
        &self,
        x: Option<Tensor>,
        is_last: bool,
        state: &mut CodecState,
    ) -> Result<Vec<Vec<f32>>> {
        state.slots.rewind();
        let slots = &mut state.slots;
        self.threads.run(|| {
            let samples = forward_piece(&self.decoder, x, is_last, slots)?;
            let samples = samples.map(|samples| samples.tanh()).transpose()?;
            common::channels_of(samples.as_ref(), 1)
        })
    }
}

impl Model for Dac {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

/// Added to what a snake divides by.
const EPS: f64 = 1e-9;
