//! The fields of `tokenizer_config.json` that are read, and what each must be.

use serde_json::{Map, Value};

use crate::tokenizer::class::content;
use crate::tokenizer::named::{ADDITIONAL, EXTRA};

/// What a field holds; `null` is taken everywhere.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Flag,
    Number,
    /// `left` or `right`.
    Side,
    Text,
    /// A list of texts.
    Texts,
    /// A text, or an object with `content`.
    Token,
    /// A list of tokens.
    Tokens,
    /// Tokens by name, or a list of them.
    NamedTokens,
}

/// Every field but `added_tokens_decoder` and `chat_template`, which say themselves what is wrong.
pub(super) const FIELDS: &[(&str, Kind)] = &[
    ("add_bos_token", Kind::Flag),
    ("add_eos_token", Kind::Flag),
    ("add_prefix_space", Kind::Flag),
    (ADDITIONAL, Kind::Tokens),
    ("bos_token", Kind::Token),
    ("clean_up_tokenization_spaces", Kind::Flag),
    ("cls_token", Kind::Token),
    ("do_basic_tokenize", Kind::Flag),
    ("do_lower_case", Kind::Flag),
    ("eos_token", Kind::Token),
    ("eot_token", Kind::Token),
    ("extra_ids", Kind::Number),
    (EXTRA, Kind::NamedTokens),
    ("fast_tokenizer_files", Kind::Texts),
    ("keep_accents", Kind::Flag),
    ("language_codes", Kind::Text),
    ("legacy", Kind::Flag),
    ("legacy_behaviour", Kind::Flag),
    ("mask_token", Kind::Token),
    ("mask_token_sent", Kind::Token),
    ("max_len", Kind::Number),
    ("middle_token", Kind::Token),
    ("model_input_names", Kind::Texts),
    ("model_max_length", Kind::Number),
    ("model_specific_special_tokens", Kind::NamedTokens),
    ("offset", Kind::Number),
    ("pad_token", Kind::Token),
    ("padding_side", Kind::Side),
    ("prefix_token", Kind::Token),
    ("question_token", Kind::Token),
    ("sep_token", Kind::Token),
    ("separate_vocabs", Kind::Flag),
    ("split_by_punct", Kind::Flag),
    ("split_special_tokens", Kind::Flag),
    ("src_lang", Kind::Text),
    ("strip_accents", Kind::Flag),
    ("suffix_token", Kind::Token),
    ("tgt_lang", Kind::Text),
    ("tokenize_chinese_chars", Kind::Flag),
    ("tokenizer_class", Kind::Text),
    ("trim_offsets", Kind::Flag),
    ("truncation_side", Kind::Side),
    ("unk_token", Kind::Token),
];

impl Kind {
    fn fits(self, value: &Value) -> bool {
        let all =
            |fits: fn(&Value) -> bool| value.as_array().is_some_and(|list| list.iter().all(fits));
        let is_token = |value: &Value| content(value).is_some();
        match self {
            Self::Flag => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::Side => matches!(value.as_str(), Some("left" | "right")),
            Self::Text => value.is_string(),
            Self::Texts => all(Value::is_string),
            Self::Token => is_token(value),
            Self::Tokens => all(is_token),
            Self::NamedTokens => match value {
                Value::Object(tokens) => tokens.values().all(is_token),
                _ => all(is_token),
            },
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Number => "a number",
            Self::Side => "\"left\" or \"right\"",
            Self::Text => "a text",
            Self::Texts => "a list of texts",
            Self::Token => "a text or an object with `content`",
            Self::Tokens => "a list of texts or of objects with `content`",
            Self::NamedTokens => "tokens by name or a list of tokens",
        }
    }
}

/// Checks the fields of a file; the error names the wrong one.
pub(super) fn check(fields: &Map<String, Value>) -> Result<(), String> {
    for &(name, kind) in FIELDS {
        match fields.get(name) {
            Some(value) if !value.is_null() && !kind.fits(value) => {
                return Err(format!("`{name}` is {value}; it must be {}", kind.wanted()));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_tells_of_every_field() {
        let guide = include_str!("../../docs/tokenizers.md");
        for (name, _) in FIELDS {
            assert!(
                guide.contains(&format!("`{name}`")),
                "docs/tokenizers.md does not tell of {name}"
            );
        }
    }
}
