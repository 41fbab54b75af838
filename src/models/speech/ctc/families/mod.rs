//! Families of encoders of speech: data, one file each, written as "Wav2Vec2, except …".

mod data2vec_audio;
mod hubert;
mod unispeech;
mod wav2vec2;
mod wav2vec2_bert;
mod wavlm;

use crate::error::Result;
use crate::models::raw_config::RawConfig;
use crate::models::speech::ctc::config::SpeechEncoderConfig;
use crate::weights::names::{Rule, renamed};

/// A family of encoders of speech: how its config is read and what its tensors are called.
#[derive(Debug)]
pub(crate) struct Family {
    /// `model_type` in config.json.
    pub(crate) model_types: &'static [&'static str],
    /// What checkpoints with a head put before the names of the base model's tensors:
    /// `base_model_prefix` in transformers.
    pub(crate) prefix: &'static str,
    /// Reads the config.
    pub(crate) config: fn(&RawConfig) -> Result<SpeechEncoderConfig>,
    /// Names that differ from Wav2Vec2's.
    pub(crate) names: &'static [Rule],
}

/// Every family of encoders of speech there is. Adding one is a file and a line here.
pub(crate) const FAMILIES: &[&Family] = &[
    &data2vec_audio::FAMILY,
    &hubert::FAMILY,
    &unispeech::FAMILY,
    &unispeech::SAT,
    &wav2vec2::FAMILY,
    &wav2vec2_bert::FAMILY,
    &wavlm::FAMILY,
];

/// Checkpoints of Wav2Vec2 and its descendants, without the prefix of the base model.
pub(super) const NAMES: &[Rule] = &[
    renamed("front.*.conv", "feature_extractor.conv_layers.*.conv"),
    renamed("front.*.norm", "feature_extractor.conv_layers.*.layer_norm"),
    renamed("projection_norm", "feature_projection.layer_norm"),
    renamed("projection", "feature_projection.projection"),
    renamed("positions.0", "encoder.pos_conv_embed.conv"),
    renamed(
        "positions.0.magnitude",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original0",
    ),
    renamed("positions.0.magnitude", "encoder.pos_conv_embed.conv.weight_g"),
    renamed(
        "positions.0.direction",
        "encoder.pos_conv_embed.conv.parametrizations.weight.original1",
    ),
    renamed("positions.0.direction", "encoder.pos_conv_embed.conv.weight_v"),
    renamed("positions.batch_norm", "encoder.pos_conv_embed.batch_norm"),
    renamed("positions.batch_norm.running_mean", "encoder.pos_conv_embed.batch_norm.running_mean"),
    renamed("positions.batch_norm.running_var", "encoder.pos_conv_embed.batch_norm.running_var"),
    renamed("first_norm", "encoder.layer_norm"),
    renamed("final_norm", "encoder.layer_norm"),
    renamed("layers.*.attn.q", "encoder.layers.*.attention.q_proj"),
    renamed("layers.*.attn.k", "encoder.layers.*.attention.k_proj"),
    renamed("layers.*.attn.v", "encoder.layers.*.attention.v_proj"),
    renamed("layers.*.attn.o", "encoder.layers.*.attention.out_proj"),
    renamed("layers.*.attn_norm", "encoder.layers.*.layer_norm"),
    renamed("layers.*.mlp.act", "encoder.layers.*.feed_forward.intermediate_act_fn"),
    renamed("layers.*.mlp.up", "encoder.layers.*.feed_forward.intermediate_dense"),
    renamed("layers.*.mlp.down", "encoder.layers.*.feed_forward.output_dense"),
    renamed("layers.*.mlp_norm", "encoder.layers.*.final_layer_norm"),
    renamed("layers.*.language.norm", "encoder.layers.*.adapter_layer.norm"),
    renamed("layers.*.language.mlp.up", "encoder.layers.*.adapter_layer.linear_1"),
    renamed("layers.*.language.mlp.down", "encoder.layers.*.adapter_layer.linear_2"),
    renamed("adapter.projection", "adapter.proj"),
    renamed("adapter.norm", "adapter.proj_layer_norm"),
    renamed("ctc.out", "lm_head"),
    renamed("sequence.layers", "layer_weights"),
    renamed("sequence.projector", "projector"),
    renamed("sequence.out", "classifier"),
    renamed("speaker.layers", "layer_weights"),
    renamed("speaker.projector", "projector"),
    renamed("speaker.delays.*", "tdnn.*.kernel"),
    renamed("speaker.out", "feature_extractor"),
];
