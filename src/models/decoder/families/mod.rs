//! Decoder families: data, one file each, written as "Llama, except …".

mod apertus;
mod arcee;
mod cohere;
mod ernie4_5;
mod exaone4;
mod experts;
mod falcon;
mod gemma;
mod gemma2;
mod gemma3;
mod glm;
mod glm4;
mod gpt2;
mod gpt_neox;
mod granite;
mod llama;
mod mistral;
mod mixtral;
mod nemotron;
mod olmo2;
mod olmo3;
mod phi;
mod phi3;
mod qwen2;
mod qwen2_moe;
mod qwen3;
mod qwen3_moe;
mod smollm3;
mod spans;
mod starcoder2;

use crate::models::decoder::family::Family;

/// Every decoder family. A new one is a file and a line here.
pub(crate) const FAMILIES: &[&Family] = &[
    &apertus::FAMILY,
    &arcee::FAMILY,
    &cohere::FAMILY,
    &ernie4_5::FAMILY,
    &exaone4::FAMILY,
    &falcon::FAMILY,
    &gemma::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &glm::FAMILY,
    &glm4::FAMILY,
    &gpt2::FAMILY,
    &gpt_neox::FAMILY,
    &granite::FAMILY,
    &llama::FAMILY,
    &mistral::FAMILY,
    &mixtral::FAMILY,
    &nemotron::FAMILY,
    // Reads the GGUF files of OLMo 2, too.
    &olmo3::FAMILY,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The shared code names no family, so that a family is one file.
    #[test]
    fn families_are_named_in_their_own_files_only() {
        let shared = [
            include_str!("../family.rs"),
            include_str!("../mod.rs"),
            include_str!("../rope_config.rs"),
            include_str!("../../auto.rs"),
            include_str!("../../last_token.rs"),
            include_str!("../../raw_config.rs"),
            include_str!("../../save/metadata.rs"),
            include_str!("../../save/mod.rs"),
            include_str!("../../save/tensors.rs"),
        ];
        let names =
            FAMILIES.iter().flat_map(|family| family.hf.types.iter().chain(family.gguf.types));
        for name in names {
            let quoted = format!("{name:?}");
            assert!(shared.iter().all(|text| !text.contains(&quoted)), "{name} is named elsewhere");
        }
    }
}
