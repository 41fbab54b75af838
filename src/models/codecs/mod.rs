//! Codecs: sound to codes and back.

mod chunked;
mod common;
mod dac;
mod encodec;
mod in_pieces;
mod mimi;
mod pieces;
mod quantizer;
mod seanet;
mod traits;
mod transformer;

use std::sync::Arc;

pub use dac::Dac;
pub use encodec::{Encodec, EncodecConfig};
pub use mimi::Mimi;
pub use pieces::CodecState;
pub use seanet::{Padding, SeanetConfig, SeanetNorm, Shortcut, Sight};
pub use traits::{CodeChunk, Codec, CodecLayout, Codes};

use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::threads::Threads;
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::weights::{NameTable, Weights};

/// The codec that a config names, from a view of a checkpoint.
pub(in crate::models) fn of_weights(
    raw: &RawConfig,
    weights: &Weights,
    threads: Threads,
) -> Result<Arc<dyn Codec>> {
    match raw.model_type()? {
        "encodec" => Ok(Arc::new(Encodec::load(raw, weights, threads)?)),
        "dac" => Ok(Arc::new(Dac::load(raw, weights, threads)?)),
        "mimi" => Ok(Arc::new(Mimi::load(raw, weights, threads)?)),
        name => Err(Error::unsupported(format!(
            "{} is of the architecture {name:?}, which is not known as a codec; supported are \
             {NAMES:?}",
            raw.origin().display()
        ))),
    }
}

/// The codec of an opened source.
pub(in crate::models) fn from_files(
    files: &ModelFiles,
    options: &LoadOptions,
) -> Result<Arc<dyn Codec>> {
    let raw = RawConfig::read(files)?;
    let weights = Weights::open(files, NameTable::stored_names(), options)?;
    let codec = of_weights(&raw, &weights, Threads::new(options.threads)?)?;
    crate::weights::check(codec.inventory(), options)?;
    Ok(codec)
}

const NAMES: &[&str] = &["dac", "encodec", "mimi"];
