//! ERNIE 4.5 (dense): Llama, except that neighbouring channels are rotated together, that the head is tied, that
//! heads are 128 wide unless the config says otherwise, and that one switch gives every linear layer a bias.

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::decoder::families::llama;
use crate::models::decoder::family::{Dialect, Family, GGUF, HF, sizes};
use crate::models::raw_config::RawConfig;
use crate::nn::rope::RopePairing;

pub(super) const FAMILY: Family = Family {
    config,
    hf: Dialect {
        types: &["ernie4_5"],
        pairing: RopePairing::Adjacent,
        spellings: &[
            ("attention_bias", "use_bias"),
            ("attention_output_bias", "use_bias"),
            ("mlp_bias", "use_bias"),
        ],
        sizes: &sizes([103_424, 1024, 3072, 18, 16]),
        ids: &[("bos_token_id", &[1]), ("eos_token_id", &[2]), ("pad_token_id", &[0])],
        unread: &["attention_bias", "attention_output_bias", "mlp_bias"],
        ..HF
    },
    gguf: Dialect {
        types: &["ernie4_5"],
        pairing: RopePairing::Adjacent,
        biases: &["attn_q", "attn_k", "attn_v", "attn_output"],
        ..GGUF
    },
};

fn config(raw: &RawConfig) -> Result<DecoderConfig> {
    let raw = raw
        .with_default("head_dim", 128)
        .with_default("max_position_embeddings", 131_072)
        .with_default("num_key_value_heads", 2)
        .with_default("rms_norm_eps", 1e-5)
        .with_default("rope_theta", 500_000.0);
    let mut config = llama::config(&raw)?;
    config.head = llama::head(&raw, true)?;
    Ok(config)
}
