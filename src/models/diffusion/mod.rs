//! Models that paint: the UNets of Stable Diffusion, the transformer of FLUX, and the autoencoders that make
//! pictures of their latents.
//!
//! Reference: diffusers 0.39. Checkpoints are folders as diffusers writes them.

mod attention;
mod flux;
mod flux_blocks;
mod layers;
mod layouts;
mod open;
mod tiles;
mod tiny_vae;
mod unet;
mod unet_config;
mod vae;

pub use flux::{FluxConfig, FluxInput, FluxTransformer};
pub use open::{Vae, open_flux, open_unet, open_vae};
pub use tiny_vae::{AutoencoderTiny, TinyVaeConfig};
pub use unet::{UNet, UNetInput};
pub use unet_config::{AddedConfig, BlockConfig, UNetConfig};
pub use vae::{AutoencoderKl, VaeConfig};
