//! Names of tokens that end answers.

/// Whether a token of this text ends answers whatever type the file gives it. `</s>` is left to the
/// file: many vocabularies have it as a piece of ordinary text.
pub(super) fn is_marker(token: &str) -> bool {
    token != "</s>" && NAMES.contains(&token)
}

/// Ends by their name.
pub(super) const NAMES: [&str; 22] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];
