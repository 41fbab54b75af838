//! Hugging Face transformers for Rust, on candle, at two levels.
//!
//! **High level**: a [`Pipeline`] is a task in two lines, under Hugging Face's task names, options,
//! defaults and output fields.
//!
//! ```no_run
//! use sconce::{Pipeline, tokenizer::chat::Message};
//!
//! let chat = Pipeline::text_generation("HuggingFaceTB/SmolLM2-135M-Instruct").build()?;
//! for piece in chat.stream(&[Message::user("Why is the sky blue?")])? {
//!     print!("{}", piece?);
//! }
//! # Ok::<(), sconce::Error>(())
//! ```
//!
//! **Low level**: [`Tokenizer`](tokenizer::Tokenizer), [`AutoModel`](models::AutoModel) and
//! [`KvCache`](nn::cache::KvCache), for a generation loop of one's own.
//!
//! ```
//! use sconce::models::{AutoModel, LogitsAt};
//! use sconce::{LoadOptions, TokenBatch};
//!
//! let model = AutoModel::causal_lm("./tests/goldens/llama-gqa-tiny", &LoadOptions::default())?;
//! let mut cache = model.new_cache();
//! let prompt = TokenBatch::single(&[1, 2, 3])?;
//! let logits = model.forward(&prompt, &mut cache, LogitsAt::LastToken)?;
//! assert_eq!(logits.dims(), [1, model.limits().vocab]);
//! # Ok::<(), sconce::Error>(())
//! ```
//!
//! | floor | module | |
//! |---|---|---|
//! | 7 | [`pipeline`] | tasks |
//! | 6 | [`embeddings`] | sentence embeddings, search |
//! | 6 | [`generation`] | the step loop, sampling, stopping, streams |
//! | 5 | [`models`] | [`CausalLm`](models::CausalLm), `AutoModel`, the decoder |
//! | 4 | [`nn`] | attention, cache, rope, norms |
//! | 3 | [`tokenizer`], [`weights`] | text and ids, chat templates; named tensors |
//! | 2 | [`source`] | Hub, folder or GGUF file |
//!
//! How it is built and extended is told in the [`guide`].

pub mod batch;
pub mod embeddings;
pub mod error;
pub mod generation;
pub mod guide;
mod kernels;
pub mod models;
pub mod nn;
pub mod options;
pub mod pipeline;
mod read;
pub mod source;
pub mod tokenizer;
mod warning;
pub mod weights;

pub use candle_core::{DType, Device, Tensor};

pub use batch::TokenBatch;
pub use error::{Error, Result};
pub use options::{CachePrecision, LoadOptions, Precision, QuantLevel};
pub use pipeline::{Pipeline, Task};
pub use source::ModelSource;

/// README.md, so that its code is tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
