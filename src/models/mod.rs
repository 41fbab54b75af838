//! Models: config, immutable weights and a forward pass; all state lives in a cache.

#[cfg(feature = "audio")]
pub mod bark;
#[cfg(feature = "image")]
pub mod clip_text;
#[cfg(feature = "audio")]
pub mod codecs;
pub mod decoder;
#[cfg(feature = "image")]
pub mod diffusion;
pub mod encoder;
pub mod heads;
#[cfg(feature = "audio")]
pub mod music;
pub mod seq2seq;
#[cfg(feature = "audio")]
pub mod speech;
#[cfg(feature = "image")]
pub mod vision;

mod auto;
#[cfg(test)]
mod config_fields;
mod last_token;
mod memory;
mod raw_config;
mod save;
mod threads;
mod traits;

pub(crate) use auto::config_fields;
pub use auto::{AutoModel, FromFiles};
pub use memory::Memory;
pub use save::{save, save_with};
pub use seq2seq::Seq2SeqLm;
pub(crate) use traits::HeadOnBody;
pub(crate) use traits::same;
pub use traits::{
    Autoregressive, CausalLm, Checkpoint, Depth, EncoderTrace, LogitsAt, Model, ModelLimits,
    TextModel, Trace, TraceRequest,
};
