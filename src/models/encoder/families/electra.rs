//! ELECTRA (<https://arxiv.org/abs/2003.10555>): BERT, except that tables may be narrower than the
//! model and are projected, and heads have layers of their own. The masked language model is the
//! generator's.

use crate::error::Result;
use crate::models::encoder::config::{EncoderConfig, Projection};
use crate::models::encoder::families::{Family, bert};
use crate::models::raw_config::RawConfig;
use crate::nn::activation::Activation;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["electra"],
    gguf_architectures: &[],
    prefixes: &["electra"],
    config,
    safetensors: &[
        renamed("embed.projection", "embeddings_project"),
        renamed("sequence.dense", "classifier.dense"),
        renamed("sequence.out", "classifier.out_proj"),
        renamed("masked.dense", "generator_predictions.dense"),
        renamed("masked.norm", "generator_predictions.LayerNorm"),
        renamed("masked.out", "generator_lm_head"),
        renamed("masked.bias", "generator_lm_head.bias"),
    ],
    gguf: &[],
};

fn config(raw: &RawConfig) -> Result<EncoderConfig> {
    let raw = raw
        .with_default("hidden_size", 256)
        .with_default("num_attention_heads", 4)
        .with_default("intermediate_size", 1024)
        .with_default("embedding_size", 128);
    let mut config = bert::config(&raw)?;
    bert::looks_both_ways(&raw)?;
    bert::positions(&raw, &mut config)?;
    config.embeddings.size = raw.size("embedding_size")?;
    if config.embeddings.size != config.hidden_size {
        config.embeddings.projection = Projection::AfterNorm;
    }
    config.heads.sequence.activation = Activation::Gelu;
    config.heads.masked.activation = Activation::Gelu;
    config.heads.masked.size = config.embeddings.size;
    Ok(config)
}
