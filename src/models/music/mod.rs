//! MusicGen: text to music, by way of a codec's codes.

mod config;
mod decoder;
mod melody;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

pub use config::MusicDecoderConfig;

use crate::audio::AudioFeatures;
use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::codecs::{self, Codec};
use crate::models::encoder::TextEncoder;
use crate::models::heads::Encoder;
use crate::models::memory::Memory;
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::{EncoderDecoder, families};
use crate::models::threads::Threads;
use crate::models::traits::{Model, ModelLimits, TextModel};
use crate::nn::cache::KvCache;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::names::{NameTable, Rule, renamed};
use crate::weights::{Bias, Inventory, Linear, Weights};
use config::Described;
use decoder::CodebookDecoder;
use melody::{MOST_TEXT, Melody, MelodyConfig};

/// MusicGen (<https://arxiv.org/abs/2306.05284>): an encoder of text (T5), a decoder that writes a codec's codes
/// and attends to the text, and the codec (EnCodec). `MusicgenForConditionalGeneration` of transformers.
///
/// The model with melodies (`MusicgenMelodyForConditionalGeneration`) has no source: its decoder goes on from a melody
/// and the text.
///
/// [`sound::compose`](crate::sound::compose) generates with it.
#[derive(Debug)]
pub struct MusicGen {
    text: TextEncoder,
    /// From the text's hidden states to the decoder's.
    projection: Option<Linear>,
    decoder: CodebookDecoder,
    codec: Arc<dyn Codec>,
    config: MusicDecoderConfig,
    melody: Option<Melody>,
    inventory: Inventory,
    device: Device,
    /// Of activations.
    dtype: DType,
}

impl MusicGen {
    /// Reads a model from an opened source.
    pub(crate) fn load(raw: &RawConfig, files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let section = |name: &str| raw.section(name)?.ok_or_else(|| raw.missing(name));
        let (text, audio, decoder) =
            (section("text_encoder")?, section("audio_encoder")?, section("decoder")?);
        let name = text.model_type()?;
        let family = families::FAMILIES.iter().find(|family| family.model_types.contains(&name));
        let family = family.ok_or_else(|| {
            text.refuse("model_type", "encoders of texts other than T5 are not supported")
        })?;
        let melody = match raw.model_type()? {
            MELODY => Some(MelodyConfig::read(raw)?),
            _ => None,
        };
        let described = match melody {
            None => Described::ByASource,
            Some(melody) => Described::Before { vectors: melody.vectors() },
        };
        let (of_decoder, config) = (&decoder, config::decoder(&decoder, described)?);
        let weights = Weights::open(files, NameTable { base: NAMES, own: &[] }, options)?;
        let threads = Threads::new(options.threads)?;
        let of_text = weights.named(NameTable { base: family.base_names, own: family.names });
        let of_text = of_text.inside_multimodal("text_encoder");
        let text = EncoderDecoder::encoder_of(family.read(&text)?, &of_text, threads.clone())?;
        let (wide, hidden) = (text.hidden_size(), config.decoder.hidden_size);
        let is_projected = decoder.optional_size("cross_attention_hidden_size")?.is_none();
        let projection = match wide == hidden {
            true => None,
            false if is_projected => {
                Some(weights.linear("projection", wide, hidden, Bias::Present)?)
            }
            false => {
                let reason = format!("it should be missing, or {hidden} as the decoder's width");
                return Err(decoder.refuse("cross_attention_hidden_size", reason));
            }
        };
        let melody = melody.map(|melody| melody.load(&weights, hidden)).transpose()?;
        let layers = CodebookDecoder::load(&config, &weights, threads.clone())?;
        let of_codec = weights.named(NameTable::stored_names()).inside_multimodal("audio_encoder");
        let codec = codecs::of_weights(&audio, &of_codec, threads)?;
        let (own, books) = (codec.layout(), config.codebooks / config.channels);
        if own.channels != 1 || own.codebook_size < config.codes || own.codebooks < books {
            return Err(of_decoder.refuse("num_codebooks", "the codec has other codebooks"));
        }
        Ok(Self {
            text,
            projection,
            decoder: layers,
            codec,
            config,
            melody,
            inventory: weights.inventory(),
            device: weights.device().clone(),
            dtype: weights.dtype(),
        })
    }

    /// The parts of the decoder.
    #[must_use]
    pub fn config(&self) -> &MusicDecoderConfig {
        &self.config
    }

    /// The codec that codes are of.
    #[must_use]
    pub fn codec(&self) -> &Arc<dyn Codec> {
        &self.codec
    }

    /// The encoder of texts.
    #[must_use]
    pub fn text_encoder(&self) -> &dyn Encoder {
        &self.text
    }

    /// Reads texts and returns a cache with a row for each, without frames. Behind these rows are as many more
    /// where `guided`, which attend to nothing: the same music without a text.
    ///
    /// # Errors
    ///
    /// When an id is outside the vocabulary, or a text is empty or too long.
    pub fn describe(&self, texts: &TokenBatch, guided: bool) -> Result<KvCache> {
        if self.melody.is_some() {
            return self.describe_melodies(texts, &vec![None; texts.rows()], guided);
        }
        let (packed, hidden) = self.text.packed(texts)?;
        let hidden = match &self.projection {
            Some(projection) => projection.forward(&hidden)?,
            None => hidden,
        };
        let mut rows = packed.row_ids();
        if rows.iter().any(|row| row.is_empty()) {
            return Err(Error::input("a text without tokens"));
        }
        let nothing = if guided { rows.len() } else { 0 };
        rows.extend(vec![[0_u32].as_slice(); nothing]);
        self.attend(&rows, &hidden, nothing)
    }

    /// Whether music follows melodies.
    #[must_use]
    pub fn hears_melodies(&self) -> bool {
        self.melody.is_some()
    }

    /// As [`describe`](Self::describe), with melodies: what
    /// [`ChromaFeatureExtractor`](crate::audio::ChromaFeatureExtractor) hears. A melody is repeated, or cut, to the
    /// length that the model knows.
    ///
    /// # Errors
    ///
    /// As there; for a melody with other pitches than the model's, and for a model that hears none.
    pub fn describe_melodies(
        &self,
        texts: &TokenBatch,
        melodies: &[Option<&AudioFeatures>],
        guided: bool,
    ) -> Result<KvCache> {
        let Some(melody) = &self.melody else {
            return Err(Error::input(
                "this MusicGen hears no melodies: choose facebook/musicgen-melody",
            ));
        };
        if melodies.len() != texts.rows() {
            let (found, rows) = (melodies.len(), texts.rows());
            return Err(Error::input(format!("{found} melodies for {rows} texts")));
        }
        let (packed, hidden) = self.text.packed(texts)?;
        let hidden = match &self.projection {
            Some(projection) => projection.forward(&hidden)?,
            None => hidden,
        };
        let (mut vectors, mut lengths, mut at) = (Vec::new(), Vec::new(), 0);
        let rows = packed.row_ids();
        for (row, features) in rows.iter().zip(melodies) {
            if row.is_empty() || row.len() > MOST_TEXT {
                let found = row.len();
                return Err(Error::input(format!(
                    "a text of {found} tokens, of at most {MOST_TEXT}"
                )));
            }
            vectors.push(melody.vectors(*features, &hidden)?);
            vectors.push(hidden.narrow(0, at, row.len())?);
            lengths.push(melody.config.frames + row.len());
            at += row.len();
        }
        if guided {
            for row in &rows {
                vectors.push(melody.vectors(None, &hidden)?);
                vectors.push(hidden.narrow(0, 0, row.len())?.zeros_like()?);
                lengths.push(melody.config.frames + row.len());
            }
        }
        self.decoder.begin(&Tensor::cat(&vectors, 0)?, &lengths)
    }

    /// As [`describe`](Self::describe), without a text: so many rows that attend to nothing.
    ///
    /// # Errors
    ///
    /// When the device fails.
    pub fn describe_nothing(&self, rows: usize) -> Result<KvCache> {
        if self.melody.is_some() {
            return Err(Error::input("MusicGen Melody wants a text"));
        }
        let hidden = self.config.decoder.hidden_size;
        let none = Tensor::zeros((0, hidden), self.dtype, &self.device)?;
        self.attend(&vec![[0_u32].as_slice(); rows], &none, rows)
    }

    /// A cache of rows, the last of which attend to `nothing`: to a vector of zeros, whose value is zeros, as
    /// nothing has a bias.
    fn attend(&self, rows: &[&[u32]], hidden: &Tensor, nothing: usize) -> Result<KvCache> {
        let zeros = (nothing, self.config.decoder.hidden_size);
        let zeros = Tensor::zeros(zeros, hidden.dtype(), &self.device)?;
        let hidden = match (nothing, hidden.dim(0)?) {
            (0, _) => hidden.clone(),
            (_, 0) => zeros,
            _ => Tensor::cat(&[hidden, &zeros], 0)?,
        };
        self.decoder.layers().attend_to(rows, &hidden)
    }

    /// Appends frames to the rows of a cache: for each row its next frames, a code of each codebook after the
    /// other, `(frames, codebooks)`. Returns the logits of the frame after each row's last, `(rows, codebooks,
    /// codes)` in f32.
    ///
    /// # Errors
    ///
    /// When the rows differ in number from the cache's, a row has no frames, a code is too large, or there are more
    /// frames than positions. The cache is then as it was before.
    pub fn forward(&self, rows: &[&[u32]], cache: &mut KvCache) -> Result<Tensor> {
        self.decoder.forward(rows, cache)
    }
}

impl Model for MusicGen {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn memory(&self) -> Memory {
        Memory::new(&self.inventory, self.cache_bytes_per_token())
    }
}

/// The decoder's limits, of which tokens are frames.
impl TextModel for MusicGen {
    fn limits(&self) -> ModelLimits {
        ModelLimits::new(self.config.codes, self.config.frames)
    }

    fn cache_bytes_per_token(&self) -> usize {
        self.decoder.layers().cache_bytes_per_token()
    }
}

/// By `model_type` of config.json, the model with melodies.
pub(super) const MELODY: &str = "musicgen_melody";
const NAMES: &[Rule] = &[
    renamed("projection", "enc_to_dec_proj"),
    renamed("melody_projection", "audio_enc_to_dec_proj"),
];
