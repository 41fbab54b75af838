//! Special tokens as the files beside the vocabulary give them.
//!
//! Source: `SpecialTokensMixin` and `_set_model_specific_special_tokens`.

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::tokenizer::class::{Class, content};

/// The roles that every tokenizer has, in transformers' order.
pub(super) const NAMES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The role of the tokens that have no name of their own.
pub(super) const ADDITIONAL: &str = "additional_special_tokens";

/// Model-specific names in transformers 4, more additional tokens in transformers 5.
pub(super) const EXTRA: &str = "extra_special_tokens";

/// A special token.
pub(super) struct Named {
    /// Its role: one of [`NAMES`], [`ADDITIONAL`], or the model's own such as `image_token`.
    pub(super) name: String,
    pub(super) content: String,
    /// Its properties, where it is given with any.
    pub(super) given: Option<GivenToken>,
    /// Whether no file names it.
    pub(super) is_default: bool,
}

impl Named {
    pub(super) fn by_default(name: &str, content: impl Into<String>) -> Self {
        Self { name: name.to_owned(), content: content.into(), given: None, is_default: true }
    }

    fn read(name: &str, value: &Value) -> Option<Self> {
        let given = GivenToken::read(value);
        Some(Self { name: name.to_owned(), content: content(value)?, given, is_default: false })
    }
}

/// A token given with its properties.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct GivenToken {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    normalized: Option<bool>,
    #[serde(default)]
    pub(super) special: bool,
}

impl GivenToken {
    /// None where the value is mere text.
    pub(super) fn read(value: &Value) -> Option<Self> {
        value.is_object().then(|| Self::deserialize(value).ok())?
    }

    pub(super) fn text(content: String) -> Self {
        let (single_word, lstrip, rstrip) = (false, false, false);
        Self { content, single_word, lstrip, rstrip, normalized: None, special: false }
    }

    pub(super) fn content(&self) -> &str {
        &self.content
    }

    pub(super) fn token(&self, special: bool) -> AddedToken {
        AddedToken::from(self.content.clone(), special)
            .single_word(self.single_word)
            .lstrip(self.lstrip)
            .rstrip(self.rstrip)
            .normalized(self.normalized.unwrap_or(!special))
    }
}

/// All special tokens that the class and the fields of `tokenizer_config.json` name.
pub(super) fn special_tokens(class: Class, fields: &Map<String, Value>) -> Vec<Named> {
    let classic =
        NAMES.iter().zip(class.special_tokens()).filter_map(|(name, default)| {
            match fields.get(*name) {
                Some(value) => Named::read(name, value),
                None => (!default.is_empty()).then(|| Named::by_default(name, default)),
            }
        });
    let mut tokens: Vec<_> = classic.collect();
    let lists = [ADDITIONAL, EXTRA].map(|key| fields.get(key).and_then(Value::as_array));
    let given: Vec<_> = lists
        .iter()
        .flatten()
        .copied()
        .flatten()
        .filter_map(|value| Named::read(ADDITIONAL, value))
        .collect();
    let texts: Vec<_> = given.iter().map(|token| token.content.clone()).collect();
    let is_given = lists.iter().any(Option::is_some);
    let (before, after) = class.additional(is_given.then_some(&texts), |key| fields.get(key));
    let own = |text: String| Named::by_default(ADDITIONAL, text);
    let given = given.into_iter().filter(|token| !before.contains(&token.content));
    let given: Vec<_> = given.collect();
    tokens.extend(before.into_iter().map(own));
    tokens.extend(given);
    tokens.extend(after.into_iter().map(own));
    for (name, value) in model_specific(fields) {
        tokens.extend(Named::read(name, value));
    }
    tokens
}

/// Tokens under names of the model's own. transformers 5, which alone writes a list of extra tokens
/// or names its backend, has them beside the classic ones.
fn model_specific(fields: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    let is_from_5 =
        fields.contains_key("backend") || fields.get(EXTRA).is_some_and(Value::is_array);
    let beside = fields.iter().filter(move |(name, value)| {
        is_from_5
            && name.ends_with("_token")
            && !NAMES.contains(&name.as_str())
            && content(value).is_some()
    });
    let objects = [EXTRA, "model_specific_special_tokens"].map(|key| fields.get(key)?.as_object());
    beside.chain(objects.into_iter().flatten().flatten())
}
