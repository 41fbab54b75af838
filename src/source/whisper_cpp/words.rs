//! The bytes of tokens, from where a file without a vocabulary finds them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base64;
use crate::error::{Error, Result};
use crate::letters::letters;
use crate::source::json;
use crate::source::whisper_cpp::reader::Sizes;
use crate::source::whisper_cpp::special::Special;

/// The bytes of each token of the text, from the file that is found, given a repository of the Hub that has one and
/// the name of OpenAI's own.
pub(super) fn of(
    find: &dyn Fn(&str, &str) -> Result<PathBuf>,
    sizes: &Sizes,
    special: &Special,
) -> Result<Vec<Vec<u8>>> {
    let ranked = if special.is_multilingual { "multilingual.tiktoken" } else { "gpt2.tiktoken" };
    let path = find(&repository(sizes, special), ranked)?;
    let end = special.end as usize;
    match path.extension().is_some_and(|kind| kind == "tiktoken") {
        true => ranks(&path, end),
        false => letters_of(&path, end),
    }
}

/// The Hub's repository of a model of that size, or of one with the same vocabulary.
fn repository(sizes: &Sizes, special: &Special) -> String {
    let size = match (sizes.audio_layers, special.is_multilingual) {
        (..=4, true) => "tiny",
        (..=4, false) => "tiny.en",
        (5..=6, true) => "base",
        (5..=6, false) => "base.en",
        (7..=12, true) => "small",
        (7..=12, false) => "small.en",
        (13..=24, true) => "medium",
        (_, false) => "medium.en",
        (_, true) if special.languages < 100 => "large-v2",
        (_, true) if sizes.text_layers == 4 => "large-v3-turbo",
        (_, true) => "large-v3",
    };
    format!("openai/whisper-{size}")
}

#[derive(Deserialize)]
struct Tokenizer {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
}

/// `tokenizer.json`, or `vocab.json`.
fn letters_of(path: &Path, end: usize) -> Result<Vec<Vec<u8>>> {
    let vocab = match json::read::<Tokenizer>(path) {
        Ok(tokenizer) => tokenizer.model.vocab,
        Err(error) => json::read(path).map_err(|_| error)?,
    };
    let bytes: HashMap<char, u8> = letters().into_iter().zip(0..=u8::MAX).collect();
    let mut words = vec![Vec::new(); end];
    for (word, id) in vocab {
        if let Some(place) = words.get_mut(id as usize) {
            *place = word.chars().filter_map(|letter| bytes.get(&letter)).copied().collect();
        }
    }
    check(words, path)
}

/// OpenAI's own form: lines of the bytes of a token in base64 and its number.
fn ranks(path: &Path, end: usize) -> Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(path).map_err(Error::read(path))?;
    let mut words = vec![Vec::new(); end];
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let read = line.split_once(' ').and_then(|(word, rank)| {
            Some((base64::decode(word)?, rank.trim().parse::<usize>().ok()?))
        });
        let Some((word, rank)) = read else {
            let reason = format!("line {} is no token in base64 and its number", number + 1);
            return Err(Error::malformed(path, reason));
        };
        if let Some(place) = words.get_mut(rank) {
            *place = word;
        }
    }
    check(words, path)
}

/// Refuses the vocabulary of another model. A few numbers have no token.
fn check(words: Vec<Vec<u8>>, path: &Path) -> Result<Vec<Vec<u8>>> {
    let found = words.iter().filter(|word| !word.is_empty()).count();
    if found + 10 < words.len() {
        return Err(Error::input(format!(
            "{} has {found} of the {} tokens of text that the model has: it is the vocabulary of \
             another model",
            path.display(),
            words.len()
        )));
    }
    Ok(words)
}
