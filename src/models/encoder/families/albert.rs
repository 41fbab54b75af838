//! ALBERT (<https://arxiv.org/abs/1909.11942>): BERT, except that layers share weights in groups, and
//! tables are narrower than the model and projected.

use crate::error::Result;
use crate::models::encoder::config::{EncoderConfig, Projection};
use crate::models::encoder::families::{Family, bert};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::Positions;
use crate::nn::relative::RelativePositions;
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["albert"],
    gguf_architectures: &[],
    prefixes: &["albert"],
    config,
    safetensors: &[
        renamed("embed.projection", "encoder.embedding_hidden_mapping_in"),
        renamed(
            "layers.*.*.attn.q",
            "encoder.albert_layer_groups.*.albert_layers.*.attention.query",
        ),
        renamed("layers.*.*.attn.k", "encoder.albert_layer_groups.*.albert_layers.*.attention.key"),
        renamed(
            "layers.*.*.attn.v",
            "encoder.albert_layer_groups.*.albert_layers.*.attention.value",
        ),
        renamed(
            "layers.*.*.attn.o",
            "encoder.albert_layer_groups.*.albert_layers.*.attention.dense",
        ),
        renamed(
            "layers.*.*.attn.distances",
            "encoder.albert_layer_groups.*.albert_layers.*.attention.distance_embedding",
        ),
        renamed(
            "layers.*.*.attn_norm",
            "encoder.albert_layer_groups.*.albert_layers.*.attention.LayerNorm",
        ),
        renamed("layers.*.*.mlp.act", "encoder.albert_layer_groups.*.albert_layers.*.activation"),
        renamed("layers.*.*.mlp.up", "encoder.albert_layer_groups.*.albert_layers.*.ffn"),
        renamed("layers.*.*.mlp.down", "encoder.albert_layer_groups.*.albert_layers.*.ffn_output"),
        renamed(
            "layers.*.*.mlp_norm",
            "encoder.albert_layer_groups.*.albert_layers.*.full_layer_layer_norm",
        ),
        renamed("sequence.dense", "pooler"),
        renamed("masked.dense", "predictions.dense"),
        renamed("masked.act", "predictions.activation"),
        renamed("masked.norm", "predictions.LayerNorm"),
        renamed("masked.out", "predictions.decoder"),
        // The first wins in the reference, too.
        renamed("masked.bias", "predictions.decoder.bias"),
        renamed("masked.bias", "predictions.bias"),
    ],
    gguf: &[],
};

fn config(raw: &RawConfig) -> Result<EncoderConfig> {
    let raw = raw
        .with_default("vocab_size", 30000)
        .with_default("embedding_size", 128)
        .with_default("hidden_size", 4096)
        .with_default("num_attention_heads", 64)
        .with_default("intermediate_size", 16384)
        .with_default("hidden_act", "gelu_new");
    let mut config = bert::config(&raw)?;
    bert::positions(&raw, &mut config)?;
    let groups = raw.optional_size("num_hidden_groups")?.unwrap_or(1);
    let inner = raw.optional_size("inner_group_num")?.unwrap_or(1);
    let layers = config.layers.len();
    if groups > layers || inner > 64 {
        let reason = "there are no more groups than layers, and few layers in a group";
        return Err(raw.refuse("num_hidden_groups", reason));
    }
    let Some(mut layer) = config.layers.first().cloned() else { return Ok(config) };
    if let Positions::Relative(RelativePositions::OfLayers(distances)) =
        &mut layer.attention.positions
    {
        distances.scale = 1.0;
    }
    // Layer `i` of the config is group `i / (layers / groups)`, whose layers follow one another.
    config.layer_names = (0..layers)
        .flat_map(|number| (0..inner).map(move |inner| (number * groups / layers, inner)))
        .map(|(group, inner)| format!("{group}.{inner}"))
        .collect();
    config.layers = vec![layer; layers * inner];
    config.embeddings.size = raw.size("embedding_size")?;
    config.embeddings.projection = Projection::AfterNorm;
    config.heads.masked.size = config.embeddings.size;
    Ok(config)
}
