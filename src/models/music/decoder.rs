//! A decoder of frames, each of which is a code of each codebook.

use candle_core::{DType, Tensor};

use super::config::MusicDecoderConfig;
use crate::error::{Error, Result};
use crate::models::decoder::{Decoder, Purpose};
use crate::models::threads::Threads;
use crate::models::traits::{CausalLm, Model};
use crate::nn::cache::KvCache;
use crate::nn::packed::select;
use crate::weights::names::{NameTable, Rule, renamed};
use crate::weights::{Bias, Embedding, Linear, Weights};

/// A decoder of frames, each of which is a code of each codebook: a frame's vector is the sum of those of its
/// codes, and each codebook has a head of its own.
#[derive(Debug, Clone)]
pub(super) struct CodebookDecoder {
    decoder: Decoder,
    words: Embedding,
    heads: Vec<Linear>,
    codes: usize,
    threads: Threads,
}

impl CodebookDecoder {
    /// Reads `music.embed.*`, `music.heads.*`, and what a decoder reads.
    pub(super) fn load(
        config: &MusicDecoderConfig,
        weights: &Weights,
        threads: Threads,
    ) -> Result<Self> {
        let MusicDecoderConfig { ref decoder, codebooks, codes, .. } = *config;
        let scope = weights.named(NameTable { base: NAMES, own: &[] }).scope("music");
        let hidden = decoder.hidden_size;
        let table =
            |book: usize| scope.tensor(&format!("embed.{book}.weight"), &[codes + 1, hidden]);
        let tables = (0..codebooks).map(table).collect::<Result<Vec<_>>>()?;
        let words = Embedding::new(Tensor::cat(&tables, 0)?, scope.dtype())?;
        let head =
            |book: usize| scope.output_head(&format!("heads.{book}"), hidden, codes, Bias::Absent);
        Ok(Self {
            heads: (0..codebooks).map(head).collect::<Result<_>>()?,
            decoder: Decoder::of(
                decoder.clone(),
                &scope,
                words.clone(),
                threads.clone(),
                Purpose::HiddenStates,
            )?,
            words,
            codes,
            threads,
        })
    }

    /// The layers.
    pub(super) fn layers(&self) -> &Decoder {
        &self.decoder
    }

    /// A cache of rows of so many vectors, `(vectors, hidden)`, which stand before the first frame.
    pub(super) fn begin(&self, vectors: &Tensor, lengths: &[usize]) -> Result<KvCache> {
        let mut cache = self.decoder.new_cache();
        self.decoder.states_of_vectors(vectors, lengths, &mut cache)?;
        Ok(cache)
    }

    /// Appends frames to the rows of a cache, of each row those of its next frames, frame by frame: `(frames,
    /// codebooks)`. The logits of what comes after each row's last frame, `(rows, codebooks, codes)` in f32.
    pub(super) fn forward(&self, rows: &[&[u32]], cache: &mut KvCache) -> Result<Tensor> {
        let books = self.heads.len();
        if rows.iter().any(|row| row.is_empty() || !row.len().is_multiple_of(books)) {
            return Err(Error::input(format!("rows that are no frames of {books} codes")));
        }
        let lengths: Vec<usize> = rows.iter().map(|row| row.len() / books).collect();
        let mut ids = Vec::with_capacity(rows.iter().map(|row| row.len()).sum());
        for (at, &code) in rows.iter().flat_map(|row| row.iter().enumerate()) {
            if code as usize > self.codes {
                return Err(Error::input(format!("code {code} of codebooks of {}", self.codes)));
            }
            ids.push((at % books * (self.codes + 1)) as u32 + code);
        }
        let device = self.decoder.device();
        let frames = ids.len() / books;
        let vectors = self.words.forward(&Tensor::from_vec(ids, (frames, books), device)?)?;
        let states = self.decoder.states_of_vectors(&vectors.sum(1)?, &lengths, cache)?;
        let mut end = 0;
        let lasts = lengths.iter().map(|length| {
            end += length;
            end as u32 - 1
        });
        let lasts = select(&states, &lasts.collect::<Vec<_>>())?;
        let logits =
            || self.heads.iter().map(|head| head.forward(&lasts)).collect::<Result<Vec<_>>>();
        let logits = self.threads.run(logits)?;
        Ok(Tensor::stack(&logits, 1)?.to_dtype(DType::F32)?)
    }
}

/// Below `music`.
const NAMES: &[Rule] = &[
    renamed("music.embed.*", "decoder.model.decoder.embed_tokens.*"),
    renamed("music.heads.*", "decoder.lm_heads.*"),
    renamed("music.final_norm", "decoder.model.decoder.layer_norm"),
    renamed("music.layers.*.attn.q", "decoder.model.decoder.layers.*.self_attn.q_proj"),
    renamed("music.layers.*.attn.k", "decoder.model.decoder.layers.*.self_attn.k_proj"),
    renamed("music.layers.*.attn.v", "decoder.model.decoder.layers.*.self_attn.v_proj"),
    renamed("music.layers.*.attn.o", "decoder.model.decoder.layers.*.self_attn.out_proj"),
    renamed("music.layers.*.attn_norm", "decoder.model.decoder.layers.*.self_attn_layer_norm"),
    renamed("music.layers.*.cross.q", "decoder.model.decoder.layers.*.encoder_attn.q_proj"),
    renamed("music.layers.*.cross.k", "decoder.model.decoder.layers.*.encoder_attn.k_proj"),
    renamed("music.layers.*.cross.v", "decoder.model.decoder.layers.*.encoder_attn.v_proj"),
    renamed("music.layers.*.cross.o", "decoder.model.decoder.layers.*.encoder_attn.out_proj"),
    renamed("music.layers.*.cross_norm", "decoder.model.decoder.layers.*.encoder_attn_layer_norm"),
    renamed("music.layers.*.mlp.act", "decoder.model.decoder.layers.*.activation_fn"),
    renamed("music.layers.*.mlp.up", "decoder.model.decoder.layers.*.fc1"),
    renamed("music.layers.*.mlp.down", "decoder.model.decoder.layers.*.fc2"),
    renamed("music.layers.*.mlp_norm", "decoder.model.decoder.layers.*.final_layer_norm"),
];
