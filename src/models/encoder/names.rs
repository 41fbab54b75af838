//! What our tensors are called in checkpoints: the two base tables of all encoders.

use crate::weights::names::{Rule, renamed};

/// Hugging Face checkpoints of BERT and its descendants. Names of the base model stand here without
/// its prefix (`bert.`), which checkpoints with a head put before them.
pub(super) const BERT_NAMES: &[Rule] = &[
    renamed("embed.words", "embeddings.word_embeddings"),
    renamed("embed.positions", "embeddings.position_embeddings"),
    renamed("embed.types", "embeddings.token_type_embeddings"),
    renamed("embed.norm", "embeddings.LayerNorm"),
    renamed("layers.*.attn.q", "encoder.layer.*.attention.self.query"),
    renamed("layers.*.attn.k", "encoder.layer.*.attention.self.key"),
    renamed("layers.*.attn.v", "encoder.layer.*.attention.self.value"),
    renamed("layers.*.attn.o", "encoder.layer.*.attention.output.dense"),
    renamed("layers.*.attn.distances", "encoder.layer.*.attention.self.distance_embedding"),
    renamed("layers.*.attn_norm", "encoder.layer.*.attention.output.LayerNorm"),
    renamed("layers.*.mlp.act", "encoder.layer.*.intermediate.intermediate_act_fn"),
    renamed("layers.*.mlp.up", "encoder.layer.*.intermediate.dense"),
    renamed("layers.*.mlp.down", "encoder.layer.*.output.dense"),
    renamed("layers.*.mlp_norm", "encoder.layer.*.output.LayerNorm"),
    renamed("sequence.dense", "pooler.dense"),
    renamed("sequence.out", "classifier"),
    renamed("token.out", "classifier"),
    renamed("spans.out", "qa_outputs"),
    renamed("masked.dense", "cls.predictions.transform.dense"),
    renamed("masked.act", "cls.predictions.transform.transform_act_fn"),
    renamed("masked.norm", "cls.predictions.transform.LayerNorm"),
    renamed("masked.out", "cls.predictions.decoder"),
    renamed("masked.bias", "cls.predictions.bias"),
    renamed("masked.bias", "cls.predictions.decoder.bias"),
];

/// GGUF files of any architecture.
pub(super) const GGUF_NAMES: &[Rule] = &[
    renamed("embed.words", "token_embd"),
    renamed("embed.positions", "position_embd"),
    renamed("embed.types", "token_types"),
    renamed("embed.norm", "token_embd_norm"),
    renamed("layers.*.attn.q", "blk.*.attn_q"),
    renamed("layers.*.attn.k", "blk.*.attn_k"),
    renamed("layers.*.attn.v", "blk.*.attn_v"),
    renamed("layers.*.attn.o", "blk.*.attn_output"),
    renamed("layers.*.attn_norm", "blk.*.attn_output_norm"),
    renamed("layers.*.mlp.gate", "blk.*.ffn_gate"),
    renamed("layers.*.mlp.up", "blk.*.ffn_up"),
    renamed("layers.*.mlp.down", "blk.*.ffn_down"),
    renamed("layers.*.mlp_norm", "blk.*.layer_output_norm"),
    renamed("sequence.dense", "cls"),
    renamed("sequence.out", "cls.output"),
];
