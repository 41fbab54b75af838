//! stub

pub mod batch;
pub mod error;
pub mod generation;
pub mod models;
pub mod nn;
pub mod options;
pub mod pipeline;
pub mod source;
pub mod tokenizer;
pub mod weights;

pub use candle_core::{DType, Device, Tensor};

pub use batch::TokenBatch;
pub use error::{Error, Result};
pub use options::{LoadOptions, Precision, QuantLevel};
pub use source::ModelSource;
