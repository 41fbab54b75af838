//! DeBERTa v2 and v3 (<https://arxiv.org/abs/2006.03654>, <https://arxiv.org/abs/2111.09543>): BERT,
//! except that attention also looks at distances, tables may be narrower than the model, absolute
//! positions and token types are optional, and the large v2 models have a convolution beside the
//! first layer.

use crate::error::Result;
use crate::models::encoder::config::{ConvolutionConfig, EncoderConfig, MaskedOutput, Projection};
use crate::models::encoder::families::{Family, bert};
use crate::models::raw_config::RawConfig;
use crate::nn::attention::Positions;
use crate::nn::positions::AbsolutePositions;
use crate::nn::relative::{DisentangledConfig, RelativePositions};
use crate::weights::names::renamed;

pub(super) const FAMILY: Family = Family {
    model_types: &["deberta-v2"],
    gguf_architectures: &[],
    prefixes: &["deberta"],
    config,
    safetensors: &[
        renamed("embed.projection", "embeddings.embed_proj"),
        renamed("relative", "encoder.rel_embeddings"),
        renamed("relative_norm", "encoder.LayerNorm"),
        renamed("convolution.conv", "encoder.conv.conv"),
        renamed("convolution.norm", "encoder.conv.LayerNorm"),
        renamed("layers.*.attn.q", "encoder.layer.*.attention.self.query_proj"),
        renamed("layers.*.attn.k", "encoder.layer.*.attention.self.key_proj"),
        renamed("layers.*.attn.v", "encoder.layer.*.attention.self.value_proj"),
        renamed("layers.*.attn.relative.q", "encoder.layer.*.attention.self.pos_query_proj"),
        renamed("layers.*.attn.relative.k", "encoder.layer.*.attention.self.pos_key_proj"),
        renamed("masked.dense", "cls.predictions.transform.dense"),
        renamed("masked.norm", "cls.predictions.transform.LayerNorm"),
        renamed("masked.bias", "cls.predictions.bias"),
        renamed("masked.bias", "cls.predictions.decoder.bias"),
        // Where `legacy` is off, and in the repositories of the first days.
        renamed("masked.dense", "lm_predictions.lm_head.dense"),
        renamed("masked.norm", "lm_predictions.lm_head.LayerNorm"),
        renamed("masked.bias", "lm_predictions.lm_head.bias"),
    ],
    gguf: &[],
};

fn config(raw: &RawConfig) -> Result<EncoderConfig> {
    let raw = raw
        .with_default("vocab_size", 128_100)
        .with_default("hidden_size", 1536)
        .with_default("num_hidden_layers", 24)
        .with_default("num_attention_heads", 24)
        .with_default("intermediate_size", 6144)
        .with_default("layer_norm_eps", 1e-7);
    let token_types = raw.number("type_vocab_size", 0.0)? as usize;
    let mut config = bert::config(&raw.without("type_vocab_size"))?;
    config.embeddings.token_types = token_types;
    if !raw.flag("position_biased_input", true)? {
        config.embeddings.positions = AbsolutePositions::None;
    }
    config.embeddings.size = raw.optional_size("embedding_size")?.unwrap_or(config.hidden_size);
    if config.embeddings.size != config.hidden_size {
        config.embeddings.projection = Projection::BeforeNorm;
    }
    config.heads.sequence.size =
        raw.optional_size("pooler_hidden_size")?.unwrap_or(config.hidden_size);
    config.heads.sequence.activation = raw.plain_activation("pooler_hidden_act", "gelu")?;
    config.heads.masked.size = config.embeddings.size;
    if !raw.flag("legacy", true)? {
        if config.embeddings.size != config.hidden_size {
            let reason = "its head needs embeddings as wide as the model";
            return Err(raw.refuse("legacy", reason));
        }
        config.heads.masked_output = MaskedOutput::TiedToEmbedding;
    }

    let norm = config.layers[0].norm;
    // A list, or one text parted by bars.
    let kinds = match raw.text("pos_att_type") {
        Ok(text) => text.unwrap_or_default().split('|').collect(),
        Err(_) => raw.texts("pos_att_type")?.unwrap_or_default(),
    };
    let looks = |kind: &str| kinds.iter().any(|known| known.trim().eq_ignore_ascii_case(kind));
    let terms = 1.0 + f64::from(u8::from(looks("c2p"))) + f64::from(u8::from(looks("p2c")));
    for layer in &mut config.layers {
        layer.attention.scale = (layer.attention.head_dim as f64 * terms).powf(-0.5);
    }
    if raw.flag("relative_attention", false)? {
        let positive = |field: &str| -> Result<Option<usize>> {
            if raw.number(field, -1.0)? < 1.0 { Ok(None) } else { raw.optional_size(field) }
        };
        let max_distance = positive("max_relative_positions")?.unwrap_or(config.max_positions);
        let buckets = positive("position_buckets")?;
        let norms = raw.text("norm_rel_ebd")?.unwrap_or("none").to_ascii_lowercase();
        let relative = RelativePositions::Disentangled(DisentangledConfig {
            span: buckets.unwrap_or(max_distance),
            buckets,
            max_distance,
            content_to_position: looks("c2p"),
            position_to_content: looks("p2c"),
            share_projections: raw.flag("share_att_key", false)?,
            norm: norms.split('|').any(|norm| norm.trim() == "layer_norm").then_some(norm),
        });
        for layer in &mut config.layers {
            layer.attention.positions = Positions::Relative(relative);
        }
    }
    let kernel = raw.number("conv_kernel_size", 0.0)?;
    if kernel > 0.0 {
        let groups = raw.optional_size("conv_groups")?.unwrap_or(1);
        if kernel % 2.0 != 1.0 || !config.hidden_size.is_multiple_of(groups) {
            let reason = "an odd size is needed, and groups that divide the channels";
            return Err(raw.refuse("conv_kernel_size", reason));
        }
        config.convolution = Some(ConvolutionConfig {
            kernel: kernel as usize,
            groups,
            activation: raw.plain_activation("conv_act", "tanh")?,
            norm,
        });
    }
    Ok(config)
}
