//! What the encoder is called in the files of Stable Diffusion's makers.
//!
//! Reference: `convert_ldm_clip_checkpoint` and `convert_open_clip_checkpoint` of diffusers.

use crate::models::clip_text::config::ClipTextConfig;
use crate::weights::layout::{Layout, Moved, MovedPart};

/// A CLIP by transformers' names, with something before them.
pub(super) fn clip(prefix: &str) -> Layout {
    let theirs = format!("{prefix}text_model");
    Layout::new(vec![Moved { theirs, ours: "text_model".to_owned(), part: MovedPart::All }])
}

/// A CLIP by OpenCLIP's names.
pub(super) fn open_clip(config: &ClipTextConfig, is_projected: bool, prefix: &str) -> Layout {
    let mut rules = Vec::new();
    let mut rule = |theirs: String, ours: String, part| {
        rules.push(Moved { theirs: format!("{prefix}{theirs}"), ours, part });
    };
    let embeddings = "text_model.embeddings";
    for (theirs, ours) in [
        ("positional_embedding", format!("{embeddings}.position_embedding.weight")),
        ("token_embedding", format!("{embeddings}.token_embedding")),
        ("ln_final", "text_model.final_layer_norm".to_owned()),
    ] {
        rule(theirs.to_owned(), ours, MovedPart::All);
    }
    if is_projected {
        let ours = "text_projection.weight".to_owned();
        rule("text_projection".to_owned(), ours, MovedPart::Transposed);
    }
    let rows = config.encoder.hidden_size;
    for number in 0..config.encoder.layers.len() {
        let theirs = format!("transformer.resblocks.{number}");
        let ours = format!("text_model.encoder.layers.{number}");
        for (end, our_end) in LAYER {
            rule(format!("{theirs}.{end}"), format!("{ours}.{our_end}"), MovedPart::All);
        }
        for end in ["weight", "bias"] {
            for (at, part) in ["q", "k", "v"].into_iter().enumerate() {
                let range = at * rows..(at + 1) * rows;
                let ours = format!("{ours}.self_attn.{part}_proj.{end}");
                let part = MovedPart::Rows(range, 3 * rows);
                rule(format!("{theirs}.attn.in_proj_{end}"), ours, part);
            }
        }
    }
    Layout::new(rules)
}

const LAYER: [(&str, &str); 5] = [
    ("ln_1", "layer_norm1"),
    ("ln_2", "layer_norm2"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
    ("attn.out_proj", "self_attn.out_proj"),
];
