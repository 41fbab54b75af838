//! The metadata `tokenizer.ggml.*` themselves.

use std::collections::HashMap;
use std::result;

use tokenizers::models::bpe::Vocab;

use crate::source::gguf::{GgufFile, GgufNumbers, GgufValue};
use crate::tokenizer::gguf::markers::is_marker;
use crate::tokenizer::special::SpecialToken;

/// The metadata that every kind of tokenizer has.
pub(super) struct Metadata<'a> {
    pub(super) file: &'a GgufFile,
    model: &'a str,
    pub(super) tokens: Vec<&'a str>,
    pub(super) kinds: Vec<TokenKind>,
    ids: HashMap<&'a str, u32>,
}

/// `llama_token_type` of llama.cpp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// Left out when decoding without special tokens.
    Control,
    /// Looked for in the text, but ordinary text.
    UserDefined,
    /// Normal, unknown, unused and byte tokens.
    Other,
}

/// Reasons are completed with the file's name by the caller.
pub(super) type Parsed<T> = result::Result<T, String>;

impl<'a> Metadata<'a> {
    pub(super) fn read(file: &'a GgufFile) -> Parsed<Self> {
        let model = file.read_as(&key("model"), GgufValue::as_str, "text")?;
        let model = model.ok_or("does not name its tokenizer.ggml.model")?;
        let tokens = texts(file, "tokens")?;
        if tokens.is_empty() {
            return Err("has an empty vocabulary: tokenizer.ggml.tokens".to_owned());
        }
        let mut kinds = match numbers(file, "token_type", tokens.len())? {
            None => vec![TokenKind::Other; tokens.len()],
            Some(kinds) => kinds
                .iter()
                .map(|kind| match kind.as_u64() {
                    Some(3) => Ok(TokenKind::Control),
                    Some(4) => Ok(TokenKind::UserDefined),
                    Some(_) => Ok(TokenKind::Other),
                    None => Err(format!("has {kind} among the types of tokens")),
                })
                .collect::<Parsed<_>>()?,
        };
        for (token, kind) in tokens.iter().zip(&mut kinds) {
            if is_marker(token) {
                *kind = TokenKind::Control;
            }
        }
        let ids = tokens.iter().zip(0..).map(|(&token, id)| (token, id)).collect();
        Ok(Self { file, model, tokens, kinds, ids })
    }

    /// `tokenizer.ggml.model`.
    pub(super) fn model(&self) -> &'a str {
        self.model
    }

    /// The id of the token of that text.
    pub(super) fn id_of(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    pub(super) fn vocab(&self) -> Vocab {
        let tokens = self.tokens.iter().zip(0..).filter(|(token, _)| !token.is_empty());
        tokens.map(|(&token, id)| (token.to_owned(), id)).collect()
    }

    pub(super) fn merges(&self) -> Parsed<Vec<(String, String)>> {
        let longest = self.tokens.iter().map(|token| token.len()).max().unwrap_or(0);
        texts(self.file, "merges")?
            .into_iter()
            .map(|text| {
                // A token may itself begin with a space.
                let at = text.char_indices().skip(1).find(|&(_, c)| c == ' ').map(|(at, _)| at);
                let pair = at.map(|at| (&text[..at], &text[at + 1..]));
                let (left, right) =
                    pair.ok_or_else(|| format!("has the merge {text:?}, no pair"))?;
                let known = |token| self.ids.contains_key(token);
                if !known(left) || !known(right) || left.len() + right.len() > longest {
                    return Err(format!("has the merge {text:?} of tokens it does not have"));
                }
                Ok((left.to_owned(), right.to_owned()))
            })
            .collect()
    }

    pub(super) fn scores(&self) -> Parsed<Vec<f64>> {
        let scores = numbers(self.file, "scores", self.tokens.len())?;
        let scores = scores.ok_or("has no scores: tokenizer.ggml.scores is missing")?;
        let finite = |score: GgufValue| {
            let number = score.as_f64().filter(|number| number.is_finite());
            number.ok_or_else(|| format!("has {score} among the scores of tokens"))
        };
        scores.iter().map(finite).collect()
    }

    /// The bytes of SentencePiece's table of replacements; none where there is no table.
    pub(super) fn charsmap(&self) -> Parsed<Vec<u8>> {
        let table = self.file.read_as(
            &key("precompiled_charsmap"),
            |value| match value {
                GgufValue::Numbers(numbers) => numbers.as_bytes(),
                _ => None,
            },
            "a list of bytes",
        );
        Ok(table?.unwrap_or_default().to_vec())
    }

    /// A token named by `tokenizer.ggml.<name>_token_id`.
    pub(super) fn special(&self, name: &str) -> Parsed<Option<SpecialToken>> {
        let Some(id) = self.special_id(name)? else { return Ok(None) };
        let content = self.tokens.get(id as usize).copied().unwrap_or_default().to_owned();
        Ok(Some(SpecialToken { content, id }))
    }

    /// The id under `tokenizer.ggml.<name>_token_id`; none where it is out of range, as llama.cpp has it.
    pub(super) fn special_id(&self, name: &str) -> Parsed<Option<u32>> {
        let key = key(&format!("{name}_token_id"));
        let id = self.file.read_as(&key, GgufValue::as_u64, "a whole number from 0 on")?;
        let in_range = id.filter(|id| *id < self.tokens.len() as u64);
        Ok(in_range.and_then(|id| u32::try_from(id).ok()))
    }

    pub(super) fn string(&self, name: &str) -> Parsed<Option<&'a str>> {
        self.file.read_as(&key(name), GgufValue::as_str, "text")
    }

    pub(super) fn boolean(&self, name: &str) -> Parsed<Option<bool>> {
        self.file.read_as(&key(name), GgufValue::as_bool, "true or false")
    }
}

/// The converter writes the spaces of user-defined tokens as spaces; merges spell them `▁`.
pub(super) fn spelled(token: &str, kind: TokenKind) -> String {
    let is_blank = !token.is_empty() && token.bytes().all(|byte| byte == b' ');
    match kind {
        TokenKind::UserDefined if is_blank => token.replace(' ', "▁"),
        _ => token.to_owned(),
    }
}

/// A list of texts that must be there.
fn texts<'a>(file: &'a GgufFile, name: &str) -> Parsed<Vec<&'a str>> {
    let texts = |value: &'a GgufValue| match value {
        GgufValue::Array(values) => values.iter().map(GgufValue::as_str).collect(),
        // An empty list, whatever its type.
        GgufValue::Numbers(none) if none.is_empty() => Some(Vec::new()),
        _ => None,
    };
    let found: Option<Vec<_>> = file.read_as(&key(name), texts, "a list of texts")?;
    found.ok_or_else(|| format!("has no {name}: {} is missing", key(name)))
}

/// A list of a number for each token.
fn numbers<'a>(file: &'a GgufFile, name: &str, tokens: usize) -> Parsed<Option<&'a GgufNumbers>> {
    let numbers = |value: &'a GgufValue| match value {
        GgufValue::Numbers(numbers) => Some(numbers),
        _ => None,
    };
    let found = file.read_as(&key(name), numbers, "a list of numbers")?;
    match found.map(GgufNumbers::len).filter(|found| *found != tokens) {
        Some(found) => Err(format!("has {found} values in {} for {tokens} tokens", key(name))),
        None => Ok(found),
    }
}

pub(super) fn key(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}
