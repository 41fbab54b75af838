//! T5 and its kin as GGUF: `conversion/t5.py` of llama.cpp.

use std::path::Path;

use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::save::compare;
use crate::models::save::metadata::Keys;
use crate::models::save::tensors;
use crate::models::seq2seq::{Family, Gguf, Seq2SeqConfig};
use crate::nn::attention::Positions;
use crate::nn::mlp::MlpConfig;
use crate::nn::norm::NormConfig;
use crate::nn::relative::RelativePositions;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::source::gguf::GgufFile;
use crate::tokenizer;
use crate::weights;
use crate::weights::{Inventory, Progress};

/// A folder of a family as a GGUF file; of its encoder alone, where no part of a decoder is in the inventory.
pub(super) fn as_gguf(
    family: &Family,
    gguf: Gguf,
    files: &ModelFiles,
    inventory: &Inventory,
    to: &Path,
    progress: Progress<'_>,
) -> Result<()> {
    let raw = RawConfig::read(files)?;
    let config = family.read(&raw)?;
    let weights = family.weights(files, &LoadOptions::default())?;
    let is_whole = inventory.items().iter().any(|item| item.name.starts_with("decoder."));
    let [whole, encoder] = gguf.architectures;
    let architecture = if is_whole { whole } else { encoder };
    let mut keys = Keys::new(architecture);
    // What llama.cpp's converter takes where the config says nothing.
    keys.push("context_length", raw.optional_size("n_positions")?.unwrap_or(512));
    describe(&config, is_whole, &mut keys);
    let mut metadata = keys.metadata;
    metadata.extend(tokenizer::gguf_metadata(files, config.encoder.vocab_size)?);
    let tensors = tensors::renamed(&weights, inventory, gguf.names)?;
    let check = |file: &GgufFile| {
        let read = (gguf.config)(&RawConfig::of_gguf(file)?)?;
        let same = match is_whole {
            true => compare::same(&config, &read),
            false => compare::same(&config.encoder, &read.encoder),
        };
        same.map_err(|difference| {
            Error::unsupported(format!(
                "{}: {difference}, which a GGUF file of the architecture {architecture:?} cannot say",
                files.origin()
            ))
        })
    };
    weights::write_gguf(metadata, [&[], &tensors], check, to, progress)
}

fn describe(config: &Seq2SeqConfig, is_whole: bool, keys: &mut Keys<'_>) {
    let Seq2SeqConfig { encoder, decoder, start_id, .. } = config;
    keys.push("embedding_length", encoder.hidden_size);
    keys.push("block_count", encoder.layers.len());
    if let Some(layer) = encoder.layers.first() {
        if let MlpConfig::Gated { hidden, .. } | MlpConfig::Plain { hidden, .. } = layer.mlp {
            keys.push("feed_forward_length", hidden);
        }
        let attention = &layer.attention;
        keys.push("attention.head_count", attention.heads);
        keys.push("attention.key_length", attention.head_dim);
        keys.push("attention.value_length", attention.head_dim);
        if let NormConfig::Rms { eps } = layer.norm {
            keys.push("attention.layer_norm_epsilon", eps);
            keys.push("attention.layer_norm_rms_epsilon", eps);
        }
        if let Positions::Relative(RelativePositions::Buckets { buckets, .. }) = attention.positions
        {
            keys.push("attention.relative_buckets_count", buckets);
        }
    }
    if is_whole {
        keys.push("decoder_block_count", decoder.layers.len());
        if let Some(start) = *start_id {
            keys.push("decoder_start_token_id", start as usize);
        }
    }
}
