//! EnCodec (<https://arxiv.org/abs/2210.13438>): a SEANet around a residual quantizer.
//!
//! Config and behaviour: `configuration_encodec.py` and `modeling_encodec.py` of transformers, with their
//! defaults.

use candle_core::{DType, Device, Tensor};

use super::chunked::FadedChunks;
use super::common;
use super::in_pieces::{self, InPieces};
use super::pieces::{CodecState, Way};
use super::quantizer::{Codebook, ResidualQuantizer};
use super::seanet::{Padding, Seanet, SeanetConfig, SeanetNorm, Shortcut, Sight};
use super::traits::{CodeChunk, Codec, CodecLayout, Codes, whole};
use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::Model;
use crate::weights::{Inventory, Weights};

/// EnCodec: `EncodecModel` of transformers.
#[derive(Debug, Clone)]
pub struct Encodec {
    config: EncodecConfig,
    encoder: Seanet,
    quantizer: ResidualQuantizer,
    decoder: Seanet,
    inventory: Inventory,
    device: Device,
    dtype: DType,
    threads: Threads,
}

/// An EnCodec as data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EncodecConfig {
    /// The sizes of sound and codes.
    pub layout: CodecLayout,
    /// What makes frames of samples, and samples of frames.
    pub seanet: SeanetConfig,
    /// In thousands of bits per second, the lowest first.
    pub target_bandwidths: Vec<f64>,
    /// Whether each chunk is encoded as loud as all others.
    pub normalize: bool,
    /// Samples of a chunk, and from one chunk's first sample to that of the next; `None` where all of the sound
    /// is one chunk.
    pub chunks: Option<[usize; 2]>,
}

impl EncodecConfig {
    pub(super) fn read(raw: &RawConfig) -> Result<Self> {
        let size = |field: &str, default: usize| common::size(raw, field, default);
        let ratios = common::sizes(raw, "upsampling_ratios", &[8, 5, 4, 2])?;
        let hop_length = common::product(raw, "upsampling_ratios", &ratios)?;
        let sampling_rate = size("sampling_rate", 24_000)?;
        let codebook_size = size("codebook_size", 1024)?;
        if !codebook_size.is_power_of_two() {
            return Err(raw.refuse("codebook_size", "it should be a power of 2"));
        }
        let hidden_size = size("hidden_size", 128)?;
        if size("codebook_dim", hidden_size)? != hidden_size {
            return Err(raw.refuse("codebook_dim", format!("it should be {hidden_size}")));
        }
        let bandwidths = raw.numbers("target_bandwidths")?;
        let bandwidths: Vec<f64> = match bandwidths {
            // As they were written.
            Some(own) => own.iter().map(|&it| (f64::from(it) * 1e4).round() / 1e4).collect(),
            None => vec![1.5, 3.0, 6.0, 12.0, 24.0],
        };
        let rate = sampling_rate.div_ceil(hop_length) * codebook_size.ilog2() as usize;
        let codebooks = bandwidths.last().map_or(0, |last| (1000.0 * last / rate as f64) as usize);
        if codebooks == 0 || codebooks > MOST_BOOKS || bandwidths.iter().any(|&it| it <= 0.0) {
            let reason = "it should be a list of bandwidths, in thousands of bits per second";
            return Err(raw.refuse("target_bandwidths", reason));
        }
        let channels = size("audio_channels", 1)?;
        if channels > 2 {
            return Err(raw.refuse("audio_channels", "it should be 1 or 2"));
        }
        let is_causal = raw.flag("use_causal_conv", true)?;
        let trim_right_ratio = raw.number("trim_right_ratio", 1.0)?;
        if !(0.0..=1.0).contains(&trim_right_ratio) || !is_causal && trim_right_ratio != 1.0 {
            return Err(raw.refuse("trim_right_ratio", "it should be 1"));
        }
        let norm = match raw.text("norm_type")?.unwrap_or("weight_norm") {
            "weight_norm" => SeanetNorm::Weights,
            "time_group_norm" => SeanetNorm::Together,
            _ => return Err(raw.refuse("norm_type", "it should be weight_norm or time_group_norm")),
        };
        let chunk = |seconds: f64| -> Result<[usize; 2]> {
            let samples = seconds * sampling_rate as f64;
            let overlap = raw.required_number("overlap")?;
            if !(1.0..1e9).contains(&samples) || !(0.0..1.0).contains(&overlap) {
                return Err(raw.refuse("chunk_length_s", "it should be seconds, with an overlap"));
            }
            let samples = samples as usize;
            Ok([samples, (((1.0 - overlap) * samples as f64) as usize).max(1)])
        };
        Ok(Self {
            layout: CodecLayout {
                sampling_rate: sampling_rate as u32,
                channels,
                hop_length,
                codebooks,
                codebook_size,
            },
            seanet: SeanetConfig {
                channels,
                hidden_size,
                filters: common::filters(raw, 32, ratios.len())?,
                ratios,
                residual_layers: common::few(raw, "num_residual_layers", 1)?,
                kernel: size("kernel_size", 7)?,
                last_kernel: size("last_kernel_size", 7)?,
                residual_kernel: size("residual_kernel_size", 3)?,
                dilation_growth: size("dilation_growth_rate", 2)?,
                compress: size("compress", 2)?,
                lstm_layers: common::few(raw, "num_lstm_layers", 2)?,
                shortcut: match raw.flag("use_conv_shortcut", true)? {
                    true => Shortcut::Convolution,
                    false => Shortcut::Identity,
                },
                sight: match is_causal {
                    true => Sight::Causal { trim_right_ratio },
                    false => Sight::Both,
                },
                padding: common::padding(raw, Padding::Reflect)?,
                norm,
            },
            target_bandwidths: bandwidths,
            normalize: raw.flag("normalize", false)?,
            chunks: raw.optional_number("chunk_length_s")?.map(chunk).transpose()?,
        })
    }

    /// How many codebooks a bandwidth stands for: `get_num_quantizers_for_bandwidth` of the reference.
    fn books(&self, bandwidth: f64) -> usize {
        let CodecLayout { sampling_rate, hop_length, codebooks, codebook_size, .. } = self.layout;
        let frames = (sampling_rate as usize).div_ceil(hop_length);
        let of_book = f64::from(codebook_size.ilog2()) * frames as f64;
        ((bandwidth * 1000.0 / of_book).floor() as usize).clamp(1, codebooks)
    }
}

impl Encodec {
    /// Reads a codec from a view of a checkpoint.
    pub(super) fn load(raw: &RawConfig, weights: &Weights, threads: Threads) -> Result<Self> {
        let config = EncodecConfig::read(raw)?;
        let (size, hidden) = (config.layout.codebook_size, config.seanet.hidden_size);
        let book = |number: usize| {
            let name = format!("quantizer.layers.{number}.codebook.embed");
            Codebook::new(weights.tensor(&name, &[size, hidden])?)
        };
        Ok(Self {
            encoder: Seanet::encoder(&config.seanet, &weights.scope("encoder"))?,
            quantizer: ResidualQuantizer(
                (0..config.layout.codebooks).map(book).collect::<Result<_>>()?,
            ),
            decoder: Seanet::decoder(&config.seanet, &weights.scope("decoder"))?,
            inventory: weights.inventory(),
            device: weights.device().clone(),
            dtype: weights.dtype(),
            threads,
            config,
        })
    }

    /// The parts of the codec.
    #[must_use]
    pub fn config(&self) -> &EncodecConfig {
        &self.config
    }

    /// The codes of a chunk, `_encode_frame` of the reference.
    fn encode_chunk(&self, channels: &[&[f32]], books: usize) -> Result<CodeChunk> {
        let mut x = common::interleaved(channels);
        let scale = self.config.normalize.then(|| {
            let mono = x.chunks_exact(channels.len());
            let squares: f64 = mono
                .map(|frame| f64::from((frame.iter().sum::<f32>() / frame.len() as f32).powi(2)))
                .sum();
            let mean = squares / (x.len() / channels.len()) as f64;
            (mean as f32).sqrt() + 1e-8
        });
        if let Some(scale) = scale {
            x.iter_mut().for_each(|sample| *sample /= scale);
        }
        let shape = (x.len() / channels.len(), channels.len());
        let x = Tensor::from_vec(x, shape, &self.device)?.to_dtype(self.dtype)?;
        let books = self.quantizer.encode(&self.encoder.forward(&x)?, books)?;
        Ok(CodeChunk::new(books).with_scale(scale))
    }

    /// The chunks that are whole, and at the end the others.
    fn whole_chunks(
        &self,
        chunks: [usize; 2],
        is_last: bool,
        state: &mut CodecState,
    ) -> Result<Vec<CodeChunk>> {
        let mut found = Vec::new();
        while let Some(chunk) = state.waiting.next(chunks, is_last) {
            let chunk: Vec<&[f32]> = chunk.iter().map(Vec::as_slice).collect();
            found.push(self.threads.run(|| self.encode_chunk(&chunk, state.books))?);
        }
        Ok(found)
    }

    /// Refuses what is no chunk of a row whose first one has so many frames.
    fn check_chunk(&self, chunk: &CodeChunk, number: usize, first: usize) -> Result<()> {
        let frames = chunk.checked(&self.config.layout)?;
        if frames > first || self.config.chunks.is_none() && number > 0 {
            return Err(Error::input(format!(
                "chunk {number} of {frames} frames after one of {first}, which is no chunk of this codec"
            )));
        }
        if self.config.normalize != chunk.scale.is_some() {
            let wanted = if self.config.normalize { "needs a scale" } else { "has no scales" };
            return Err(Error::input(format!("chunk {number}: this codec {wanted}")));
        }
        if let Some(scale) = chunk.scale.filter(|scale| !scale.is_finite()) {
            return Err(Error::input(format!("chunk {number} has the scale {scale}")));
        }
        let most =
            self.config.chunks.map(|[length, _]| length.div_ceil(self.config.layout.hop_length));
        match most.filter(|&most| frames > most) {
            None => Ok(()),
            Some(most) => {
                Err(Error::input(format!("a chunk of {frames} frames; the longest has {most}")))
            }
        }
    }

    fn begin(&self, way: Way, books: usize) -> Result<CodecState> {
        let has_pieces = self.encoder.has_pieces() && self.decoder.has_pieces();
        match self.config.chunks.is_some() || has_pieces && !self.config.normalize {
            true => Ok(CodecState::new(way, books)),
            false => Err(whole()),
        }
    }

    /// The samples of a chunk, `(samples, channels)`, `_decode_frame` of the reference.
    fn decode_chunk(&self, chunk: &CodeChunk) -> Result<Vec<f32>> {
        let frames = self.quantizer.decode(&chunk.books)?.to_dtype(self.dtype)?;
        let samples = self.decoder.forward(&frames)?.to_dtype(DType::F32)?;
        let mut samples: Vec<f32> = samples.flatten_all()?.to_vec1()?;
        if let Some(scale) = chunk.scale {
            samples.iter_mut().for_each(|sample| *sample *= scale);
        }
        Ok(samples)
    }
}

impl Codec for Encodec {
    fn layout(&self) -> CodecLayout {
        self.config.layout
    }

    fn encode(&self, channels: &[&[f32]], books: Option<usize>) -> Result<Codes> {
        let lowest = self.config.target_bandwidths.first().copied().unwrap_or_default();
        let books = books.unwrap_or_else(|| self.config.books(lowest));
        let (samples, books) = self.config.layout.checked(channels, Some(books))?;
        let [length, stride] = self.config.chunks.unwrap_or([samples; 2]);
        self.threads.run(|| {
            let chunks = (0..samples).step_by(stride).map(|start| {
                let part = start..samples.min(start + length);
                let part: Vec<&[f32]> =
                    channels.iter().map(|channel| &channel[part.clone()]).collect();
                self.encode_chunk(&part, books)
            });
            Ok(Codes { chunks: chunks.collect::<Result<_>>()? })
        })
    }

    fn decode(&self, codes: &Codes) -> Result<Vec<Vec<f32>>> {
        let channels = self.config.layout.channels;
        let Some(first) = codes.chunks.first() else {
            return Err(Error::input("there are no codes to decode"));
        };
        let frames = first.checked(&self.config.layout)?;
        for (number, chunk) in codes.chunks.iter().enumerate() {
            self.check_chunk(chunk, number, frames)?;
        }
        self.threads.run(|| {
            let samples = match codes.chunks.as_slice() {
                [only] => self.decode_chunk(only)?,
                chunks => {
                    let [_, stride] = self.config.chunks.unwrap_or([0, 0]);
                    let (mut faded, mut samples) = (FadedChunks::default(), Vec::new());
                    for chunk in chunks {
                        samples.extend(faded.push(&self.decode_chunk(chunk)?, stride, channels)?);
                    }
                    samples.extend(faded.finish(stride, channels)?);
                    samples
                }
            };
            Ok(common::apart(&samples, channels))
        })
    }

    fn begin_encoding(&self, books: Option<usize>) -> Result<CodecState> {
        let lowest = self.config.target_bandwidths.first().copied().unwrap_or_default();
        let books = books.unwrap_or_else(|| self.config.books(lowest));
        self.config.layout.check_books(books)?;
        self.begin(Way::Encoding, books)
    }

    fn encode_piece(&self, channels: &[&[f32]], state: &mut CodecState) -> Result<Vec<CodeChunk>> {
        match self.config.chunks {
            None => in_pieces::encode(self, channels, state),
            Some(chunks) => {
                state.check(Way::Encoding)?;
                self.config.layout.checked(channels, Some(state.books))?;
                state.waiting.push(channels);
                self.whole_chunks(chunks, false, state)
            }
        }
    }

    fn finish_encoding(&self, state: &mut CodecState) -> Result<Vec<CodeChunk>> {
        match self.config.chunks {
            None => in_pieces::finish_encoding(self, state),
            Some(chunks) => {
                state.end(Way::Encoding)?;
                self.whole_chunks(chunks, true, state)
            }
        }
    }

    fn begin_decoding(&self) -> Result<CodecState> {
        self.begin(Way::Decoding, 0)
    }

    fn decode_piece(&self, codes: &CodeChunk, state: &mut CodecState) -> Result<Vec<Vec<f32>>> {
        let Some([_, stride]) = self.config.chunks else {
            return in_pieces::decode(self, codes, state);
        };
        self.config.layout.check_codes(codes, state)?;
        let channels = self.config.layout.channels;
        let first = *state.first_frames.get_or_insert(codes.books[0].len());
        self.check_chunk(codes, state.chunks.count(), first)?;
        let samples = self.threads.run(|| self.decode_chunk(codes))?;
        Ok(common::apart(&state.chunks.push(&samples, stride, channels)?, channels))
    }

    fn finish_decoding(&self, state: &mut CodecState) -> Result<Vec<Vec<f32>>> {
        let Some([_, stride]) = self.config.chunks else {
            return in_pieces::finish_decoding(self, state);
        };
        state.end(Way::Decoding)?;
        let channels = self.config.layout.channels;
        Ok(common::apart(&state.chunks.finish(stride, channels)?, channels))
    }

    fn codebooks_for(&self, bandwidth: f64) -> Result<usize> {
        let known = &self.config.target_bandwidths;
        match known.iter().any(|known| (known - bandwidth).abs() < 1e-9) {
            true => Ok(self.config.books(bandwidth)),
            false => Err(Error::input(format!(
                "the bandwidth {bandwidth} is none of this codec's, which are {known:?}"
            ))),
        }
    }
}

impl InPieces for Encodec {
    fn dtype(&self) -> DType {
        self.dtype
    }

    fn frames(&self, books: &[Vec<u32>]) -> Result<Tensor> {
        Ok(self.quantizer.decode(books)?.to_dtype(self.dtype)?)
    }

    fn encoded(
        &self,
        x: Option<Tensor>,
        is_last: bool,
        state: &mut CodecState,
    ) -> Result<Vec<Vec<u32>>> {
        state.slots.rewind();
        let (books, slots) = (state.books, &mut state.slots);
        self.threads.run(|| match self.encoder.forward_piece(x, is_last, slots)? {
            None => Ok(vec![Vec::new(); books]),
            Some(frames) => self.quantizer.encode(&frames, books),
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
            let samples = self.decoder.forward_piece(x, is_last, slots)?;
            common::channels_of(samples.as_ref(), self.config.layout.channels)
        })
    }
}

impl Model for Encodec {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

/// No codec has more codebooks.
const MOST_BOOKS: usize = 1 << 10;
