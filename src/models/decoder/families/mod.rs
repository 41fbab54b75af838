//! Decoder families: data, one file each, written as "Llama, except …".

mod experts;
mod falcon;
mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod gpt_neox;
mod granite;
mod llama;
mod mistral;
mod mixtral;
mod olmo2;
mod phi;
mod phi3;
mod qwen2;
mod qwen2_moe;
mod qwen3;
mod qwen3_moe;
mod smollm3;
mod spans;
mod starcoder2;

use crate::error::Result;
use crate::models::decoder::config::DecoderConfig;
use crate::models::raw_config::RawConfig;
use crate::nn::rope::RopePairing;
use crate::weights::names::Rule;

/// A decoder family: how its config is read and what its tensors are called.
#[derive(Debug)]
pub(crate) struct Family {
    /// `model_type` in config.json.
    pub(crate) model_types: &'static [&'static str],
    /// `general.architecture` in GGUF metadata.
    pub(crate) gguf_architectures: &'static [&'static str],
    /// How llama.cpp's converter orders query and key rows for these architectures.
    pub(crate) gguf_pairing: RopePairing,
    /// Reads the config; the pairing is the checkpoint's.
    pub(crate) config: fn(&RawConfig, RopePairing) -> Result<DecoderConfig>,
    /// Names that differ from Llama's in Hugging Face checkpoints.
    pub(crate) safetensors: &'static [Rule],
    /// Names that differ from the common ones in GGUF files.
    pub(crate) gguf: &'static [Rule],
}

/// Every decoder family there is. Adding one is a file and a line here.
pub(crate) const FAMILIES: &[&Family] = &[
    &falcon::FAMILY,
    &gemma::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &gpt2::FAMILY,
    &gpt_neox::FAMILY,
    &granite::FAMILY,
    &llama::FAMILY,
    &mistral::FAMILY,
    &mixtral::FAMILY,
    &olmo2::FAMILY,
    &phi::FAMILY,
    &phi3::FAMILY,
    &qwen2::FAMILY,
    &qwen2_moe::FAMILY,
    &qwen3::FAMILY,
    &qwen3_moe::FAMILY,
    &smollm3::FAMILY,
    &starcoder2::FAMILY,
];
