//! The UNet of Stable Diffusion as data.

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::source::ModelFiles;

/// `UNet2DConditionModel` of diffusers, except its weights.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UNetConfig {
    /// Channels of what goes in: 4, or 9 where a mask and a masked picture go in, too.
    pub in_channels: usize,
    /// Channels of what comes out.
    pub out_channels: usize,
    /// Latent pixels of a side that the model was trained with.
    pub sample_size: Option<usize>,
    /// The blocks on the way down, the finest first.
    pub blocks: Vec<BlockConfig>,
    /// Whether there is attention to the text in the way up, the coarsest first.
    pub up_attends: Vec<bool>,
    /// Groups of every group norm.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// Whether cosines stand before sines in the embedded time.
    pub flip_sin_to_cos: bool,
    /// By how much the lowest frequency of the embedded time is shifted.
    pub freq_shift: f64,
    /// What is added to the embedded time: SDXL.
    pub added: Option<AddedConfig>,
    /// Features of the embedded guidance: models made by latent consistency distillation.
    pub time_cond_proj_dim: Option<usize>,
}

/// One resolution of the UNet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockConfig {
    /// Channels that come out.
    pub channels: usize,
    /// Residual blocks on the way down; there is one more on the way up.
    pub layers: usize,
    /// Whether pixels attend to the text on the way down.
    pub attends: bool,
    /// Heads of attention.
    pub heads: usize,
    /// Layers of attention behind each residual block.
    pub depth: usize,
    /// Features of a token of the text.
    pub text: usize,
}

/// What SDXL adds to the embedded time: the text's pooled vector and six sizes, or those of its refiner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddedConfig {
    /// Features of each size.
    pub size: usize,
    /// Features of all of them and of the pooled vector together.
    pub inputs: usize,
}

impl UNetConfig {
    /// Reads `config.json` with the defaults of diffusers' class.
    pub(crate) fn read(files: &ModelFiles) -> Result<Self> {
        let (fields, path) = files.required_json::<Fields>("config.json", "the UNet's sizes")?;
        fields.config().map_err(|reason| Error::malformed(path, reason))
    }
}

/// A number, or one for each block.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "a whole number of at least 0, or a list of them")]
enum Each {
    All(usize),
    Each(Vec<usize>),
}

impl Each {
    fn of(&self, number: usize) -> Option<usize> {
        match self {
            Self::All(all) => Some(*all),
            Self::Each(each) => each.get(number).copied(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Fields {
    in_channels: usize,
    out_channels: usize,
    sample_size: Option<usize>,
    block_out_channels: Vec<usize>,
    down_block_types: Vec<String>,
    up_block_types: Vec<String>,
    mid_block_type: Option<String>,
    layers_per_block: Each,
    attention_head_dim: Each,
    num_attention_heads: Option<Each>,
    cross_attention_dim: Each,
    transformer_layers_per_block: Each,
    norm_num_groups: usize,
    norm_eps: f64,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    addition_embed_type: Option<String>,
    addition_time_embed_dim: Option<usize>,
    projection_class_embeddings_input_dim: Option<usize>,
    time_cond_proj_dim: Option<usize>,
    act_fn: String,
    class_embed_type: Option<String>,
    encoder_hid_dim_type: Option<String>,
    time_embedding_type: String,
    resnet_time_scale_shift: String,
    conv_in_kernel: usize,
    conv_out_kernel: usize,
    downsample_padding: usize,
    mid_block_scale_factor: f64,
    resnet_out_scale_factor: f64,
    center_input_sample: bool,
    dual_cross_attention: bool,
    only_cross_attention: bool,
}

impl Default for Fields {
    fn default() -> Self {
        let names = |names: [&str; 4]| names.map(str::to_owned).to_vec();
        Self {
            in_channels: 4,
            out_channels: 4,
            sample_size: None,
            block_out_channels: vec![320, 640, 1280, 1280],
            down_block_types: names([ATTENDS_DOWN, ATTENDS_DOWN, ATTENDS_DOWN, DOWN]),
            up_block_types: names([UP, ATTENDS_UP, ATTENDS_UP, ATTENDS_UP]),
            mid_block_type: Some("UNetMidBlock2DCrossAttn".to_owned()),
            layers_per_block: Each::All(2),
            attention_head_dim: Each::All(8),
            num_attention_heads: None,
            cross_attention_dim: Each::All(1280),
            transformer_layers_per_block: Each::All(1),
            norm_num_groups: 32,
            norm_eps: 1e-5,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            addition_embed_type: None,
            addition_time_embed_dim: None,
            projection_class_embeddings_input_dim: None,
            time_cond_proj_dim: None,
            act_fn: "silu".to_owned(),
            class_embed_type: None,
            encoder_hid_dim_type: None,
            time_embedding_type: "positional".to_owned(),
            resnet_time_scale_shift: "default".to_owned(),
            conv_in_kernel: 3,
            conv_out_kernel: 3,
            downsample_padding: 1,
            mid_block_scale_factor: 1.0,
            resnet_out_scale_factor: 1.0,
            center_input_sample: false,
            dual_cross_attention: false,
            only_cross_attention: false,
        }
    }
}

/// No UNet has so many layers in a block.
const MOST_LAYERS: usize = 256;

const DOWN: &str = "DownBlock2D";
const UP: &str = "UpBlock2D";
const ATTENDS_DOWN: &str = "CrossAttnDownBlock2D";
const ATTENDS_UP: &str = "CrossAttnUpBlock2D";

impl Fields {
    fn config(self) -> std::result::Result<UNetConfig, String> {
        self.check()?;
        let attends = |types: &[String], plain: &str, attending: &str| {
            types
                .iter()
                .map(|kind| match kind {
                    kind if kind == plain => Ok(false),
                    kind if kind == attending => Ok(true),
                    kind => Err(format!("a block {kind:?}; {plain} and {attending} are supported")),
                })
                .collect::<std::result::Result<Vec<_>, _>>()
        };
        let down = attends(&self.down_block_types, DOWN, ATTENDS_DOWN)?;
        let up_attends = attends(&self.up_block_types, UP, ATTENDS_UP)?;
        let count = self.block_out_channels.len();
        if count == 0 || down.len() != count || up_attends.len() != count {
            return Err("`block_out_channels`, `down_block_types` and `up_block_types` should be \
                        of one length"
                .to_owned());
        }
        let each = |name: &str, field: &Each, number: usize| {
            field.of(number).ok_or_else(|| format!("`{name}` should have {count} numbers"))
        };
        let mut blocks = Vec::with_capacity(count);
        for (number, (&channels, attends)) in self.block_out_channels.iter().zip(down).enumerate() {
            let heads = self.num_attention_heads.as_ref().unwrap_or(&self.attention_head_dim);
            blocks.push(BlockConfig {
                channels,
                layers: each("layers_per_block", &self.layers_per_block, number)?,
                attends,
                // Diffusers takes `attention_head_dim` for the number of heads, and checkpoints rely on it.
                heads: each("attention_head_dim", heads, number)?,
                depth: each(
                    "transformer_layers_per_block",
                    &self.transformer_layers_per_block,
                    number,
                )?,
                text: each("cross_attention_dim", &self.cross_attention_dim, number)?,
            });
            let block = &blocks[number];
            let is_read = block.attends || number + 1 == count;
            for (name, layers, is_read) in [
                ("layers_per_block", block.layers, true),
                ("transformer_layers_per_block", block.depth, is_read),
            ] {
                if layers > MOST_LAYERS || (is_read && layers == 0) {
                    return Err(format!("`{name}` is {layers}; it should be 1 to {MOST_LAYERS}"));
                }
            }
        }
        let added = match self.addition_embed_type.as_deref() {
            None => None,
            Some(_) => {
                match (self.addition_time_embed_dim, self.projection_class_embeddings_input_dim) {
                    (Some(size), Some(inputs))
                        if size == 0 || size.checked_mul(5).is_none_or(|sizes| sizes >= inputs) =>
                    {
                        return Err("five times `addition_time_embed_dim` should be less than \
                                    `projection_class_embeddings_input_dim`"
                            .to_owned());
                    }
                    (Some(size), Some(inputs)) => Some(AddedConfig { size, inputs }),
                    _ => {
                        return Err("`addition_time_embed_dim` and \
                                `projection_class_embeddings_input_dim` should be there with \
                                `addition_embed_type`"
                            .to_owned());
                    }
                }
            }
        };
        Ok(UNetConfig {
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            sample_size: self.sample_size,
            blocks,
            up_attends,
            groups: self.norm_num_groups,
            eps: self.norm_eps,
            flip_sin_to_cos: self.flip_sin_to_cos,
            freq_shift: self.freq_shift,
            added,
            time_cond_proj_dim: self.time_cond_proj_dim,
        })
    }

    /// Refuses what no known checkpoint of Stable Diffusion has.
    fn check(&self) -> std::result::Result<(), String> {
        let is_one_of = |name: &str, found: Option<&str>, known: &[&str]| match found {
            Some(found) if !known.contains(&found) => {
                Err(format!("`{name}` is {found:?}, which is not supported"))
            }
            _ => Ok(()),
        };
        is_one_of("act_fn", Some(&self.act_fn), &["silu", "swish"])?;
        is_one_of("addition_embed_type", self.addition_embed_type.as_deref(), &["text_time"])?;
        is_one_of("class_embed_type", self.class_embed_type.as_deref(), &[])?;
        is_one_of("encoder_hid_dim_type", self.encoder_hid_dim_type.as_deref(), &[])?;
        is_one_of("time_embedding_type", Some(&self.time_embedding_type), &["positional"])?;
        let scale_shift = Some(self.resnet_time_scale_shift.as_str());
        is_one_of("resnet_time_scale_shift", scale_shift, &["default"])?;
        let middle = self.mid_block_type.as_deref();
        is_one_of("mid_block_type", Some(middle.unwrap_or("null")), &["UNetMidBlock2DCrossAttn"])?;
        for (name, is_plain) in [
            ("conv_in_kernel", self.conv_in_kernel == 3),
            ("conv_out_kernel", self.conv_out_kernel == 3),
            ("downsample_padding", self.downsample_padding == 1),
            ("mid_block_scale_factor", self.mid_block_scale_factor == 1.0),
            ("resnet_out_scale_factor", self.resnet_out_scale_factor == 1.0),
            ("center_input_sample", !self.center_input_sample),
            ("dual_cross_attention", !self.dual_cross_attention),
            ("only_cross_attention", !self.only_cross_attention),
        ] {
            if !is_plain {
                return Err(format!("`{name}` is not diffusers' default, which is not supported"));
            }
        }
        Ok(())
    }
}
