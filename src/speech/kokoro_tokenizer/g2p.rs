//! English texts to phonemes, by misaki-rs.

use std::sync::{Mutex, OnceLock, PoisonError};

use misaki_rs::{G2P, Language};

use crate::error::{Error, Result};
use crate::speech::kokoro_tokenizer::cut::Token;
use crate::warning::warn;

/// The words and marks of a text with their phonemes. Words that are in no dictionary have none, and a warning names
/// them.
pub(super) fn tokens(text: &str, is_british: bool) -> Result<Vec<Token>> {
    static READERS: [OnceLock<Mutex<G2P>>; 2] = [const { OnceLock::new() }; 2];
    let language = if is_british { Language::EnglishGB } else { Language::EnglishUS };
    let reader = READERS[usize::from(is_british)].get_or_init(|| Mutex::new(G2P::new(language)));
    let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tokens = Vec::new();
    let mut unread = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let read = reader.g2p(line);
        let (_, read) = read.map_err(|error| {
            Error::input(format!("{line:?} cannot be made into phonemes: {error}"))
        })?;
        for token in read {
            if token.phonemes.as_ref().is_none_or(String::is_empty)
                && token.text.chars().any(char::is_alphanumeric)
            {
                unread.push(token.text.clone());
            }
            let phonemes = token.phonemes.unwrap_or_default();
            tokens.push(Token { text: token.text, phonemes, whitespace: token.whitespace });
        }
        if let Some(last) = tokens.last_mut() {
            " ".clone_into(&mut last.whitespace);
        }
    }
    if !unread.is_empty() {
        warn(&format!(
            "nobody knows how these words are spoken, and they are not: {unread:?}; write [word](/phonemes/)"
        ));
    }
    Ok(tokens)
}
