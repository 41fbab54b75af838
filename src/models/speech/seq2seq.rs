//! Encoder-decoders that hear.

use candle_core::Tensor;

use crate::audio::AudioFeatures;
use crate::error::Result;
use crate::models::decoder::{Decoder, Purpose};
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::EncoderDecoder;
use crate::models::speech::config::SpeechSeq2SeqConfig;
use crate::models::speech::encoder::{AudioEncoder, ConvolutionalEncoder, wide};
use crate::models::speech::family::Family;
use crate::models::speech::traits::SpeechSeq2Seq;
use crate::models::threads::Threads;
use crate::models::traits::CausalLm;
use crate::nn::cache::KvCache;
use crate::options::LoadOptions;
use crate::source::ModelFiles;

/// Whisper, built from its [`SpeechSeq2SeqConfig`].
pub type WhisperForConditionalGeneration = EncoderDecoder<ConvolutionalEncoder>;

impl WhisperForConditionalGeneration {
    /// Reads a model of a known family from an opened source.
    pub(crate) fn load_speech(
        family: &Family,
        raw: &RawConfig,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<Self> {
        let SpeechSeq2SeqConfig { encoder, decoder, start_id } = family.read(raw)?;
        let weights = family.weights(files, options)?;
        let threads = Threads::new(options.threads)?;
        let (of_encoder, of_decoder) = (weights.scope("encoder"), weights.scope("decoder"));
        let purpose = Purpose::Logits;
        let words = Decoder::embedding(&decoder, &of_decoder, "embed.words", purpose)?;
        let decoder = Decoder::of(decoder, &of_decoder, words, threads.clone(), purpose)?;
        let encoder = ConvolutionalEncoder::load(encoder, &of_encoder, threads)?;
        Ok(Self::new(encoder, decoder, start_id, weights.inventory()))
    }
}

impl<E: AudioEncoder> SpeechSeq2Seq for EncoderDecoder<E> {
    fn hidden_states(&self, rows: &[&AudioFeatures]) -> Result<Vec<Tensor>> {
        wide(self.audio_encoder().encode(rows)?)
    }

    fn encode(&self, rows: &[&AudioFeatures]) -> Result<KvCache> {
        let states = self.audio_encoder().encode(rows)?;
        // Frames have no ids.
        let ids = states.iter().map(|states| Ok(vec![0; states.dim(0)?]));
        let ids = ids.collect::<Result<Vec<Vec<u32>>>>()?;
        let ids: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        self.decoder().attend_to(&ids, &Tensor::cat(&states, 0)?)
    }

    fn new_cache(&self) -> KvCache {
        self.decoder().new_cache()
    }

    fn start_id(&self) -> Option<u32> {
        self.first_id()
    }
}
