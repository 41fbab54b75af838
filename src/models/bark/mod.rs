//! Bark: text to speech, music and noises, by way of three GPTs and a codec.

mod config;
mod fine;

use std::sync::Arc;

use candle_core::{Device, Tensor};

pub use config::BarkFineConfig;

use crate::error::{Error, Result};
use crate::models::codecs::{self, Codec};
use crate::models::decoder::{Decoder, DecoderConfig, Purpose};
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::models::traits::{CausalLm, Model};
use crate::nn::cache::KvCache;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::names::{NameTable, Rule, fused, renamed};
use crate::weights::{Inventory, Weights};
use config::Sees;
use fine::BarkFine;

/// Bark (<https://github.com/suno-ai/bark>): a GPT that writes what is said as semantic tokens, one that writes the
/// first codebooks of a codec, a third that fills in the other codebooks, and the codec (EnCodec). `BarkModel` of
/// transformers.
///
/// [`sound::speak`](crate::sound::speak) generates with it.
#[derive(Debug)]
pub struct Bark {
    semantic: Arc<Decoder>,
    coarse: Arc<Decoder>,
    fine: BarkFine,
    fine_config: BarkFineConfig,
    codec: Arc<dyn Codec>,
    inventory: Inventory,
    device: Device,
}

impl Bark {
    /// Reads a model from an opened source.
    pub(crate) fn load(raw: &RawConfig, files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let section = |name: &str| raw.section(name)?.ok_or_else(|| raw.missing(name));
        let weights = Weights::open(files, NameTable { base: NAMES, own: &[] }, options)?;
        let threads = Threads::new(options.threads)?;
        let causal = |config: &str, scope: &str| -> Result<Arc<Decoder>> {
            let config = config::part(&section(config)?, Sees::Past)?;
            let weights = weights.scope(scope);
            let words = Decoder::embedding(&config, &weights, "embed", Purpose::Logits)?;
            let threads = threads.clone();
            Ok(Arc::new(Decoder::of(config, &weights, words, threads, Purpose::Logits)?))
        };
        let semantic = causal("semantic_config", "semantic")?;
        let coarse = causal("coarse_acoustics_config", "coarse")?;
        let fine_config = config::fine(&section("fine_acoustics_config")?)?;
        let fine = BarkFine::load(&fine_config, &weights.scope("fine"), threads.clone())?;
        let codec = section("codec_config")?.with_default("model_type", "encodec");
        let of_codec = weights.named(NameTable::stored_names()).inside_multimodal("codec_model");
        let codec = codecs::of_weights(&codec, &of_codec, threads)?;
        let (inventory, device) = (weights.inventory(), weights.device().clone());
        Ok(Self { semantic, coarse, fine, fine_config, codec, inventory, device })
    }

    /// Writes what is said: the vocabulary of texts goes in, that of meanings comes out.
    #[must_use]
    pub fn semantic(&self) -> &Arc<Decoder> {
        &self.semantic
    }

    /// Writes the codes of the first codebooks, by turns.
    #[must_use]
    pub fn coarse(&self) -> &Arc<Decoder> {
        &self.coarse
    }

    /// The parts of the third model.
    #[must_use]
    pub fn fine_config(&self) -> &BarkFineConfig {
        &self.fine_config
    }

    /// The codec that codes are of.
    #[must_use]
    pub fn codec(&self) -> &Arc<dyn Codec> {
        &self.codec
    }

    /// A cache of the semantic model with one row, which holds a text, token by token together with what was said
    /// before. Both are padded to the same length.
    ///
    /// # Errors
    ///
    /// When the lengths differ, or an id is outside the vocabulary.
    pub fn read_text(&self, text: &[u32], before: &[u32]) -> Result<KvCache> {
        if text.len() != before.len() || text.is_empty() {
            let [text, before] = [text.len(), before.len()];
            return Err(Error::input(format!("{text} tokens of text beside {before} before")));
        }
        let vectors = |ids: &[u32]| {
            let ids = Tensor::new(ids, &self.device)?;
            self.semantic.words().forward(&ids)
        };
        let sum = (vectors(text)? + vectors(before)?)?;
        let mut cache = self.semantic.new_cache();
        self.semantic.states_of_vectors(&sum, &[text.len()], &mut cache)?;
        Ok(cache)
    }

    /// The logits of a codebook for each frame, `(frames, logits)` in f32. `books` are the codes of each codebook,
    /// of which those after this one are not read. A frame sees all others.
    ///
    /// # Errors
    ///
    /// When the codebook is one of the first, which are given, or none of the model's; when there are no frames or
    /// more than the model can see, or a code is too large.
    pub fn fine_logits(&self, books: &[Vec<u32>], book: usize) -> Result<Tensor> {
        self.fine.forward(books, book)
    }

    /// The sizes of the semantic model.
    #[must_use]
    pub fn semantic_config(&self) -> &DecoderConfig {
        self.semantic.config()
    }

    /// The sizes of the model of coarse acoustics.
    #[must_use]
    pub fn coarse_config(&self) -> &DecoderConfig {
        self.coarse.config()
    }
}

impl Model for Bark {
    fn device(&self) -> &Device {
        &self.device
    }

    fn inventory(&self) -> &Inventory {
        &self.inventory
    }
}

/// What the tensors of a part are called.
macro_rules! names {
    ($($ours:literal = $theirs:literal),+) => {
        &[$(
            renamed(concat!($ours, ".embed"), concat!($theirs, ".input_embeds_layer")),
            renamed(concat!($ours, ".books.*"), concat!($theirs, ".input_embeds_layers.*")),
            renamed(concat!($ours, ".head"), concat!($theirs, ".lm_head")),
            renamed(concat!($ours, ".heads.*"), concat!($theirs, ".lm_heads.*")),
            renamed(concat!($ours, ".positions"), concat!($theirs, ".position_embeds_layer")),
            renamed(concat!($ours, ".final_norm"), concat!($theirs, ".layernorm_final")),
            renamed(concat!($ours, ".layers.*.attn_norm"), concat!($theirs, ".layers.*.layernorm_1")),
            fused(concat!($ours, ".layers.*.attn.qkv"), concat!($theirs, ".layers.*.attn.att_proj")),
            renamed(concat!($ours, ".layers.*.attn.o"), concat!($theirs, ".layers.*.attn.out_proj")),
            renamed(concat!($ours, ".layers.*.mlp_norm"), concat!($theirs, ".layers.*.layernorm_2")),
            renamed(concat!($ours, ".layers.*.mlp.up"), concat!($theirs, ".layers.*.mlp.in_proj")),
            renamed(concat!($ours, ".layers.*.mlp.down"), concat!($theirs, ".layers.*.mlp.out_proj")),
        )+]
    };
}

const NAMES: &[Rule] =
    names!("semantic" = "semantic", "coarse" = "coarse_acoustics", "fine" = "fine_acoustics");
