//! RoBERTa (<https://arxiv.org/abs/1907.11692>), and its multilingual and French kin XLM-RoBERTa (also
//! BGE-M3 and multilingual E5) and CamemBERT: BERT, except that positions are numbered after the
//! padding id and heads have layers of their own.

use crate::error::Result;
use crate::models::encoder::config::EncoderConfig;
use crate::models::encoder::families::{Family, bert};
use crate::models::raw_config::RawConfig;
use crate::nn::activation::Activation;
use crate::nn::positions::AbsolutePositions;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["roberta", "xlm-roberta", "camembert"],
    gguf_architectures: &[],
    prefixes: &["roberta"],
    config,
    safetensors: &[
        renamed("sequence.dense", "classifier.dense"),
        renamed("sequence.out", "classifier.out_proj"),
        renamed("masked.dense", "lm_head.dense"),
        renamed("masked.norm", "lm_head.layer_norm"),
        renamed("masked.out", "lm_head.decoder"),
        // The first wins in the reference, too.
        renamed("masked.bias", "lm_head.decoder.bias"),
        renamed("masked.bias", "lm_head.bias"),
    ],
    gguf: &[],
};

pub(in crate::models) fn config(raw: &RawConfig) -> Result<EncoderConfig> {
    let padding_id = raw.number("pad_token_id", 1.0)?;
    let mut config = bert::config(&raw.with_default("vocab_size", 50265))?;
    bert::looks_both_ways(raw)?;
    bert::positions(raw, &mut config)?;
    if config.embeddings.positions != AbsolutePositions::None {
        number_after(raw, &mut config, padding_id)?;
    }
    config.heads.masked.activation = Activation::Gelu;
    Ok(config)
}

/// Positions from `padding_id + 1` on; so many fewer fit the table.
pub(super) fn number_after(
    raw: &RawConfig,
    config: &mut EncoderConfig,
    padding_id: f64,
) -> Result<()> {
    let rows = config.max_positions;
    let usable = rows as f64 - padding_id - 1.0;
    if padding_id < 0.0 || padding_id.fract() != 0.0 || usable < 1.0 {
        let reason = format!("positions are numbered after it, and there are {rows}");
        return Err(raw.refuse("pad_token_id", reason));
    }
    config.max_positions = usable as usize;
    config.embeddings.positions =
        AbsolutePositions::AfterPadding { padding_id: padding_id as u32, rows };
    Ok(())
}
