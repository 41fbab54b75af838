//! What a template makes of a conversation.

use std::ops::Range;

/// A rendered conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenderedChat {
    /// The text. Special tokens are in it: encode it without adding any.
    pub text: String,
    /// The spans that the template marks with `{% generation %}`: what the assistant said. The mask
    /// of the assistant's tokens is made from them.
    pub generations: Vec<GenerationSpan>,
}

/// A part of a rendered conversation that the model said. As in transformers, the place is wrong if
/// the template first keeps the part in a variable and writes it later.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GenerationSpan {
    /// In bytes of the text, and never beyond it.
    pub bytes: Range<usize>,
    /// In characters of the text, as transformers counts.
    pub chars: Range<usize>,
}
