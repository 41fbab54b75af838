//! One configurable encoder-decoder for all families that turn a text into another.

pub mod config;

pub(crate) mod families;

mod family;
mod heads;
pub(in crate::models) mod names;
mod traits;

use std::fmt;

use candle_core::{Device, Tensor};

pub use config::Seq2SeqConfig;
pub(crate) use family::{EncoderAlone, Family, Gguf};
pub(crate) use heads::{Seq2SeqClassifier, Seq2SeqSpans};
pub use traits::Seq2SeqLm;

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::decoder::{Decoder, Purpose};
use crate::models::encoder::TextEncoder;
use crate::models::heads::Encoder;
use crate::models::memory::Memory;
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::{
    Autoregressive, CausalLm, Checkpoint, Depth, EncoderTrace, LogitsAt, Model, ModelLimits,
    TextModel, Trace, TraceRequest,
};
use crate::nn::cache::KvCache;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::{Inventory, Weights};
use config::Words;

/// An encoder-decoder: a half that reads, or hears, and a decoder that attends to what it has found.
#[derive(Debug)]
pub struct EncoderDecoder<E = TextEncoder> {
    encoder: E,
    decoder: Decoder,
    start_id: Option<u32>,
    inventory: Inventory,
}

#[cfg(feature = "audio")]
impl<E> EncoderDecoder<E> {
    /// Of two halves that have been read from one checkpoint.
    pub(in crate::models) fn new(
        encoder: E,
        decoder: Decoder,
        start_id: Option<u32>,
        inventory: Inventory,
    ) -> Self {
        Self { encoder, decoder, start_id, inventory }
    }

    /// The half that hears.
    pub(in crate::models) fn audio_encoder(&self) -> &E {
        &self.encoder
    }

    /// The half that writes.
    pub(in crate::models) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The first token of the decoder.
    pub(in crate::models) fn first_id(&self) -> Option<u32> {
        self.start_id
    }
}

impl EncoderDecoder {
    /// Reads a model of a known family from an opened source, and returns the weights, too, from
    /// which heads may be read.
    pub(crate) fn load(
        family: &Family,
        raw: &RawConfig,
        files: &ModelFiles,
        options: &LoadOptions,
        purpose: Purpose,
    ) -> Result<(Self, Weights)> {
        let config = family.read_of(raw, files)?;
        let weights = family.weights(files, options)?;
        let threads = Threads::new(options.threads)?;
        let Seq2SeqConfig { encoder, decoder, words, start_id } = config;
        let (of_encoder, of_decoder) = (weights.scope("encoder"), weights.scope("decoder"));
        if !of_decoder.contains("layers.0.attn.q") && of_encoder.contains("layers.0.attn.q") {
            return Err(Error::unsupported(format!(
                "{}: the checkpoint holds an encoder alone: open it as `dyn Encoder`, for \
                 feature-extraction or sentence-similarity",
                raw.origin().display()
            )));
        }
        let [read, written] = match words {
            Words::Own => {
                let (vocab, hidden) = (encoder.vocab_size, encoder.hidden_size);
                [
                    of_encoder.embedding("embed.words", vocab, hidden)?,
                    Decoder::embedding(&decoder, &of_decoder, "embed.words", purpose)?,
                ]
            }
            Words::Shared => {
                let table = Decoder::embedding(&decoder, &weights, "words", purpose)?;
                [table.clone(), table]
            }
        };
        let decoder = Decoder::of(decoder, &of_decoder, written, threads.clone(), purpose)?;
        let encoder = TextEncoder::of(encoder, &of_encoder, read, threads)?;
        let inventory = weights.inventory();
        Ok((Self { encoder, decoder, start_id, inventory }, weights))
    }

    /// The width of a hidden state.
    fn hidden_size(&self) -> usize {
        self.decoder.config().hidden_size
    }

    /// The decoder's hidden states, `(packed tokens, hidden)`, of rows that it reads from their beginning.
    fn states(&self, sources: &TokenBatch, rows: &TokenBatch) -> Result<Tensor> {
        let mut cache = self.encode(sources)?;
        Ok(self.decoder.states(rows, &mut cache)?.1)
    }

    /// Reads the encoder alone: `T5EncoderModel` of transformers; and the weights, as [`load`](Self::load) does.
    pub(crate) fn load_encoder(
        family: &Family,
        raw: &RawConfig,
        files: &ModelFiles,
        options: &LoadOptions,
    ) -> Result<(TextEncoder, Weights)> {
        let config = family.read_of(raw, files)?;
        let weights = family.weights(files, options)?;
        Ok((Self::encoder_of(config, &weights, Threads::new(options.threads)?)?, weights))
    }

    /// The encoder alone, from a view of a checkpoint.
    pub(in crate::models) fn encoder_of(
        config: Seq2SeqConfig,
        weights: &Weights,
        threads: Threads,
    ) -> Result<TextEncoder> {
        let Seq2SeqConfig { encoder, words, .. } = config;
        let scope = weights.scope("encoder");
        let words = match words {
            Words::Own => {
                scope.embedding("embed.words", encoder.vocab_size, encoder.hidden_size)?
            }
            Words::Shared => weights.embedding("words", encoder.vocab_size, encoder.hidden_size)?,
        };
        TextEncoder::of(encoder, &scope, words, threads)
    }
}

impl<E: fmt::Debug + Send + Sync> Model for EncoderDecoder<E> {
    fn device(&self) -> &Device {
        self.decoder.device()
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    fn memory(&self) -> Memory {
        Memory::new(&self.inventory, self.cache_bytes_per_token())
    }
}

/// The decoder's limits.
impl<E: fmt::Debug + Send + Sync> TextModel for EncoderDecoder<E> {
    fn limits(&self) -> ModelLimits {
        self.decoder.limits()
    }

    fn cache_bytes_per_token(&self) -> usize {
        self.decoder.cache_bytes_per_token()
    }
}

impl Seq2SeqLm for EncoderDecoder {
    fn encoder(&self) -> &dyn Encoder {
        &self.encoder
    }

    fn encode(&self, sources: &TokenBatch) -> Result<KvCache> {
        let (sources, hidden) = self.encoder.packed(sources)?;
        self.decoder.attend_to(&sources.row_ids(), &hidden)
    }

    fn encode_traced(
        &self,
        sources: &TokenBatch,
        attentions: bool,
    ) -> Result<(KvCache, Vec<EncoderTrace>)> {
        let (sources, hidden, traces) = self.encoder.traced(sources, attentions)?;
        Ok((self.decoder.attend_to(&sources.row_ids(), &hidden)?, traces))
    }

    fn new_cache(&self) -> KvCache {
        self.decoder.new_cache()
    }

    fn start_id(&self) -> Option<u32> {
        self.start_id
    }
}

impl<E: fmt::Debug + Send + Sync> Autoregressive for EncoderDecoder<E> {
    fn forward(&self, batch: &TokenBatch, cache: &mut KvCache, at: LogitsAt) -> Result<Tensor> {
        self.decoder.forward(batch, cache, at)
    }

    fn forward_with(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        at: LogitsAt,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Tensor> {
        self.decoder.forward_with(batch, cache, at, checkpoint)
    }

    fn reusable(&self, cache: &KvCache, common: usize, length: usize) -> usize {
        self.decoder.reusable(cache, common, length)
    }

    fn on_threads(&self, work: &mut (dyn FnMut() + Send)) {
        self.decoder.on_threads(work);
    }

    fn trace_with(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        request: &TraceRequest,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Trace> {
        self.decoder.trace_with(batch, cache, request, checkpoint)
    }

    fn depth(&self) -> Option<Depth> {
        self.decoder.depth()
    }
}
