//! The tokens at which an answer ends: `special_eog_ids` of llama.cpp (`llama-vocab.cpp`).

use std::collections::BTreeSet;

use crate::tokenizer::gguf::markers::NAMES;
use crate::tokenizer::gguf::metadata::{Metadata, Parsed};

/// The ids, ascending.
pub(super) fn of(metadata: &Metadata<'_>) -> Parsed<Vec<u32>> {
    let named = |name: &&str| metadata.id_of(name);
    let eos = metadata.special_id("eos")?.or_else(|| default_eos(metadata));
    let mut ends: BTreeSet<u32> = eos.into_iter().collect();
    for (key, names) in SPECIAL {
        ends.extend(metadata.special_id(key)?.or_else(|| names.iter().find_map(named)));
    }
    ends.extend(NAMES.iter().filter_map(named));
    for (removed, beside) in EXCEPTIONS {
        let is_end = |name: &&str| named(name).is_some_and(|id| ends.contains(&id));
        if beside.iter().all(|names| names.iter().any(is_end)) {
            metadata.id_of(removed).map(|id| ends.remove(&id));
        }
    }
    Ok(ends.into_iter().collect())
}

/// What llama.cpp takes for the end of a text where a file does not say.
fn default_eos(metadata: &Metadata<'_>) -> Option<u32> {
    let id = match metadata.model() {
        "gpt2" => 11,
        "llama" => 2,
        "t5" => 1,
        _ => return None,
    };
    (usize::try_from(id).ok()? < metadata.tokens.len()).then_some(id)
}

/// Tokens with a key of their own, and the names by which they are known where that is missing.
const SPECIAL: [(&str, &[&str]); 5] = [
    ("eot", &[]),
    ("eom", &[]),
    ("fim_pad", &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]),
    ("fim_rep", &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"]),
    ("fim_sep", &["<|file_sep|>"]),
];

/// Names that are no ends where, of each list, one is an end: there `<|end|>` ends a message inside the
/// answer, and `</s>` is text.
const EXCEPTIONS: [(&str, &[&[&str]]); 3] = [
    ("<|end|>", &[&["<|return|>"], &["<|call|>", "<|calls|>"]]),
    ("<|end|>", &[&["<|flush|>"], &["<|call|>", "<|calls|>"]]),
    ("</s>", &[&["<|tool_response>", "<|plamo:eos|>"]]),
];
