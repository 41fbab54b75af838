//! What the families have in common.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::encoder::config::EncoderConfig;
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::config::{Seq2SeqConfig, Words};
use crate::models::seq2seq::family::token_id;
use crate::nn::layer::LayerConfig;
use crate::nn::positions::AbsolutePositions;
use crate::nn::span::AttentionSpan;
use crate::weights::Bias;

/// The most tokens of a row where positions have no end.
pub(super) const ENDLESS: usize = 1 << 24;

/// Two stacks of layers and a table of words that they share: `vocab_size` and `hidden_size`, no absolute
/// positions, no norms but the layers', and a head that is tied unless `tie_word_embeddings` is false.
pub(super) fn stacks(
    raw: &RawConfig,
    encoder: Vec<LayerConfig>,
    decoder: Vec<LayerConfig>,
) -> Result<Seq2SeqConfig> {
    let (vocab_size, hidden_size) = (raw.size("vocab_size")?, raw.size("hidden_size")?);
    let head = match raw.flag("tie_word_embeddings", true)? {
        true => HeadWeights::TiedToEmbedding,
        false => HeadWeights::Own,
    };
    Ok(Seq2SeqConfig {
        encoder: EncoderConfig::plain(
            [vocab_size, hidden_size, ENDLESS],
            AbsolutePositions::None,
            encoder,
            AttentionSpan::Bidirectional { window: None },
            None,
        ),
        decoder: DecoderConfig {
            vocab_size,
            hidden_size,
            max_positions: ENDLESS,
            recomputed_beyond: None,
            embedding_scale: None,
            layers: decoder,
            positions: AbsolutePositions::None,
            embedding_norm: None,
            ropes: Vec::new(),
            alibis: Vec::new(),
            spans: vec![AttentionSpan::Causal { window: None }],
            final_norm: None,
            head,
            head_bias: Bias::Absent,
            logit_scale: None,
            logit_cap: None,
        },
        words: Words::Shared,
        start_id: token_id(raw, "decoder_start_token_id")?,
    })
}
