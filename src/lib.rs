#![doc = include_str!("guide/links.md")]
#![doc = include_str!("../README.md")]
//!
//! # Modules
//!
//! A module uses only the floors below it ([architecture]).
//!
//! | floor | module | |
//! |---|---|---|
//! | 9 | `minutes` (feature `audio`) | minutes of a meeting |
//! | 8 | [`pipeline`] | tasks |
//! | 7 | `sound` (feature `audio`) | text to sound: the loops of MusicGen and Bark |
//! | 7 | `speech` (feature `audio`) | speech to text: windows, times of words, transcripts |
//! | 7 | `remote` (feature `remote`) | services that speak OpenAI's HTTP interface |
//! | 6 | `diffusion` (feature `image`) | schedulers, pictures from texts |
//! | 6 | [`embeddings`] | sentence embeddings, search |
//! | 6 | [`generation`] | steps, sampling, stop rules, streams |
//! | 5 | [`models`] | [`CausalLm`](models::CausalLm), `AutoModel`, decoders, encoders and their heads |
//! | 4 | [`nn`] | attention, cache, rope, norms |
//! | 3 | [`tokenizer`], [`weights`] | text to ids and back, chat templates; named tensors |
//! | 3 | `audio` (feature `audio`) | audio files, samples, features |
//! | 3 | `image` (feature `image`) | picture files, pixels, what models that see read |
//! | 2 | [`source`] | Hub repository, folder or GGUF file |
//! | 0 | [`batch`], [`error`], [`options`] | what all floors share |
//! | 0 | [`random`] | the random numbers of torch |
//! | | [`guide`] | how to use and how to extend the crate |

#[cfg(feature = "audio")]
pub mod audio;
mod base64;
pub mod batch;
#[cfg(feature = "image")]
pub mod diffusion;
pub mod embeddings;
pub mod error;
mod fields;
mod fingerprint;
pub mod generation;
pub mod guide;
#[cfg(feature = "image")]
pub mod image;
mod kernels;
mod letters;
mod media;
#[cfg(feature = "audio")]
pub mod minutes;
pub mod models;
pub mod nn;
pub mod options;
pub mod pipeline;
mod quiet;
pub mod random;
mod read;
#[cfg(feature = "remote")]
pub mod remote;
#[cfg(feature = "audio")]
pub mod sound;
pub mod source;
#[cfg(feature = "audio")]
pub mod speech;
pub mod tokenizer;
mod warning;
pub mod weights;

pub use candle_core::{DType, Device, Tensor};

pub use batch::TokenBatch;
pub use error::{Error, Result};
pub use options::{Adapter, AdapterPlace, CachePrecision, LoadOptions, Precision, QuantLevel};
pub use pipeline::{Pipeline, Task};
pub use source::ModelSource;
