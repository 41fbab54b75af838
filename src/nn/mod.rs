//! The pieces decoders and encoders are built from, written once and used by every family.

pub mod activation;
pub mod alibi;
pub mod attention;
pub mod cache;
pub mod experts;
pub mod mlp;
pub mod norm;
pub mod rope;

mod dense;
pub(crate) mod flash;
mod mask;
pub(crate) mod residual;
mod step;

pub(crate) use step::{Step, Views};
