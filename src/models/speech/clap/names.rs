//! What our tensors are called in checkpoints.

use crate::weights::names::{Rule, renamed};

pub(super) const NAMES: &[Rule] = &[
    renamed("audio.batch_norm", "audio_model.audio_encoder.batch_norm"),
    renamed("audio.batch_norm.running_mean", "audio_model.audio_encoder.batch_norm.running_mean"),
    renamed("audio.batch_norm.running_var", "audio_model.audio_encoder.batch_norm.running_var"),
    renamed("audio.patches", "audio_model.audio_encoder.patch_embed.proj"),
    renamed("audio.patch_norm", "audio_model.audio_encoder.patch_embed.norm"),
    renamed("audio.fusion.parts", "audio_model.audio_encoder.patch_embed.mel_conv2d"),
    renamed(
        "audio.fusion.local.*",
        "audio_model.audio_encoder.patch_embed.fusion_model.local_att.*",
    ),
    renamed(
        "audio.fusion.local.*.running_mean",
        "audio_model.audio_encoder.patch_embed.fusion_model.local_att.*.running_mean",
    ),
    renamed(
        "audio.fusion.local.*.running_var",
        "audio_model.audio_encoder.patch_embed.fusion_model.local_att.*.running_var",
    ),
    renamed(
        "audio.fusion.global.*",
        "audio_model.audio_encoder.patch_embed.fusion_model.global_att.*",
    ),
    renamed(
        "audio.fusion.global.*.running_mean",
        "audio_model.audio_encoder.patch_embed.fusion_model.global_att.*.running_mean",
    ),
    renamed(
        "audio.fusion.global.*.running_var",
        "audio_model.audio_encoder.patch_embed.fusion_model.global_att.*.running_var",
    ),
    renamed(
        "audio.stages.*.layers.*.attn_norm",
        "audio_model.audio_encoder.layers.*.blocks.*.layernorm_before",
    ),
    renamed(
        "audio.stages.*.layers.*.attn.q",
        "audio_model.audio_encoder.layers.*.blocks.*.attention.self.query",
    ),
    renamed(
        "audio.stages.*.layers.*.attn.k",
        "audio_model.audio_encoder.layers.*.blocks.*.attention.self.key",
    ),
    renamed(
        "audio.stages.*.layers.*.attn.v",
        "audio_model.audio_encoder.layers.*.blocks.*.attention.self.value",
    ),
    renamed(
        "audio.stages.*.layers.*.attn.distances",
        "audio_model.audio_encoder.layers.*.blocks.*.attention.self.relative_position_bias_table",
    ),
    renamed(
        "audio.stages.*.layers.*.attn.o",
        "audio_model.audio_encoder.layers.*.blocks.*.attention.output.dense",
    ),
    renamed(
        "audio.stages.*.layers.*.mlp_norm",
        "audio_model.audio_encoder.layers.*.blocks.*.layernorm_after",
    ),
    renamed(
        "audio.stages.*.layers.*.mlp.act",
        "audio_model.audio_encoder.layers.*.blocks.*.intermediate.intermediate_act_fn",
    ),
    renamed(
        "audio.stages.*.layers.*.mlp.up",
        "audio_model.audio_encoder.layers.*.blocks.*.intermediate.dense",
    ),
    renamed(
        "audio.stages.*.layers.*.mlp.down",
        "audio_model.audio_encoder.layers.*.blocks.*.output.dense",
    ),
    renamed("audio.stages.*.merge", "audio_model.audio_encoder.layers.*.downsample.reduction"),
    renamed("audio.stages.*.merge_norm", "audio_model.audio_encoder.layers.*.downsample.norm"),
    renamed("audio.norm", "audio_model.audio_encoder.norm"),
    renamed("audio_projection.first", "audio_projection.linear1"),
    renamed("audio_projection.second", "audio_projection.linear2"),
    renamed("text_projection.first", "text_projection.linear1"),
    renamed("text_projection.second", "text_projection.linear2"),
    renamed("text.embed.words", "text_model.embeddings.word_embeddings"),
    renamed("text.embed.positions", "text_model.embeddings.position_embeddings"),
    renamed("text.embed.types", "text_model.embeddings.token_type_embeddings"),
    renamed("text.embed.norm", "text_model.embeddings.LayerNorm"),
    renamed("text.layers.*.attn.q", "text_model.encoder.layer.*.attention.self.query"),
    renamed("text.layers.*.attn.k", "text_model.encoder.layer.*.attention.self.key"),
    renamed("text.layers.*.attn.v", "text_model.encoder.layer.*.attention.self.value"),
    renamed("text.layers.*.attn.o", "text_model.encoder.layer.*.attention.output.dense"),
    renamed("text.layers.*.attn_norm", "text_model.encoder.layer.*.attention.output.LayerNorm"),
    renamed("text.layers.*.mlp.act", "text_model.encoder.layer.*.intermediate.intermediate_act_fn"),
    renamed("text.layers.*.mlp.up", "text_model.encoder.layer.*.intermediate.dense"),
    renamed("text.layers.*.mlp.down", "text_model.encoder.layer.*.output.dense"),
    renamed("text.layers.*.mlp_norm", "text_model.encoder.layer.*.output.LayerNorm"),
    renamed("text.pooler", "text_model.pooler.dense"),
];
