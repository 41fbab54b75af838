//! CLAP's config.json, with the defaults of `configuration_clap.py` of transformers.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::speech::patches::PatchConfig;
use crate::nn::activation::Activation;
use crate::nn::norm::NormConfig;

/// The half that hears: HTSAT, a Swin transformer over the spectrogram as a picture.
#[derive(Debug, Clone)]
pub(super) struct AudioConfig {
    /// Values of a frame.
    pub(super) mels: usize,
    /// Rows and columns of the picture.
    pub(super) side: usize,
    /// Parts of the time that lie one above the other in the picture.
    pub(super) ratio: usize,
    pub(super) patches: PatchConfig,
    pub(super) has_patch_norm: bool,
    /// The width of the layers by which views are fused, where they are.
    pub(super) fusion: Option<usize>,
    pub(super) stages: Vec<StageConfig>,
    pub(super) window: usize,
    pub(super) layer: LayerShape,
}

/// What all layers have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayerShape {
    pub(super) norm: NormConfig,
    pub(super) mlp_ratio: f64,
    pub(super) activation: Activation,
    pub(super) has_qkv_bias: bool,
}

/// Layers over a grid of vectors, which halves both sides of it for the next stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct StageConfig {
    pub(super) grid: [usize; 2],
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) heads: usize,
}

/// From either half to the space of both.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProjectionConfig {
    pub(super) size: usize,
    pub(super) activation: Activation,
}

impl AudioConfig {
    pub(super) fn read(raw: &RawConfig) -> Result<Self> {
        let size = |field, default| Ok::<_, Error>(raw.optional_size(field)?.unwrap_or(default));
        let (mels, side) = (size("num_mel_bins", 64)?, size("spec_size", 256)?);
        let ratio = side / mels.max(1);
        if ratio == 0 || side != ratio * mels {
            let reason = format!("it should be a multiple of `num_mel_bins`, {mels}");
            return Err(raw.refuse("spec_size", reason));
        }
        let kernel = pair(raw, "patch_size", 4)?;
        let stride = pair(raw, "patch_stride", 4)?;
        if [0, 1].iter().any(|&axis| stride[axis] == 0 || kernel[axis] < stride[axis]) {
            return Err(raw.refuse("patch_stride", "it should be from 1 to `patch_size`"));
        }
        let padding = [0, 1].map(|axis| (kernel[axis] - stride[axis]) / 2);
        let channels = size("patch_embeds_hidden_size", 96)?;
        let patches = PatchConfig { kernel, stride, padding, channels };
        let grid = patches.grid([side; 2]);
        if grid != stride.map(|stride| side / stride) || grid.contains(&0) {
            return Err(raw.refuse("patch_size", "the patches do not fill the picture"));
        }
        if size("patch_embed_input_channels", 1)? != 1 {
            return Err(raw.refuse("patch_embed_input_channels", "sound has one channel"));
        }
        if !raw.flag("flatten_patch_embeds", true)? {
            return Err(raw.refuse("flatten_patch_embeds", "layers read patches one by one"));
        }
        let is_fused = raw.flag("enable_fusion", false)?;
        if is_fused && raw.text("fusion_type")? == Some("channel_map") {
            return Err(raw.refuse("fusion_type", "the reference cannot run such models either"));
        }
        Ok(Self {
            mels,
            side,
            ratio,
            patches,
            has_patch_norm: raw.flag("enable_patch_layer_norm", true)?,
            fusion: match is_fused {
                true => Some((channels / size("aff_block_r", 4)?.max(1)).max(1)),
                false => None,
            },
            stages: stages(raw, grid, channels)?,
            window: size("window_size", 8)?,
            layer: LayerShape {
                norm: NormConfig::Layer { eps: raw.epsilon("layer_norm_eps", 1e-5)? },
                mlp_ratio: raw.number("mlp_ratio", 4.0)?,
                activation: raw.activation("hidden_act", "gelu")?,
                has_qkv_bias: raw.flag("qkv_bias", true)?,
            },
        })
    }

    /// The width of the last stage.
    pub(super) fn width(&self) -> usize {
        self.stages.last().map_or(0, |stage| stage.width)
    }

    /// The most frames that the picture has room for.
    pub(super) fn most_frames(&self) -> usize {
        self.side * self.ratio
    }
}

impl ProjectionConfig {
    pub(super) fn read(raw: &RawConfig) -> Result<Self> {
        Ok(Self {
            size: raw.optional_size("projection_dim")?.unwrap_or(512),
            activation: raw.plain_activation("projection_hidden_act", "relu")?,
        })
    }
}

/// The stages, of which each but the last halves its grid.
fn stages(raw: &RawConfig, grid: [usize; 2], channels: usize) -> Result<Vec<StageConfig>> {
    let depths = sizes(raw, "depths", &[2, 2, 6, 2])?;
    let heads = sizes(raw, "num_attention_heads", &[4, 8, 16, 32])?;
    if depths.is_empty() || depths.len() > MOST_STAGES || heads.len() < depths.len() {
        return Err(raw.refuse("depths", "there should be a number of heads for each stage"));
    }
    let window = raw.optional_size("window_size")?.unwrap_or(8);
    let mut stages = Vec::with_capacity(depths.len());
    for (number, (&depth, &heads)) in depths.iter().zip(&heads).enumerate() {
        let (parts, width) = (1 << number, channels.saturating_mul(1 << number));
        if heads == 0 || !width.is_multiple_of(heads) {
            let reason = format!("{heads} should divide the width of its stage, {width}");
            return Err(raw.refuse("num_attention_heads", reason));
        }
        let is_last = number + 1 == depths.len();
        if grid.iter().any(|side| side % parts != 0 || (!is_last && side % (2 * parts) != 0)) {
            return Err(raw.refuse("depths", "the grid of patches cannot be halved so often"));
        }
        let grid = grid.map(|side| side / parts);
        if window == 0 || grid.iter().any(|&side| side < window) {
            return Err(raw.refuse("window_size", format!("stage {number} is smaller")));
        }
        stages.push(StageConfig { grid, width, depth, heads });
    }
    Ok(stages)
}

/// A number for both axes, or one for each.
fn pair(raw: &RawConfig, field: &str, default: usize) -> Result<[usize; 2]> {
    match raw.value(field) {
        Some(Value::Array(_)) => match sizes(raw, field, &[])?.as_slice() {
            &[rows, columns] => Ok([rows, columns]),
            _ => Err(raw.refuse(field, "it should be a number or two")),
        },
        _ => Ok([raw.optional_size(field)?.unwrap_or(default); 2]),
    }
}

fn sizes(raw: &RawConfig, field: &str, default: &[usize]) -> Result<Vec<usize>> {
    let Some(numbers) = raw.numbers(field)? else { return Ok(default.to_vec()) };
    let size = |number: f32| {
        let is_size = number.fract() == 0.0 && (0.0..=LARGEST).contains(&number);
        is_size.then_some(number as usize)
    };
    let sizes: Option<Vec<usize>> = numbers.into_iter().map(size).collect();
    sizes.ok_or_else(|| raw.refuse(field, "these should be whole numbers"))
}

/// No model comes near.
const MOST_STAGES: usize = 16;
const LARGEST: f32 = 65_536.0;
