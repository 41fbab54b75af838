//! What the families have in common.

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::encoder::config::{
    EmbeddingsConfig, EncoderConfig, HeadPooling, HeadsConfig, MaskedOutput, Projection,
    TransformConfig,
};
use crate::models::raw_config::RawConfig;
use crate::models::seq2seq::config::{Seq2SeqConfig, Words};
use crate::models::seq2seq::family::token_id;
use crate::nn::activation::Activation;
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
    let transform = TransformConfig {
        size: hidden_size,
        activation: Activation::Tanh,
        norm: None,
        bias: Bias::Present,
    };
    Ok(Seq2SeqConfig {
        encoder: EncoderConfig {
            vocab_size,
            hidden_size,
            max_positions: ENDLESS,
            embeddings: EmbeddingsConfig {
                size: hidden_size,
                positions: AbsolutePositions::None,
                scale: None,
                token_types: 0,
                projection: Projection::None,
                norm: None,
            },
            layer_names: (0..encoder.len()).map(|number| number.to_string()).collect(),
            layers: encoder,
            ropes: Vec::new(),
            spans: vec![AttentionSpan::Bidirectional { window: None }],
            convolution: None,
            final_norm: None,
            // Nothing is put on it.
            heads: HeadsConfig {
                pooling: HeadPooling::First,
                sequence: transform.clone(),
                token: None,
                masked: transform,
                masked_output: MaskedOutput::TiedToEmbedding,
                masked_bias: Bias::Absent,
            },
        },
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
