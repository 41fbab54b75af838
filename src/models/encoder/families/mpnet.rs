//! MPNet (<https://arxiv.org/abs/2004.09297>): BERT, except that distances between tokens add to
//! attention scores, positions are numbered after the padding id (always 1), there are no token
//! types, and heads are RoBERTa's.

use crate::error::Result;
use crate::models::encoder::config::EncoderConfig;
use crate::models::encoder::families::{Family, bert, roberta};
use crate::models::raw_config::RawConfig;
use crate::nn::activation::Activation;
use crate::nn::attention::Positions;
use crate::nn::relative::RelativePositions;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["mpnet"],
    gguf_architectures: &[],
    prefixes: &["mpnet"],
    config,
    safetensors: &[
        renamed("relative.0", "encoder.relative_attention_bias"),
        renamed("layers.*.attn.q", "encoder.layer.*.attention.attn.q"),
        renamed("layers.*.attn.k", "encoder.layer.*.attention.attn.k"),
        renamed("layers.*.attn.v", "encoder.layer.*.attention.attn.v"),
        renamed("layers.*.attn.o", "encoder.layer.*.attention.attn.o"),
        renamed("layers.*.attn_norm", "encoder.layer.*.attention.LayerNorm"),
        renamed("sequence.dense", "classifier.dense"),
        renamed("sequence.out", "classifier.out_proj"),
        renamed("masked.dense", "lm_head.dense"),
        renamed("masked.norm", "lm_head.layer_norm"),
        renamed("masked.out", "lm_head.decoder"),
        renamed("masked.bias", "lm_head.bias"),
        renamed("masked.bias", "lm_head.decoder.bias"),
    ],
    gguf: &[],
};

fn config(raw: &RawConfig) -> Result<EncoderConfig> {
    let mut config =
        bert::config(&raw.without("type_vocab_size").with_default("vocab_size", 30527))?;
    roberta::number_after(raw, &mut config, 1.0)?;
    let buckets = raw.optional_size("relative_attention_num_buckets")?.unwrap_or(32);
    if buckets < 4 {
        return Err(raw.refuse("relative_attention_num_buckets", "it should be 32"));
    }
    let relative =
        RelativePositions::Buckets { table: 0, bidirectional: true, buckets, max_distance: 128 };
    for layer in &mut config.layers {
        layer.attention.positions = Positions::Relative(relative);
    }
    config.embeddings.token_types = 0;
    config.heads.masked.activation = Activation::Gelu;
    Ok(config)
}
