//! Marian, the models of OPUS-MT (<https://aclanthology.org/2020.eamt-1.61>): BART, except that positions
//! are sinusoidal, that embeddings are not normed, and that the halves may have vocabularies of their own.

use crate::models::seq2seq::config::Words;
use crate::models::seq2seq::families::bart;
use crate::models::seq2seq::family::Family;
use crate::nn::positions::AbsolutePositions;

pub(super) const FAMILY: Family = Family {
    model_types: &["marian"],
    defaults: &[
        ("vocab_size", 58_101),
        ("max_position_embeddings", 1024),
        ("d_model", 1024),
        ("encoder_layers", 12),
        ("encoder_ffn_dim", 4096),
        ("encoder_attention_heads", 16),
        ("decoder_layers", 12),
        ("decoder_ffn_dim", 4096),
        ("decoder_attention_heads", 16),
        ("pad_token_id", 58_100),
        ("eos_token_id", 0),
        ("decoder_start_token_id", 58_100),
        ("forced_eos_token_id", 0),
    ],
    config: |raw| {
        if raw.flag("tie_encoder_decoder", false)? {
            let reason = "halves that share their layers are not supported";
            return Err(raw.refuse("tie_encoder_decoder", reason));
        }
        let mut config = bart::config(raw)?;
        bart::without_embedding_norms(&mut config);
        let rows = config.decoder.max_positions;
        bart::set_positions(&mut config, AbsolutePositions::Sinusoidal { rows }, rows);
        if !raw.flag("share_encoder_decoder_embeddings", true)? {
            config.words = Words::Own;
            let vocab = raw.optional_size("decoder_vocab_size")?;
            config.decoder.vocab_size = vocab.unwrap_or(config.encoder.vocab_size);
        }
        Ok(config)
    },
    ..bart::FAMILY
};
