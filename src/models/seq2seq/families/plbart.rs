//! PLBART (<https://arxiv.org/abs/2103.06333>): BART, except that embeddings are scaled, and that other sizes
//! are left out of configs.

use crate::models::seq2seq::families::bart;
use crate::models::seq2seq::family::{Family, FirstToken};

pub(super) const FAMILY: Family = Family {
    model_types: &["plbart"],
    defaults: &[
        ("vocab_size", 50_005),
        ("max_position_embeddings", 1024),
        ("d_model", 768),
        ("encoder_layers", 6),
        ("encoder_ffn_dim", 3072),
        ("encoder_attention_heads", 12),
        ("decoder_layers", 6),
        ("decoder_ffn_dim", 3072),
        ("decoder_attention_heads", 12),
        ("bos_token_id", 0),
        ("pad_token_id", 1),
        ("eos_token_id", 2),
        ("forced_eos_token_id", 2),
    ],
    config: |raw| bart::config(&raw.with_default("scale_embedding", true)),
    first_token: FirstToken::LastOfText,
    ..bart::FAMILY
};
