//! Mimi (<https://arxiv.org/abs/2410.00037>): a SEANet with transformers on the inside of both halves, and two
//! residual quantizers side by side, of which the first says what is meant.
//!
//! Config and behaviour: `configuration_mimi.py` and `modeling_mimi.py` of transformers, with their defaults.

use candle_core::{DType, Device, Tensor};

use super::common;
use super::in_pieces::{self, InPieces};
use super::pieces::{CodecState, Way};
use super::quantizer::{Codebook, ResidualQuantizer};
use super::seanet::{Padded, Padding, Seanet, SeanetConfig, SeanetNorm, Shortcut, Sight, cut};
use super::traits::{CodeChunk, Codec, CodecLayout, Codes, whole};
use super::transformer::{CodecTransformer, CodecTransformerConfig, NAMES};
use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::nn::convolution::{Convolution, ConvolutionConfig};
use crate::nn::pieces::transposed_convolution_piece;
use crate::nn::transposed::{TransposedConfig, TransposedConvolution};
use crate::weights::names::NameTable;
use crate::weights::{Bias, Inventory, Weights};

/// Mimi: `MimiModel` of transformers.
#[derive(Debug, Clone)]
pub struct Mimi {
    layout: CodecLayout,
    encoder: Seanet,
    encoder_transformer: CodecTransformer,
    downsample: Padded,
    /// The first says what is meant, the second what it sounds like.
    quantizers: [Split; 2],
    upsample: TransposedConvolution,
    decoder_transformer: CodecTransformer,
    decoder: Seanet,
    inventory: Inventory,
    device: Device,
    dtype: DType,
    threads: Threads,
}

/// A residual quantizer of narrower frames.
#[derive(Debug, Clone)]
struct Split {
    books: ResidualQuantizer,
    /// To narrow frames, and back.
    projections: Option<[Convolution; 2]>,
}

impl Split {
    fn load(
        weights: &Weights,
        [hidden, narrow]: [usize; 2],
        books: usize,
        codes: usize,
    ) -> Result<Self> {
        let project = |name: &str, channels: [usize; 2]| {
            Convolution::load(weights, name, ConvolutionConfig::new(channels, 1, Bias::Absent))
        };
        let book = |number: usize| {
            let scope = weights.scope("layers").scope(number).scope("codebook");
            let usage = scope.tensor("cluster_usage", &[codes])?.to_dtype(DType::F32)?;
            let sums = scope.tensor("embed_sum", &[codes, narrow])?.to_dtype(DType::F32)?;
            Codebook::new(sums.broadcast_div(&usage.clamp(EPS, f32::MAX)?.unsqueeze(1)?)?)
        };
        Ok(Self {
            books: ResidualQuantizer((0..books).map(book).collect::<Result<_>>()?),
            projections: match hidden == narrow {
                true => None,
                false => Some([
                    project("input_proj", [hidden, narrow])?,
                    project("output_proj", [narrow, hidden])?,
                ]),
            },
        })
    }

    fn encode(&self, frames: &Tensor, books: usize) -> Result<Vec<Vec<u32>>> {
        match &self.projections {
            None => self.books.encode(frames, books),
            Some([narrow, _]) => self.books.encode(&narrow.forward(frames)?, books),
        }
    }

    fn decode(&self, codes: &[Vec<u32>], dtype: DType) -> Result<Tensor> {
        let frames = self.books.decode(codes)?.to_dtype(dtype)?;
        match &self.projections {
            None => Ok(frames),
            Some([_, wide]) => wide.forward(&frames),
        }
    }
}

impl Mimi {
    /// Reads a codec from a view of a checkpoint.
    pub(super) fn load(raw: &RawConfig, weights: &Weights, threads: Threads) -> Result<Self> {
        let size = |field: &str, default: usize| common::size(raw, field, default);
        let ratios = common::sizes(raw, "upsampling_ratios", &[8, 6, 5, 4])?;
        let hop = common::product(raw, "upsampling_ratios", &ratios)?;
        let (sampling_rate, channels) =
            (size("sampling_rate", 24_000)?, size("audio_channels", 1)?);
        if channels != 1 {
            return Err(raw.refuse("audio_channels", "it should be 1"));
        }
        let own_rate = sampling_rate.div_ceil(hop) as f64;
        let rate = raw.number("frame_rate", sampling_rate as f64 / (2 * hop) as f64)?;
        let kernel = ((own_rate / rate) as usize).saturating_mul(2);
        if !(rate > 0.0 && rate != own_rate && (2..=64).contains(&kernel)) {
            return Err(raw.refuse("frame_rate", format!("it should be half of {own_rate}")));
        }
        let hidden = size("hidden_size", 512)?;
        let narrow = size("vector_quantization_hidden_dimension", 256)?;
        if size("codebook_dim", 256)? != narrow {
            let reason =
                format!("it should be {narrow}, as `vector_quantization_hidden_dimension` is");
            return Err(raw.refuse("codebook_dim", reason));
        }
        let layout = CodecLayout {
            sampling_rate: sampling_rate as u32,
            channels,
            hop_length: 2 * hop,
            codebooks: size("num_quantizers", 32)?,
            codebook_size: size("codebook_size", 2048)?,
        };
        let meant = size("num_semantic_quantizers", 1)?;
        if meant >= layout.codebooks || layout.codebooks > 1 << 10 {
            return Err(raw.refuse("num_semantic_quantizers", "it should be 1 of 32"));
        }
        let is_causal = raw.flag("use_causal_conv", true)?;
        let sight = match is_causal {
            true => Sight::Causal { trim_right_ratio: raw.number("trim_right_ratio", 1.0)? },
            false => Sight::Both,
        };
        let seanet = SeanetConfig {
            channels,
            hidden_size: hidden,
            filters: common::filters(raw, 64, ratios.len())?,
            ratios,
            residual_layers: common::few(raw, "num_residual_layers", 1)?,
            kernel: size("kernel_size", 7)?,
            last_kernel: size("last_kernel_size", 3)?,
            residual_kernel: size("residual_kernel_size", 3)?,
            dilation_growth: size("dilation_growth_rate", 2)?,
            compress: size("compress", 2)?,
            lstm_layers: 0,
            shortcut: match raw.flag("use_conv_shortcut", false)? {
                true => Shortcut::Convolution,
                false => Shortcut::Identity,
            },
            sight,
            padding: common::padding(raw, Padding::Zeros)?,
            norm: SeanetNorm::Weights,
        };
        let transformer = CodecTransformerConfig::read(raw, hidden)?;
        let named = weights.named(NameTable { base: NAMES, own: &[] });
        let layers = |name: &str| CodecTransformer::load(&transformer, &named.scope(name));
        let down = ConvolutionConfig::new([hidden; 2], kernel, Bias::Absent).stride(2);
        let up = TransposedConfig {
            cut: cut(sight, kernel - 2),
            ..TransposedConfig::new([hidden; 2], kernel, 2, 0, Bias::Absent)
        };
        let split = |name: &str, books: usize| {
            let scope = weights.scope("quantizer").scope(name);
            Split::load(&scope, [hidden, narrow], books, layout.codebook_size)
        };
        Ok(Self {
            encoder: Seanet::encoder(&seanet, &weights.scope("encoder"))?,
            encoder_transformer: layers("encoder_transformer")?,
            downsample: Padded::load(weights, "downsample", down, &seanet)?
                .with_padding(Padding::Replicate),
            quantizers: [
                split("semantic_residual_vector_quantizer", meant)?,
                split("acoustic_residual_vector_quantizer", layout.codebooks - meant)?,
            ],
            upsample: TransposedConvolution::load(
                weights,
                "upsample.conv",
                up.groups(size("upsample_groups", 512)?),
            )?,
            decoder_transformer: layers("decoder_transformer")?,
            decoder: Seanet::decoder(&seanet, &weights.scope("decoder"))?,
            inventory: weights.inventory(),
            device: weights.device().clone(),
            dtype: weights.dtype(),
            layout,
            threads,
        })
    }

    /// How many codebooks say what is meant.
    fn meant(&self) -> usize {
        self.quantizers[0].books.0.len()
    }
}

impl Codec for Mimi {
    fn layout(&self) -> CodecLayout {
        self.layout
    }

    fn encode(&self, channels: &[&[f32]], books: Option<usize>) -> Result<Codes> {
        let (samples, books) = self.layout.checked(channels, books)?;
        let meant = self.meant();
        if books < meant {
            return Err(Error::input(format!(
                "{books} codebooks, of which {meant} say what is meant"
            )));
        }
        self.threads.run(|| {
            let x = Tensor::from_vec(common::interleaved(channels), (samples, 1), &self.device)?;
            let x = self.encoder.forward(&x.to_dtype(self.dtype)?)?;
            let x = self.downsample.forward(&self.encoder_transformer.forward(&x)?)?;
            let mut codes = self.quantizers[0].encode(&x, meant)?;
            if books > meant {
                codes.extend(self.quantizers[1].encode(&x, books - meant)?);
            }
            Ok(Codes { chunks: vec![CodeChunk::new(codes)] })
        })
    }

    fn decode(&self, codes: &Codes) -> Result<Vec<Vec<f32>>> {
        let [chunk] = codes.chunks.as_slice() else {
            return Err(match codes.chunks.len() {
                0 => Error::input("there are no codes to decode"),
                found => Error::input(format!("{found} chunks for a codec that has one")),
            });
        };
        chunk.checked(&self.layout)?;
        self.threads.run(|| {
            let x = self.frames(&chunk.books)?;
            let x = self.decoder_transformer.forward(&self.upsample.forward(&x)?)?;
            let samples = self.decoder.forward(&x)?.to_dtype(DType::F32)?;
            Ok(common::apart(&samples.flatten_all()?.to_vec1()?, 1))
        })
    }

    fn begin_encoding(&self, books: Option<usize>) -> Result<CodecState> {
        let (books, meant) = (books.unwrap_or(self.layout.codebooks), self.meant());
        self.layout.check_books(books)?;
        if books < meant {
            return Err(Error::input(format!(
                "{books} codebooks, of which {meant} say what is meant"
            )));
        }
        self.begin(Way::Encoding, books)
    }

    fn encode_piece(&self, channels: &[&[f32]], state: &mut CodecState) -> Result<Vec<CodeChunk>> {
        in_pieces::encode(self, channels, state)
    }

    fn finish_encoding(&self, state: &mut CodecState) -> Result<Vec<CodeChunk>> {
        in_pieces::finish_encoding(self, state)
    }

    fn begin_decoding(&self) -> Result<CodecState> {
        self.begin(Way::Decoding, 0)
    }

    fn decode_piece(&self, codes: &CodeChunk, state: &mut CodecState) -> Result<Vec<Vec<f32>>> {
        in_pieces::decode(self, codes, state)
    }

    fn finish_decoding(&self, state: &mut CodecState) -> Result<Vec<Vec<f32>>> {
        in_pieces::finish_decoding(self, state)
    }
}

impl Mimi {
    fn begin(&self, way: Way, books: usize) -> Result<CodecState> {
        let has_pieces =
            self.encoder.has_pieces() && self.decoder.has_pieces() && self.downsample.has_pieces();
        if !has_pieces {
            return Err(whole());
        }
        let transformer = match way {
            Way::Encoding => &self.encoder_transformer,
            Way::Decoding => &self.decoder_transformer,
        };
        let cache = Some(transformer.new_cache());
        Ok(CodecState { cache, ..CodecState::new(way, books) })
    }
}

impl InPieces for Mimi {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn frames(&self, books: &[Vec<u32>]) -> Result<Tensor> {
        let meant = self.meant();
        if books.len() < meant {
            let found = books.len();
            return Err(Error::input(format!(
                "{found} codebooks, of which {meant} say what is meant"
            )));
        }
        let x = self.quantizers[0].decode(&books[..meant], self.dtype)?;
        match books.len() > meant {
            true => Ok((x + self.quantizers[1].decode(&books[meant..], self.dtype)?)?),
            false => Ok(x),
        }
    }

    fn encoded(
        &self,
        x: Option<Tensor>,
        is_last: bool,
        state: &mut CodecState,
    ) -> Result<Vec<Vec<u32>>> {
        state.slots.rewind();
        let CodecState { slots, cache: Some(cache), books, .. } = state else {
            return Err(Error::input("a state of another codec"));
        };
        let (books, meant) = (*books, self.meant());
        self.threads.run(|| {
            let x = self.encoder.forward_piece(x, is_last, slots)?;
            let x = x.map(|x| self.encoder_transformer.forward_with(&x, cache)).transpose()?;
            let Some(x) = self.downsample.piece(x, is_last, slots)? else {
                return Ok(vec![Vec::new(); books]);
            };
            let mut codes = self.quantizers[0].encode(&x, meant)?;
            if books > meant {
                codes.extend(self.quantizers[1].encode(&x, books - meant)?);
            }
            Ok(codes)
        })
    }

    fn decoded(
        &self,
        x: Option<Tensor>,
        is_last: bool,
        state: &mut CodecState,
    ) -> Result<Vec<Vec<f32>>> {
        state.slots.rewind();
        let CodecState { slots, cache: Some(cache), .. } = state else {
            return Err(Error::input("a state of another codec"));
        };
        self.threads.run(|| {
            let x = transposed_convolution_piece(&self.upsample, x, is_last, slots)?;
            let x = x.map(|x| self.decoder_transformer.forward_with(&x, cache)).transpose()?;
            let samples = self.decoder.forward_piece(x, is_last, slots)?;
            common::channels_of(samples.as_ref(), 1)
        })
    }
}

impl Model for Mimi {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

/// What a vector of a codebook is divided by, at least.
const EPS: f32 = 1e-5;
