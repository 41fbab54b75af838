//! Where a long text can be cut, so that its parts have the tokens that it has as a whole.
//!
//! The tokenizers crate needs some hundred bytes for each byte of a text that it encodes. A text of megabytes is
//! therefore encoded in parts. A part ends with a letter or a digit, and the next one begins with a single space and
//! another letter or digit:
//!
//! ```text
//! …the light| of the candle…
//! ```
//!
//! [`are_safe`] says of which tokenizers every step treats both sides as if nothing were on the other.

use serde_json::Value;
use tokenizers::{
    ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, PreTokenizerWrapper,
};

use crate::quiet::caught;
use crate::tokenizer::bounded::{Bounded, Engine};

/// Whether the parts of a text have together the tokens of the whole.
pub(super) fn are_safe(engine: &Engine) -> bool {
    let normalizer = engine.get_normalizer().map(Bounded::part);
    let Some(pre_tokenizer) = engine.get_pre_tokenizer() else { return false };
    let is_random =
        matches!(engine.get_model(), ModelWrapper::BPE(model) if model.dropout.is_some());
    !is_random
        && normalizer.is_none_or(keeps_to_its_side)
        && splits(pre_tokenizer) == Some(true)
        && added_tokens_keep_to_their_side(engine)
}

/// The parts of a text, each of about so many bytes. Only the last one is longer, where no cut is found.
pub(super) fn parts(text: &str, bytes: usize) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = cut_behind(rest, bytes) {
        let (part, after) = rest.split_at(at);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

/// The first cut that is behind so many bytes.
fn cut_behind(text: &str, bytes: usize) -> Option<usize> {
    let start = (bytes..text.len()).find(|&at| text.is_char_boundary(at))?;
    let mut spaces = text[start..].match_indices(' ').map(|(at, _)| start + at);
    spaces.find(|&at| {
        let (before, after) = (text[..at].chars().next_back(), text[at + 1..].chars().next());
        before.is_some_and(is_plain) && after.is_some_and(is_plain)
    })
}

/// A letter or a digit that no normal form joins with a space beside it, or turns into one. No Han: BERT's normalizer
/// puts spaces around each.
fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || matches!(character,
            '\u{c0}'..='\u{2af}' | '\u{386}'..='\u{481}' | '\u{48a}'..='\u{52f}' | '\u{531}'..='\u{587}'
            | '\u{5d0}'..='\u{5ea}' | '\u{621}'..='\u{64a}' | '\u{904}'..='\u{939}' | '\u{e01}'..='\u{e30}'
            | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' | '\u{ac00}'..='\u{d7a3}')
            && character.is_alphanumeric()
}

/// Whether a normalizer does the same to two sides of a cut as to the whole.
fn keeps_to_its_side(step: &NormalizerWrapper) -> bool {
    match step {
        NormalizerWrapper::Sequence(steps) => steps.as_ref().iter().all(keeps_to_its_side),
        // A part begins with a space that must stay, and ends with a letter.
        NormalizerWrapper::StripNormalizer(strip) => !strip.strip_left,
        NormalizerWrapper::Prepend(_) | NormalizerWrapper::ByteLevel(_) => false,
        NormalizerWrapper::Replace(replace) => {
            let json = serde_json::to_value(replace).unwrap_or_default();
            let pattern = &json["pattern"];
            let pattern = |kind: &str| pattern.get(kind).and_then(Value::as_str);
            match (pattern("String"), pattern("Regex")) {
                (Some(" "), _) => matches!(&*replace.content, " " | "▁"),
                (Some(text), _) => !text.is_empty() && !text.contains(char::is_whitespace),
                (_, Some(text)) => {
                    matches!(text, " {2,}" | r"\s+") && matches!(&*replace.content, " " | "▁")
                }
                _ => false,
            }
        }
        NormalizerWrapper::BertNormalizer(_)
        | NormalizerWrapper::StripAccents(_)
        | NormalizerWrapper::NFC(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKC(_)
        | NormalizerWrapper::NFKD(_)
        | NormalizerWrapper::Lowercase(_)
        | NormalizerWrapper::Nmt(_)
        | NormalizerWrapper::Precompiled(_) => true,
    }
}

/// Whether a pre-tokenizer splits at a cut; `None` where it may do something else to the sides than to the whole.
fn splits(step: &PreTokenizerWrapper) -> Option<bool> {
    match step {
        PreTokenizerWrapper::Sequence(steps) => {
            let steps = steps.as_ref();
            let is_marking = |step: &&PreTokenizerWrapper| {
                matches!(
                    step,
                    PreTokenizerWrapper::Metaspace(_) | PreTokenizerWrapper::ByteLevel(_)
                )
            };
            // The second would find the letters of the first where spaces were.
            if steps.iter().filter(is_marking).count() > 1 {
                return None;
            }
            steps.iter().try_fold(false, |found, step| Some(splits(step)? || found))
        }
        PreTokenizerWrapper::BertPreTokenizer(_)
        | PreTokenizerWrapper::Whitespace(_)
        | PreTokenizerWrapper::WhitespaceSplit(_) => Some(true),
        PreTokenizerWrapper::Metaspace(step) => step.get_split().then_some(true),
        PreTokenizerWrapper::ByteLevel(step) => step.use_regex.then_some(true),
        PreTokenizerWrapper::Punctuation(_) | PreTokenizerWrapper::Digits(_) => Some(false),
        _ => None,
    }
}

/// Whether no added token is found across a cut, or takes a space there.
fn added_tokens_keep_to_their_side(engine: &Engine) -> bool {
    let is_space = |character: char| character.is_whitespace() || character == '▁';
    engine.get_added_vocabulary().get_added_tokens_decoder().values().all(|token| {
        let mut forms = vec![token.content.clone()];
        if let (true, Some(normalizer)) = (token.normalized, engine.get_normalizer()) {
            let mut form = NormalizedString::from(&*token.content);
            if !matches!(caught(|| normalizer.normalize(&mut form)), Ok(Ok(()))) {
                return false;
            }
            forms.push(form.get().to_owned());
        }
        forms.iter().all(|form| {
            // At a cut there is one space.
            let is_run =
                form.chars().all(is_space) && form.chars().count() > 1 && !token.single_word;
            let takes_space =
                token.rstrip && form.chars().next_back().is_some_and(char::is_alphanumeric);
            !takes_space && (is_run || !form.contains(is_space))
        })
    })
}
