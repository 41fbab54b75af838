//! DistilBERT (<https://arxiv.org/abs/1910.01108>): BERT, except that there are no token types, sizes
//! and tensors have names of their own, and the classifier's first layer is followed by a ReLU.

use crate::error::Result;
use crate::models::encoder::config::EncoderConfig;
use crate::models::encoder::families::{Family, bert};
use crate::models::raw_config::RawConfig;
use crate::nn::activation::Activation;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["distilbert"],
    gguf_architectures: &[],
    prefixes: &["distilbert"],
    config,
    safetensors: &[
        renamed("layers.*.attn.q", "transformer.layer.*.attention.q_lin"),
        renamed("layers.*.attn.k", "transformer.layer.*.attention.k_lin"),
        renamed("layers.*.attn.v", "transformer.layer.*.attention.v_lin"),
        renamed("layers.*.attn.o", "transformer.layer.*.attention.out_lin"),
        renamed("layers.*.attn_norm", "transformer.layer.*.sa_layer_norm"),
        renamed("layers.*.mlp.act", "transformer.layer.*.ffn.activation"),
        renamed("layers.*.mlp.up", "transformer.layer.*.ffn.lin1"),
        renamed("layers.*.mlp.down", "transformer.layer.*.ffn.lin2"),
        renamed("layers.*.mlp_norm", "transformer.layer.*.output_layer_norm"),
        renamed("sequence.dense", "pre_classifier"),
        renamed("masked.dense", "vocab_transform"),
        renamed("masked.act", "activation"),
        renamed("masked.norm", "vocab_layer_norm"),
        renamed("masked.out", "vocab_projector"),
        renamed("masked.bias", "vocab_projector.bias"),
    ],
    gguf: &[],
};

fn config(raw: &RawConfig) -> Result<EncoderConfig> {
    // The class has no such fields.
    let unread = ["hidden_act", "intermediate_size", "layer_norm_eps", "type_vocab_size"];
    let raw = unread.iter().fold(raw.clone(), |raw, field| raw.without(field));
    let raw = raw.with_attribute_map(&[
        ("hidden_act", "activation"),
        ("hidden_size", "dim"),
        ("intermediate_size", "hidden_dim"),
        ("num_attention_heads", "n_heads"),
        ("num_hidden_layers", "n_layers"),
    ]);
    let mut config = bert::config(&raw.with_default("num_hidden_layers", 6))?;
    config.embeddings.token_types = 0;
    config.heads.sequence.activation = Activation::Relu;
    Ok(config)
}
