//! The parts of decoders and encoders, written once and used by every family.

pub mod activation;
pub mod alibi;
pub mod attention;
pub mod cache;
pub mod convolution;
pub mod experts;
pub mod globals;
pub mod layer;
pub mod mlp;
pub mod norm;
pub mod positions;
pub mod relative;
pub mod rope;
pub mod span;

#[cfg(feature = "audio")]
pub(crate) mod batch_norm;
#[cfg(any(feature = "audio", feature = "image"))]
pub(crate) mod convolution2d;
mod dense;
mod flash;
pub(crate) mod function;
#[cfg(any(feature = "audio", feature = "image"))]
pub(crate) mod group_norm;
pub(crate) mod lstm;
mod mask;
pub(crate) mod packed;
#[cfg(feature = "audio")]
pub(crate) mod parts;
#[cfg(any(feature = "audio", feature = "image"))]
pub(crate) mod picture;
#[cfg(feature = "audio")]
pub(crate) mod pieces;
#[cfg(feature = "image")]
pub(crate) mod pixels;
pub(crate) mod residual;
#[cfg(feature = "audio")]
pub(crate) mod snake;
mod step;
#[cfg(feature = "audio")]
pub(crate) mod transposed;
#[cfg(feature = "audio")]
pub(crate) mod weight_norm;

pub(crate) use step::{Shared, Step, Views};
