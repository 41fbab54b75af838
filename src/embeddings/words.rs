//! Models of whole words: `WordEmbeddings`, `BoW` and the weights of words.
//!
//! Mirrors the modules of these names in sentence-transformers 5.7.

use std::collections::{HashMap, HashSet};

use candle_core::Device;
use serde::Deserialize;

use crate::embeddings::table::VectorTable;
use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source::{ModelFiles, json};
use crate::tokenizer::{Tokenizer, WordSplit};
use crate::weights::{NameTable, Weights};

/// A vector for each word.
#[derive(Debug)]
pub(super) struct WordEmbeddings {
    pub(super) tokenizer: Tokenizer,
    pub(super) table: VectorTable,
}

/// A number for each word of the vocabulary: how often it is in a text, or whether it is, times its weight.
#[derive(Debug)]
pub(super) struct BagOfWords {
    pub(super) tokenizer: Tokenizer,
    weights: Vec<f32>,
    is_cumulative: bool,
}

/// What the words of a vocabulary weigh: of `BoW` and `WordWeights`.
#[derive(Deserialize)]
pub(super) struct WordWeights {
    vocab: Vec<String>,
    #[serde(default)]
    word_weights: HashMap<String, f32>,
    #[serde(default = "one")]
    unknown_word_weight: f32,
    #[serde(default = "yes")]
    cumulative_term_frequency: bool,
}

#[derive(Deserialize)]
struct Settings {
    tokenizer_class: String,
}

/// `whitespacetokenizer_config.json` or `phrasetokenizer_config.json`.
#[derive(Deserialize)]
struct Words {
    vocab: Vec<String>,
    stop_words: HashSet<String>,
    /// Of no effect on phrases, as in Python.
    #[serde(default)]
    do_lower_case: bool,
    #[serde(default = "underscore")]
    ngram_separator: Option<String>,
    #[serde(default = "five")]
    max_ngram_length: usize,
}

impl WordEmbeddings {
    /// Of a module's folder: `wordembedding_config.json`, the tokenizer's file, and weights.
    pub(super) fn read(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let path = files.required("wordembedding_config.json", "the settings of WordEmbeddings")?;
        let Settings { tokenizer_class } = json::read(&path)?;
        let class = tokenizer_class.strip_prefix("sentence_transformers.").unwrap_or_default();
        let (file, has_phrases) = match class.rsplit('.').next().unwrap_or_default() {
            "WhitespaceTokenizer" => ("whitespacetokenizer_config.json", false),
            "PhraseTokenizer" => ("phrasetokenizer_config.json", true),
            _ => {
                let reason = "sentence-transformers' WhitespaceTokenizer and PhraseTokenizer split words here";
                return Err(Error::unsupported(format!(
                    "{}: `tokenizer_class` is {tokenizer_class:?}; {reason}",
                    path.display()
                )));
            }
        };
        let path = files.required(file, "the words")?;
        let words: Words = json::read(&path)?;
        let split = match has_phrases {
            false => WordSplit::Spaces { is_lower_case: words.do_lower_case },
            true => {
                let (separator, longest) = (words.ngram_separator, words.max_ngram_length);
                WordSplit::Phrases { separator, longest }
            }
        };
        let options = options.clone().device(Device::Cpu);
        let weights = Weights::open(files, NameTable::stored_names(), &options)?;
        Ok(Self {
            tokenizer: Tokenizer::of_words(words.vocab, words.stop_words, split)
                .map_err(|error| Error::malformed(&path, error))?,
            table: VectorTable::read(&weights, &["emb_layer.weight"], files.origin())?,
        })
    }
}

impl BagOfWords {
    pub(super) fn new(mut words: WordWeights) -> Result<Self> {
        let mut seen = HashSet::new();
        words.vocab.retain(|word| seen.insert(word.clone()));
        let weights = words.weights();
        let split = WordSplit::Spaces { is_lower_case: false };
        Ok(Self {
            tokenizer: Tokenizer::of_words(words.vocab, HashSet::new(), split)?,
            weights,
            is_cumulative: words.cumulative_term_frequency,
        })
    }

    pub(super) fn dimension(&self) -> usize {
        self.weights.len()
    }

    /// The vector of a text with these words.
    pub(super) fn vector(&self, ids: &[u32]) -> Vec<f32> {
        let mut vector = vec![0.0; self.weights.len()];
        for &id in ids {
            let places = vector.get_mut(id as usize).zip(self.weights.get(id as usize));
            let Some((place, weight)) = places else { continue };
            *place = if self.is_cumulative { *place + weight } else { *weight };
        }
        vector
    }
}

impl WordWeights {
    /// Of each word, in the order of the vocabulary: its own, or that of the word in lower case.
    pub(super) fn weights(&self) -> Vec<f32> {
        let known = |word: &String| self.word_weights.get(word).copied();
        let weight = |word: &String| known(word).or_else(|| known(&word.to_lowercase()));
        self.vocab.iter().map(|word| weight(word).unwrap_or(self.unknown_word_weight)).collect()
    }
}

fn underscore() -> Option<String> {
    Some("_".to_owned())
}

fn five() -> usize {
    5
}

fn one() -> f32 {
    1.0
}

fn yes() -> bool {
    true
}
