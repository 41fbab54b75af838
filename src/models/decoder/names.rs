//! What our tensors are called in checkpoints: the two base tables of all decoders.

use crate::weights::names::{Rule, expert, renamed};

/// Hugging Face checkpoints of Llama and its descendants.
pub(super) const LLAMA_NAMES: &[Rule] = &[
    renamed("embed", "model.embed_tokens"),
    renamed("final_norm", "model.norm"),
    renamed("head", "lm_head"),
    renamed("layers.*.attn_norm", "model.layers.*.input_layernorm"),
    renamed("layers.*.attn.q", "model.layers.*.self_attn.q_proj"),
    renamed("layers.*.attn.k", "model.layers.*.self_attn.k_proj"),
    renamed("layers.*.attn.v", "model.layers.*.self_attn.v_proj"),
    renamed("layers.*.attn.o", "model.layers.*.self_attn.o_proj"),
    renamed("layers.*.attn.q_norm", "model.layers.*.self_attn.q_norm"),
    renamed("layers.*.attn.k_norm", "model.layers.*.self_attn.k_norm"),
    renamed("layers.*.mlp_norm", "model.layers.*.post_attention_layernorm"),
    renamed("layers.*.mlp.act", "model.layers.*.mlp.act_fn"),
    renamed("layers.*.mlp.gate", "model.layers.*.mlp.gate_proj"),
    renamed("layers.*.mlp.up", "model.layers.*.mlp.up_proj"),
    renamed("layers.*.mlp.down", "model.layers.*.mlp.down_proj"),
];

/// GGUF files of any architecture: gguf-py has one table of names for all of them.
pub(super) const GGUF_NAMES: &[Rule] = &[
    renamed("embed", "token_embd"),
    renamed("final_norm", "output_norm"),
    renamed("head", "output"),
    renamed("layers.*.attn_norm", "blk.*.attn_norm"),
    renamed("layers.*.attn.q", "blk.*.attn_q"),
    renamed("layers.*.attn.k", "blk.*.attn_k"),
    renamed("layers.*.attn.v", "blk.*.attn_v"),
    renamed("layers.*.attn.o", "blk.*.attn_output"),
    renamed("layers.*.attn.q_norm", "blk.*.attn_q_norm"),
    renamed("layers.*.attn.k_norm", "blk.*.attn_k_norm"),
    renamed("layers.*.attn_post_norm", "blk.*.post_attention_norm"),
    renamed("layers.*.mlp_post_norm", "blk.*.post_ffw_norm"),
    renamed("layers.*.mlp_norm", "blk.*.ffn_norm"),
    renamed("layers.*.mlp.gate", "blk.*.ffn_gate"),
    renamed("layers.*.mlp.up", "blk.*.ffn_up"),
    renamed("layers.*.mlp.down", "blk.*.ffn_down"),
    renamed("layers.*.mlp.router", "blk.*.ffn_gate_inp"),
    expert("layers.*.mlp.experts.*.gate", "blk.*.ffn_gate_exps"),
    expert("layers.*.mlp.experts.*.up", "blk.*.ffn_up_exps"),
    expert("layers.*.mlp.experts.*.down", "blk.*.ffn_down_exps"),
    // As files of 2023 have it.
    renamed("layers.*.mlp.experts.*.gate", "blk.*.ffn_gate.*"),
    renamed("layers.*.mlp.experts.*.up", "blk.*.ffn_up.*"),
    renamed("layers.*.mlp.experts.*.down", "blk.*.ffn_down.*"),
    renamed("layers.*.mlp.shared_gate", "blk.*.ffn_gate_inp_shexp"),
    renamed("layers.*.mlp.shared.gate", "blk.*.ffn_gate_shexp"),
    renamed("layers.*.mlp.shared.up", "blk.*.ffn_up_shexp"),
    renamed("layers.*.mlp.shared.down", "blk.*.ffn_down_shexp"),
    renamed("score", "cls.output"),
];
