//! An encoder-decoder as data.

use serde::Serialize;

use crate::models::decoder::DecoderConfig;
use crate::models::encoder::EncoderConfig;

/// A whole encoder-decoder, except its weights. Families make it from config.json or from GGUF metadata.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Seq2SeqConfig {
    /// The half that reads.
    pub encoder: EncoderConfig,
    /// The half that writes; its layers attend to the encoder's hidden states, too.
    pub decoder: DecoderConfig,
    /// Whose vectors the two halves give to words.
    pub words: Words,
    /// The first token of the decoder.
    pub start_id: Option<u32>,
}

/// Whose vectors the two halves give to words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Words {
    /// Each half has a table of its own: Marian with two vocabularies.
    Own,
    /// One table serves both: most families.
    Shared,
}
