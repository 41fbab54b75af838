#![doc = include_str!("../../docs/loading.md")]

mod adapted;
mod adapters;
mod blocks;
mod convert;
mod elements;
mod embedding;
mod gguf;
mod inventory;
mod layers;
pub(crate) mod layout;
mod linear;
mod low_rank;
pub(crate) mod names;
mod open;
mod outcome;
mod plan;
mod quantized;
mod safetensors;
mod save;
pub(crate) mod slices;
mod store;
mod torch;
mod view;

pub use embedding::Embedding;
pub use inventory::{Inventory, Item, Role};
pub use layers::Bias;
pub use linear::Linear;
pub use names::NameTable;
pub(crate) use outcome::check;
#[cfg(feature = "image")]
pub(crate) use outcome::check_adapters;
pub(crate) use save::{Order, Outgoing, Part, Progress, refuse_adapted, save, write_gguf};
#[cfg(feature = "audio")]
pub(crate) use torch::saved_tensor;
pub use view::Weights;
