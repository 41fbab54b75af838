//! What the parts of Stable Diffusion and FLUX are called in the files of their makers, by diffusers' names.
//!
//! Reference: `single_file_utils.py` and `lora_conversion_utils.py` of diffusers.

mod flux;
mod rules;
mod unet;
mod vae;

pub(super) use flux::flux;
pub(super) use unet::unet;
pub(super) use vae::vae;
