//! The UNet of Stable Diffusion.

use crate::models::diffusion::layouts::rules::Rules;
use crate::models::diffusion::unet_config::UNetConfig;
use crate::weights::layout::Layout;

/// `convert_ldm_unet_checkpoint`.
pub(in crate::models::diffusion) fn unet(config: &UNetConfig, prefix: &str) -> Layout {
    let mut rules = Rules::default();
    for (theirs, ours) in ENDS {
        rules.all(theirs, ours);
    }
    let blocks = &config.blocks;
    let mut number = 1;
    for (block, shape) in blocks.iter().enumerate() {
        let ours = format!("down_blocks.{block}");
        for layer in 0..shape.layers {
            let theirs = format!("input_blocks.{number}");
            rules.resnet(&format!("{theirs}.0"), &format!("{ours}.resnets.{layer}"));
            if shape.attends {
                rules.all(format!("{theirs}.1"), format!("{ours}.attentions.{layer}"));
            }
            number += 1;
        }
        if block + 1 < blocks.len() {
            let theirs = format!("input_blocks.{number}.0.op");
            rules.all(theirs, format!("{ours}.downsamplers.0.conv"));
            number += 1;
        }
    }
    rules.resnet("middle_block.0", "mid_block.resnets.0");
    rules.all("middle_block.1", "mid_block.attentions.0");
    rules.resnet("middle_block.2", "mid_block.resnets.1");
    number = 0;
    for (block, shape) in blocks.iter().rev().enumerate() {
        let ours = format!("up_blocks.{block}");
        let attends = config.up_attends.get(block).copied().unwrap_or(false);
        for layer in 0..=shape.layers {
            let theirs = format!("output_blocks.{number}");
            rules.resnet(&format!("{theirs}.0"), &format!("{ours}.resnets.{layer}"));
            if attends {
                rules.all(format!("{theirs}.1"), format!("{ours}.attentions.{layer}"));
            }
            if layer == shape.layers && block + 1 < blocks.len() {
                let theirs = format!("{theirs}.{}.conv", 1 + usize::from(attends));
                rules.all(theirs, format!("{ours}.upsamplers.0.conv"));
            }
            number += 1;
        }
    }
    rules.layout(prefix)
}

impl Rules {
    fn resnet(&mut self, theirs: &str, ours: &str) {
        self.each(theirs, ours, &RESNET);
    }
}

const ENDS: [(&str, &str); 8] = [
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("time_embed.cond_proj", "time_embedding.cond_proj"),
    ("label_emb.0.0", "add_embedding.linear_1"),
    ("label_emb.0.2", "add_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
];

const RESNET: [(&str, &str); 6] = [
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
];
