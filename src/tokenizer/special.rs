//! Tokens with a meaning of their own.

use crate::tokenizer::named::ADDITIONAL;

/// A token with a role: the beginning of a text, padding, a mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialToken {
    /// As it is written in a text.
    pub content: String,
    /// Its id.
    pub id: u32,
}

/// A token that is looked for in a text before the text is split.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddedToken {
    /// As it is written in a text.
    pub content: String,
    /// Its id.
    pub id: u32,
    /// Whether decoding can leave it out.
    pub special: bool,
    /// Whether it swallows the spaces before it.
    pub lstrip: bool,
    /// Whether it swallows the spaces after it.
    pub rstrip: bool,
    /// Whether it is looked for in the normalized text.
    pub normalized: bool,
    /// Whether it only counts as a word of its own.
    pub single_word: bool,
}

/// The named special tokens, in transformers' order.
#[derive(Debug, Clone, Default)]
pub(super) struct SpecialTokens {
    pub(super) bos: Option<SpecialToken>,
    pub(super) eos: Option<SpecialToken>,
    pub(super) unk: Option<SpecialToken>,
    pub(super) sep: Option<SpecialToken>,
    pub(super) pad: Option<SpecialToken>,
    pub(super) cls: Option<SpecialToken>,
    pub(super) mask: Option<SpecialToken>,
    pub(super) additional: Vec<SpecialToken>,
    /// Those under names of the model's own.
    pub(super) named: Vec<(String, SpecialToken)>,
    /// The ids of all of them, ascending, each once.
    pub(super) ids: Vec<u32>,
}

impl SpecialTokens {
    /// Names are those of `tokenizer_config.json`: `bos_token`, `additional_special_tokens`,
    /// `image_token`.
    pub(super) fn new<'a>(tokens: impl IntoIterator<Item = (&'a str, SpecialToken)>) -> Self {
        let mut all = Self::default();
        for (name, token) in tokens {
            all.ids.push(token.id);
            let place = match name {
                "bos_token" => &mut all.bos,
                "eos_token" => &mut all.eos,
                "unk_token" => &mut all.unk,
                "sep_token" => &mut all.sep,
                "pad_token" => &mut all.pad,
                "cls_token" => &mut all.cls,
                "mask_token" => &mut all.mask,
                ADDITIONAL => {
                    all.additional.push(token);
                    continue;
                }
                name => {
                    all.named.push((name.to_owned(), token));
                    continue;
                }
            };
            *place = Some(token);
        }
        all.ids.sort_unstable();
        all.ids.dedup();
        all
    }

    pub(super) fn get(&self, name: &str) -> Option<&SpecialToken> {
        let token = match name {
            "bos_token" => &self.bos,
            "eos_token" => &self.eos,
            "unk_token" => &self.unk,
            "sep_token" => &self.sep,
            "pad_token" => &self.pad,
            "cls_token" => &self.cls,
            "mask_token" => &self.mask,
            _ => return self.named.iter().find(|(own, _)| own == name).map(|(_, token)| token),
        };
        token.as_ref()
    }
}
