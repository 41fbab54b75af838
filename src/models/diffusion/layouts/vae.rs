//! The autoencoder of Stable Diffusion and FLUX.

use crate::models::diffusion::layouts::rules::{MOST_LAYERS, Rules};
use crate::models::diffusion::vae::VaeConfig;
use crate::weights::layout::Layout;

/// `convert_ldm_vae_checkpoint`.
pub(in crate::models::diffusion) fn vae(config: &VaeConfig, prefix: &str) -> Layout {
    let mut rules = Rules::default();
    for name in ["quant_conv", "post_quant_conv"] {
        rules.all(name, name);
    }
    let blocks = config.block_out_channels.len();
    for half in ["encoder", "decoder"] {
        rules.each(
            half,
            half,
            &[("conv_in", "conv_in"), ("norm_out", "conv_norm_out"), ("conv_out", "conv_out")],
        );
        let middle = (&format!("{half}.mid"), &format!("{half}.mid_block"));
        rules.block(&format!("{}.block_1", middle.0), &format!("{}.resnets.0", middle.1));
        rules.block(&format!("{}.block_2", middle.0), &format!("{}.resnets.1", middle.1));
        let attention = (format!("{}.attn_1", middle.0), format!("{}.attentions.0", middle.1));
        rules.each(&attention.0, &attention.1, &ATTENTION);
        let is_encoder = half == "encoder";
        for number in 0..blocks {
            let (theirs, ours, sampler) = match is_encoder {
                true => (format!("down.{number}"), "down_blocks", ("downsample", "downsamplers")),
                // Theirs count the finest first.
                false => {
                    (format!("up.{}", blocks - 1 - number), "up_blocks", ("upsample", "upsamplers"))
                }
            };
            let (theirs, ours) = (format!("{half}.{theirs}"), format!("{half}.{ours}.{number}"));
            for layer in 0..config.layers_per_block.min(MOST_LAYERS) + usize::from(!is_encoder) {
                rules.block(&format!("{theirs}.block.{layer}"), &format!("{ours}.resnets.{layer}"));
            }
            rules.all(
                format!("{theirs}.{}.conv", sampler.0),
                format!("{ours}.{}.0.conv", sampler.1),
            );
        }
    }
    rules.layout(prefix)
}

impl Rules {
    fn block(&mut self, theirs: &str, ours: &str) {
        self.each(theirs, ours, &RESNET);
    }
}

const RESNET: [(&str, &str); 5] = [
    ("norm1", "norm1"),
    ("conv1", "conv1"),
    ("norm2", "norm2"),
    ("conv2", "conv2"),
    ("nin_shortcut", "conv_shortcut"),
];

const ATTENTION: [(&str, &str); 5] =
    [("norm", "group_norm"), ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")];
