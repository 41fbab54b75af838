//! A family of decoders: data, with a dialect for each format of checkpoints.

use serde_json::Value;

use crate::error::Result;
use crate::models::decoder::config::{DecoderConfig, HeadWeights};
use crate::models::decoder::names::{GGUF_NAMES, LLAMA_NAMES};
use crate::models::raw_config::RawConfig;
use crate::nn::rope::RopePairing;
use crate::source::gguf::GgufValue;
use crate::weights::names::{NameTable, Rule};

/// A decoder family: how its config is read, and what differs between the formats of its checkpoints.
#[derive(Debug)]
pub(crate) struct Family {
    /// Reads the config, under the names of config.json for every format. The rope pairing comes
    /// from the dialect.
    pub(crate) config: fn(&RawConfig) -> Result<DecoderConfig>,
    /// Hugging Face's checkpoints: config.json and safetensors.
    pub(crate) hf: Dialect,
    /// GGUF files.
    pub(crate) gguf: Dialect,
}

/// What a family is called and how it is stored in checkpoints of one format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// The names of the family: `model_type` in config.json, `general.architecture` in GGUF metadata. The
    /// first is written. Where families share a name, the first of them in `FAMILIES` reads it.
    pub(crate) types: &'static [&'static str],
    /// Which channels of queries and keys are rotated together.
    pub(crate) pairing: RopePairing,
    /// Names of tensors that differ from the format's common ones.
    pub(crate) names: &'static [Rule],
    /// Fields with other names: pairs of the name that `config` asks for and the stored name, which
    /// wins if both exist. In GGUF files the stored name is a metadata key without its prefix, or a
    /// tensor of the first layer, whose presence means true.
    pub(crate) spellings: &'static [(&'static str, &'static str)],
    /// Sizes of the reference's config class, which config.json may leave out.
    pub(crate) sizes: &'static [(&'static str, usize)],
    /// Special ids of that class.
    pub(crate) ids: &'static [(&'static str, &'static [u32])],
    /// Fields that Llama's class has and the family's class does not: they are ignored in a
    /// config.json.
    pub(crate) unread: &'static [&'static str],
    /// What the lists above cannot say of the fields.
    pub(crate) translate: fn(&RawConfig) -> Result<RawConfig>,
    /// The remaining fields are for writing. This one: whether the head must be tied or not, where
    /// llama.cpp gives the architecture no choice.
    pub(crate) head: Option<HeadWeights>,
    /// The linear layers whose biases llama.cpp reads; it refuses files with others.
    pub(crate) biases: &'static [&'static str],
    /// Metadata that only this architecture has, by keys without their prefix.
    pub(crate) keys: fn(&DecoderConfig) -> Vec<(&'static str, GgufValue)>,
    /// Whether a file of such a model holds a tensor: for tensors to which `names` gives several
    /// names.
    pub(crate) holds: fn(&DecoderConfig, &str) -> bool,
    pub(super) common_names: &'static [Rule],
}

/// A Hugging Face checkpoint with the names of Llama's tensors.
pub(super) const HF: Dialect = Dialect {
    types: &[],
    pairing: RopePairing::Halves,
    names: &[],
    spellings: &[],
    sizes: &[],
    ids: &[],
    unread: &[],
    translate: |raw| Ok(raw.clone()),
    head: None,
    biases: &[],
    keys: |_| Vec::new(),
    holds: |_, _| true,
    common_names: LLAMA_NAMES,
};

/// A GGUF file of most architectures.
pub(super) const GGUF: Dialect =
    Dialect { biases: &["attn_q", "attn_k", "attn_v"], common_names: GGUF_NAMES, ..HF };

/// For [`Dialect::sizes`], those that most classes have: of the vocabulary, the hidden vectors and the MLP, and
/// how many layers and heads there are.
pub(super) const fn sizes(sizes: [usize; 5]) -> [(&'static str, usize); 5] {
    let [vocab, hidden, intermediate, layers, heads] = sizes;
    [
        ("vocab_size", vocab),
        ("hidden_size", hidden),
        ("intermediate_size", intermediate),
        ("num_hidden_layers", layers),
        ("num_attention_heads", heads),
    ]
}

/// For [`Dialect::biases`]: those of every linear layer.
pub(super) const EVERY_BIAS: &[&str] =
    &["attn_k", "attn_output", "attn_q", "attn_qkv", "attn_v", "ffn_down", "ffn_gate", "ffn_up"];

impl Family {
    /// The dialect of a GGUF file, or of another checkpoint.
    pub(crate) fn dialect(&self, is_gguf: bool) -> &Dialect {
        if is_gguf { &self.gguf } else { &self.hf }
    }

    /// What a model with this config in this dialect is made of.
    pub(crate) fn read(&self, dialect: &Dialect, raw: &RawConfig) -> Result<DecoderConfig> {
        let mut config = (self.config)(&dialect.fields(raw)?)?;
        for rope in &mut config.ropes {
            rope.pairing = dialect.pairing;
        }
        Ok(config)
    }
}

impl Dialect {
    /// A config as `config` reads it. That of a config.json is then as the reference's class holds it:
    /// with its sizes, and without what it does not read.
    pub(crate) fn fields(&self, raw: &RawConfig) -> Result<RawConfig> {
        let raw = self.unread.iter().fold(self.with_defaults(raw), |raw, field| raw.without(field));
        (self.translate)(&raw.with_spellings(self.spellings))
    }

    /// A config with the sizes and special ids of the reference's class where it has none.
    pub(crate) fn with_defaults(&self, raw: &RawConfig) -> RawConfig {
        let sizes = self.sizes.iter().map(|&(field, size)| (field, size.into()));
        let ids = self.ids.iter().map(|&(field, ids)| match *ids {
            [id] => (field, id.into()),
            _ => (field, ids.into()),
        });
        sizes
            .chain(ids)
            .fold(raw.clone(), |raw, (field, value): (_, Value)| raw.with_default(field, value))
    }

    /// What the tensors are called.
    pub(crate) fn name_table(&self) -> NameTable {
        NameTable { base: self.common_names, own: self.names }
    }
}
