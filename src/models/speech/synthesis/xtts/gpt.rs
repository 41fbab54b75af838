//! The GPT of XTTS: a voice and a text to codes, and the vectors behind the codes.

use candle_core::{DType, Device, Tensor};

use super::config::XttsConfig;
use crate::error::{Error, Result};
use crate::models::decoder::{Decoder, Purpose};
use crate::models::threads::Threads;
use crate::models::traits::CausalLm;
use crate::nn::cache::KvCache;
use crate::nn::norm::{Norm, NormConfig};
use crate::weights::names::{Rule, fused, grouped, renamed};
use crate::weights::{Bias, Embedding, Linear, Weights};

/// The GPT of XTTS: `GPT` of Coqui. Words and codes have tables and positions of their own, and a second norm
/// follows GPT-2's last.
#[derive(Debug)]
pub(super) struct Gpt {
    layers: Decoder,
    words: Embedding,
    codes: Embedding,
    word_positions: Embedding,
    code_positions: Embedding,
    /// What a text begins and ends with.
    ends: [u32; 2],
    norm: Norm,
    head: Linear,
    device: Device,
    threads: Threads,
}

/// What the GPT says after a code.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct XttsStep {
    /// What the decoder makes sound of, `(1, hidden)`: of the code that comes next.
    pub latent: Tensor,
    /// The logits of the code that comes next.
    pub logits: Vec<f32>,
}

impl Gpt {
    pub(super) fn load(
        config: &XttsConfig,
        weights: &Weights,
        ends: [u32; 2],
        threads: Threads,
    ) -> Result<Self> {
        let gpt = &config.gpt;
        let (hidden, codes) = (gpt.hidden_size, gpt.vocab_size);
        let words = weights.shape("words.weight").and_then(|shape| shape.first().copied());
        let words = words.ok_or_else(|| Error::unsupported("no table `gpt.text_embedding`"))?;
        if ends.iter().any(|&id| id as usize >= words) {
            let reason = format!("vocab.json has more tokens than the {words} of the model");
            return Err(Error::unsupported(reason));
        }
        let table = |name: &str, rows: usize| weights.embedding(name, rows, hidden);
        let codes_table = table("codes", codes)?;
        Ok(Self {
            layers: Decoder::of(
                gpt.clone(),
                &weights.scope("gpt"),
                codes_table.clone(),
                threads.clone(),
                Purpose::HiddenStates,
            )?,
            words: table("words", words)?,
            codes: codes_table,
            word_positions: table("word_positions", config.max_text_tokens + 2)?,
            code_positions: table("code_positions", config.max_codes + 6)?,
            ends,
            norm: Norm::load(weights, "norm", hidden, NormConfig::Layer { eps: 1e-5 })?,
            head: weights.output_head("head", hidden, codes, Bias::Present)?,
            device: weights.device().clone(),
            threads,
        })
    }

    /// Ids of texts are below this.
    pub(super) fn vocab(&self) -> usize {
        self.words.vocab()
    }

    pub(super) fn layers(&self) -> &Decoder {
        &self.layers
    }

    /// A voice, a text and the code before the first, in a cache of their own.
    pub(super) fn begin(
        &self,
        voice: &Tensor,
        ids: &[u32],
        start: u32,
    ) -> Result<(KvCache, XttsStep)> {
        let [first, last] = self.ends;
        let text: Vec<u32> =
            std::iter::once(first).chain(ids.iter().copied()).chain([last]).collect();
        let places: Vec<u32> = (0..text.len() as u32).collect();
        let lookup =
            |table: &Embedding, ids: &[u32]| table.forward(&Tensor::new(ids, &self.device)?);
        let text = (lookup(&self.words, &text)? + lookup(&self.word_positions, &places)?)?;
        let vectors =
            Tensor::cat(&[&voice.to_dtype(text.dtype())?, &text, &self.code(start, 0)?], 0)?;
        let mut cache = self.layers.new_cache();
        let step = self.forward(&vectors, &mut cache)?;
        Ok((cache, step))
    }

    /// After a code, the first of which has the place 1.
    pub(super) fn step(&self, code: u32, place: usize, cache: &mut KvCache) -> Result<XttsStep> {
        self.forward(&self.code(code, place)?, cache)
    }

    fn code(&self, code: u32, place: usize) -> Result<Tensor> {
        let lookup = |table: &Embedding, id: u32| table.forward(&Tensor::new(&[id], &self.device)?);
        Ok((lookup(&self.codes, code)? + lookup(&self.code_positions, place as u32)?)?)
    }

    fn forward(&self, vectors: &Tensor, cache: &mut KvCache) -> Result<XttsStep> {
        let tokens = vectors.dim(0)?;
        let states = self.layers.states_of_vectors(vectors, &[tokens], cache)?;
        let last = states.narrow(0, tokens - 1, 1)?.contiguous()?;
        self.threads.run(|| {
            let latent = self.norm.forward(&last)?;
            let logits = self.head.forward(&latent)?.to_dtype(DType::F32)?;
            Ok(XttsStep { latent, logits: logits.flatten_all()?.to_vec1()? })
        })
    }
}

/// What the tensors of the GPT and of the encoder of styles are called.
pub(super) const NAMES: &[Rule] = &[
    renamed("words", "model.gpt.text_embedding"),
    renamed("codes", "model.gpt.mel_embedding"),
    renamed("word_positions", "model.gpt.text_pos_embedding.emb"),
    renamed("code_positions", "model.gpt.mel_pos_embedding.emb"),
    renamed("norm", "model.gpt.final_norm"),
    renamed("head", "model.gpt.mel_head"),
    renamed("gpt.final_norm", "model.gpt.gpt.ln_f"),
    renamed("gpt.layers.*.attn_norm", "model.gpt.gpt.h.*.ln_1"),
    fused("gpt.layers.*.attn.qkv", "model.gpt.gpt.h.*.attn.c_attn").transposed(),
    renamed("gpt.layers.*.attn.o", "model.gpt.gpt.h.*.attn.c_proj").transposed(),
    renamed("gpt.layers.*.mlp_norm", "model.gpt.gpt.h.*.ln_2"),
    renamed("gpt.layers.*.mlp.up", "model.gpt.gpt.h.*.mlp.c_fc").transposed(),
    renamed("gpt.layers.*.mlp.down", "model.gpt.gpt.h.*.mlp.c_proj").transposed(),
    // Each head has its query, its key and its value together.
    grouped("style.layers.*.attn.qkv", "model.gpt.conditioning_encoder.attn.*.qkv"),
    renamed("style.layers.*.attn.o", "model.gpt.conditioning_encoder.attn.*.proj_out"),
];
