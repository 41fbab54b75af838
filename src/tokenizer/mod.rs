//! Text to token ids and back.
//!
//! [`Tokenizer`] reads the tokenizer files of model repositories: `tokenizer.json` with its
//! companions (`tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json`), the older
//! formats (`vocab.txt`, `vocab.json` with `merges.txt`, SentencePiece `.model` and `.spm`, tiktoken's, Mistral's `tekken.json`), and the
//! vocabulary inside a GGUF file. Ids, texts and offsets are those of Python's fast tokenizers
//! (transformers 4.57).
//!
//! This folder is the only place that knows the `tokenizers` crate.
//!
//! ```no_run
//! use sconce::tokenizer::Tokenizer;
//!
//! let tokenizer = Tokenizer::open("HuggingFaceTB/SmolLM2-135M-Instruct")?;
//! let encoding = tokenizer.encode("Why is the sky blue?")?;
//! assert_eq!(tokenizer.decode(&encoding.ids, true)?, "Why is the sky blue?");
//! # Ok::<(), sconce::Error>(())
//! ```

pub mod chat;

mod backend;
mod batch;
mod bounded;
#[cfg(feature = "audio")]
mod characters;
mod charsmap;
mod class;
mod config;
mod conversation;
mod cuts;
mod decode;
mod encode;
mod encoding;
mod fields;
mod gguf;
mod language_codes;
mod languages;
mod load;
mod model_types;
mod named;
mod pattern;
mod pretokenizer;
mod processor;
mod ranks;
mod sentencepiece;
mod shared;
mod sketch;
mod slow;
mod special;
mod spm;
mod texts;
mod to_gguf;
mod tokenizer_json;
mod tokens;
mod translation;
mod truncation;
mod unconverted;
#[cfg(feature = "audio")]
mod unicode;
mod windows;
mod words;

pub use batch::{BatchEncoding, BatchOptions, Padding};
#[cfg(feature = "audio")]
pub use characters::CharacterTokenizer;
pub use conversation::EncodedChat;
pub use decode::DecodeStream;
#[cfg(feature = "audio")]
pub(crate) use decode::clean_up_spaces;
pub use encode::{EncodeOptions, TextInput};
pub use encoding::Encoding;
pub use shared::Tokenizer;
pub use special::{AddedToken, SpecialToken};
pub(crate) use to_gguf::gguf_metadata;
pub(crate) use truncation::Unfit;
pub use truncation::{Truncation, TruncationStrategy};
#[cfg(feature = "audio")]
pub(crate) use unicode::{composed, decomposed};
pub(crate) use windows::Windows;
pub(crate) use words::WordSplit;
