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
    /// Sizes and special ids of the reference's config class, which config.json may leave out.
    pub(crate) sizes: &'static [(&'static str, usize)],
    /// Fields that Llama's class has and the family's has not: in a config.json they mean nothing.
    pub(crate) unread: &'static [&'static str],
    /// Names that differ from Llama's in Hugging Face checkpoints.
    pub(crate) safetensors: &'static [Rule],
    /// Names that differ from the common ones in GGUF files.
    pub(crate) gguf: &'static [Rule],
}

impl Family {
    /// A config.json as the reference's class holds it: with its sizes, and without what it does not
    /// read.
    pub(crate) fn fields(&self, raw: &RawConfig) -> RawConfig {
        let unread = self.unread.iter().chain(OF_GGUF);
        unread.fold(raw.with_sizes(self.sizes), |raw, field| raw.without(field))
    }
}

/// Fields that GGUF files alone are translated to.
const OF_GGUF: &[&str] = &["attention_output_bias", "rotary_dim"];

/// Every decoder family there is. Adding one is a file and a line here.
pub(crate) const FAMILIES: &[&Family] = &[
    &falcon::FAMILY,
    &gemma::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &gemma3::EMBEDDING_FAMILY,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::mlp::MlpConfig;
    use crate::source::ModelSource;

    /// `CONFIG_MAPPING[model_type]()` of transformers 4.57.6: vocabulary, hidden size, layers, heads,
    /// key-value heads, head size, width of the MLP or of an expert, context.
    const DEFAULTS: &[(&str, [usize; 8])] = &[
        ("falcon", [65_024, 4544, 32, 71, 1, 64, 18_176, 2048]),
        ("gemma", [256_000, 3072, 28, 16, 16, 256, 24_576, 8192]),
        ("gemma2", [256_000, 2304, 26, 8, 4, 256, 9216, 8192]),
        ("gemma3_text", [262_208, 2304, 26, 8, 4, 256, 9216, 131_072]),
        ("gpt2", [50_257, 768, 12, 12, 12, 64, 3072, 1024]),
        ("gpt_neox", [50_432, 6144, 44, 64, 64, 96, 24_576, 2048]),
        ("granite", [32_000, 4096, 32, 32, 32, 128, 11_008, 2048]),
        ("llama", [32_000, 4096, 32, 32, 32, 128, 11_008, 2048]),
        ("mistral", [32_000, 4096, 32, 32, 8, 128, 14_336, 131_072]),
        ("mixtral", [32_000, 4096, 32, 32, 8, 128, 14_336, 131_072]),
        ("olmo2", [50_304, 4096, 32, 32, 32, 128, 11_008, 2048]),
        ("phi", [51_200, 2048, 24, 32, 32, 64, 8192, 2048]),
        ("phi3", [32_064, 3072, 32, 32, 32, 96, 8192, 4096]),
        ("qwen2", [151_936, 4096, 32, 32, 32, 128, 22_016, 32_768]),
        ("qwen2_moe", [151_936, 2048, 24, 16, 16, 128, 1408, 32_768]),
        ("qwen3", [151_936, 4096, 32, 32, 32, 128, 22_016, 32_768]),
        ("qwen3_moe", [151_936, 2048, 24, 32, 4, 64, 768, 32_768]),
        ("smollm3", [128_256, 2048, 36, 16, 4, 128, 11_008, 32_768]),
        ("starcoder2", [49_152, 3072, 30, 24, 2, 128, 12_288, 4096]),
    ];

    #[test]
    fn an_empty_config_is_the_references() {
        let of_configs = FAMILIES.iter().filter(|family| !family.model_types.is_empty());
        assert_eq!(DEFAULTS.len(), of_configs.count());
        for (name, expected) in DEFAULTS {
            let folder = tempfile::tempdir().unwrap();
            let text = format!(r#"{{"model_type": "{name}"}}"#);
            std::fs::write(folder.path().join("config.json"), text).unwrap();
            let files = ModelSource::directory(folder.path()).open().unwrap();
            let raw = RawConfig::read(&files).unwrap();
            let family = FAMILIES.iter().find(|family| family.model_types.contains(name)).unwrap();
            let config = (family.config)(&family.fields(&raw), RopePairing::Halves).unwrap();
            let attention = &config.layers[0].attention;
            let wide = match &config.layers[0].mlp {
                MlpConfig::Experts(experts) => experts.hidden,
                MlpConfig::Gated { hidden, .. } | MlpConfig::Plain { hidden, .. } => *hidden,
            };
            let found = [
                config.vocab_size,
                config.hidden_size,
                config.layers.len(),
                attention.heads,
                attention.kv_heads,
                attention.head_dim,
                wide,
                config.max_positions,
            ];
            assert_eq!(found, *expected, "{name}");
        }
    }
}
