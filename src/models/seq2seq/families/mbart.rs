//! mBART and mBART-50 (<https://arxiv.org/abs/2001.08210>): BART, except that layers norm before each half,
//! and that the caller chooses the decoder's first token.

use crate::models::seq2seq::families::bart;
use crate::models::seq2seq::family::{Family, FirstToken};

pub(super) const FAMILY: Family = Family {
    model_types: &["mbart"],
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
        ("bos_token_id", 0),
        ("pad_token_id", 1),
        ("eos_token_id", 2),
        ("forced_eos_token_id", 2),
    ],
    config: |raw| {
        let mut config = bart::config(raw)?;
        bart::norm_before(&mut config);
        Ok(config)
    },
    first_token: FirstToken::LastOfText,
    ..bart::FAMILY
};
