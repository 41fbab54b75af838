//! mT5 (<https://arxiv.org/abs/2010.11934>): T5 1.1, except that other sizes are left out of configs.

use crate::models::seq2seq::families::t5;
use crate::models::seq2seq::families::t5::Tables;
use crate::models::seq2seq::family::Family;

pub(super) const FAMILY: Family = Family {
    model_types: &["mt5"],
    defaults: DEFAULTS,
    config: |raw| {
        let raw = raw.with_default("feed_forward_proj", "gated-gelu");
        t5::config(&raw.with_default("tie_word_embeddings", false), Tables::OfModel)
    },
    ..t5::FAMILY
};

pub(super) const DEFAULTS: &[(&str, u32)] = &[
    ("vocab_size", 250_112),
    ("d_model", 512),
    ("d_kv", 64),
    ("d_ff", 1024),
    ("num_layers", 8),
    ("num_heads", 6),
    ("pad_token_id", 0),
    ("eos_token_id", 1),
    ("decoder_start_token_id", 0),
];
