//! Pegasus (<https://arxiv.org/abs/1912.08777>): BART, except that layers norm before each half, that
//! positions are sinusoidal, and that embeddings are not normed.

use crate::models::seq2seq::families::bart;
use crate::models::seq2seq::family::Family;
use crate::nn::positions::AbsolutePositions;

pub(super) const FAMILY: Family = Family {
    model_types: &["pegasus"],
    defaults: &[
        ("vocab_size", 50_265),
        ("max_position_embeddings", 1024),
        ("d_model", 1024),
        ("encoder_layers", 12),
        ("encoder_ffn_dim", 4096),
        ("encoder_attention_heads", 16),
        ("decoder_layers", 12),
        ("decoder_ffn_dim", 4096),
        ("decoder_attention_heads", 16),
        ("pad_token_id", 0),
        ("eos_token_id", 1),
        ("decoder_start_token_id", 0),
        ("forced_eos_token_id", 1),
    ],
    config: |raw| {
        let mut config = bart::config(raw)?;
        bart::norm_before(&mut config);
        bart::without_embedding_norms(&mut config);
        let rows = config.decoder.max_positions;
        bart::set_positions(&mut config, AbsolutePositions::Sinusoidal { rows }, rows);
        Ok(config)
    },
    ..bart::FAMILY
};
