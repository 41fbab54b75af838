//! The transformer of FLUX.

use crate::models::diffusion::flux::FluxConfig;
use crate::models::diffusion::layouts::rules::{MOST_LAYERS, Rules};
use crate::weights::layout::{Layout, MovedPart};

/// `convert_flux_transformer_checkpoint_to_diffusers`.
pub(in crate::models::diffusion) fn flux(config: &FluxConfig, prefix: &str) -> Layout {
    let size = config.num_attention_heads.saturating_mul(config.attention_head_dim);
    let mut rules = Rules::default();
    for (theirs, ours) in ENDS {
        rules.all(theirs, ours);
    }
    // Shift before scale there, and scale before shift here.
    rules.part("final_layer.adaLN_modulation.1", "norm_out.linear", MovedPart::HalvesSwapped);
    for number in 0..config.num_layers.min(MOST_LAYERS) {
        let (theirs, ours) =
            (&format!("double_blocks.{number}"), &format!("transformer_blocks.{number}"));
        rules.each(theirs, ours, &DOUBLE);
        for (fused, parts) in [
            ("img_attn.qkv", ["to_q", "to_k", "to_v"]),
            ("txt_attn.qkv", ["add_q_proj", "add_k_proj", "add_v_proj"]),
        ] {
            let parts = parts.map(|part| (format!("{ours}.attn.{part}"), size));
            rules.fused(&format!("{theirs}.{fused}"), &parts);
        }
    }
    for number in 0..config.num_single_layers.min(MOST_LAYERS) {
        let (theirs, ours) =
            (&format!("single_blocks.{number}"), &format!("single_transformer_blocks.{number}"));
        rules.each(theirs, ours, &SINGLE);
        let part = |name: &str, rows: usize| (format!("{ours}.{name}"), rows);
        let parts = [
            part("attn.to_q", size),
            part("attn.to_k", size),
            part("attn.to_v", size),
            part("proj_mlp", size.saturating_mul(4)),
        ];
        rules.fused(&format!("{theirs}.linear1"), &parts);
        // What XLabs's LoRA has of it.
        rules.fused(&format!("{theirs}.qkv"), &parts[..3]);
    }
    rules.layout(prefix)
}

const ENDS: [(&str, &str); 9] = [
    ("img_in", "x_embedder"),
    ("txt_in", "context_embedder"),
    ("time_in.in_layer", "time_text_embed.timestep_embedder.linear_1"),
    ("time_in.out_layer", "time_text_embed.timestep_embedder.linear_2"),
    ("guidance_in.in_layer", "time_text_embed.guidance_embedder.linear_1"),
    ("guidance_in.out_layer", "time_text_embed.guidance_embedder.linear_2"),
    ("vector_in.in_layer", "time_text_embed.text_embedder.linear_1"),
    ("vector_in.out_layer", "time_text_embed.text_embedder.linear_2"),
    ("final_layer.linear", "proj_out"),
];

const DOUBLE: [(&str, &str); 12] = [
    ("img_mod.lin", "norm1.linear"),
    ("txt_mod.lin", "norm1_context.linear"),
    ("img_attn.norm.query_norm.scale", "attn.norm_q.weight"),
    ("img_attn.norm.key_norm.scale", "attn.norm_k.weight"),
    ("txt_attn.norm.query_norm.scale", "attn.norm_added_q.weight"),
    ("txt_attn.norm.key_norm.scale", "attn.norm_added_k.weight"),
    ("img_attn.proj", "attn.to_out.0"),
    ("txt_attn.proj", "attn.to_add_out"),
    ("img_mlp.0", "ff.net.0.proj"),
    ("img_mlp.2", "ff.net.2"),
    ("txt_mlp.0", "ff_context.net.0.proj"),
    ("txt_mlp.2", "ff_context.net.2"),
];

const SINGLE: [(&str, &str); 4] = [
    ("modulation.lin", "norm.linear"),
    ("linear2", "proj_out"),
    ("norm.query_norm.scale", "attn.norm_q.weight"),
    ("norm.key_norm.scale", "attn.norm_k.weight"),
];
