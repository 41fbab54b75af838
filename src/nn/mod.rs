//! The parts of decoders and encoders, written once and used by every family.

pub mod activation;
pub mod alibi;
pub mod attention;
pub mod cache;
pub mod convolution;
pub mod experts;
pub mod layer;
pub mod mlp;
pub mod norm;
pub mod positions;
pub mod relative;
pub mod rope;
pub mod span;

mod dense;
mod flash;
#[cfg(feature = "audio")]
pub(crate) mod group_norm;
mod mask;
pub(crate) mod packed;
mod residual;
mod step;

pub(crate) use step::{Shared, Step, Views};
