//! What the metadata of a tokenizer are made of.

use crate::source::gguf::GgufValue;

/// Metadata without their prefix.
pub(super) type Named = Vec<(&'static str, GgufValue)>;
/// Reasons are completed with the source by the caller.
pub(super) type Parsed<T> = std::result::Result<T, String>;

/// `llama_token_type` of llama.cpp.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}
