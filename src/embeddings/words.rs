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
use crate::tokenizer::Tokenizer;
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

/// `whitespacetokenizer_config.json`.
#[derive(Deserialize)]
struct Words {
    vocab: Vec<String>,
    stop_words: HashSet<String>,
    #[serde(default)]
    do_lower_case: bool,
}

impl WordEmbeddings {
    /// Of a module's folder: `wordembedding_config.json`, the tokenizer's file, and weights.
    pub(super) fn read(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let path = files.required("wordembedding_config.json", "the settings of WordEmbeddings")?;
        let Settings { tokenizer_class } = json::read(&path)?;
        let class = tokenizer_class.rsplit('.').next().unwrap_or_default();
        if class != "WhitespaceTokenizer" || !tokenizer_class.starts_with("sentence_transformers.")
        {
            let reason = "only sentence-transformers' WhitespaceTokenizer splits words here";
            return Err(Error::unsupported(format!(
                "{}: `tokenizer_class` is {tokenizer_class:?}; {reason}",
                path.display()
            )));
        }
        let words = files.required("whitespacetokenizer_config.json", "the words")?;
        let Words { vocab, stop_words, do_lower_case } = json::read(&words)?;
        let options = options.clone().device(Device::Cpu);
        let weights = Weights::open(files, NameTable::stored_names(), &options)?;
        Ok(Self {
            tokenizer: Tokenizer::of_words(vocab, stop_words, do_lower_case),
            table: VectorTable::read(&weights, &["emb_layer.weight"], files.origin())?,
        })
    }
}

impl BagOfWords {
    pub(super) fn new(mut words: WordWeights) -> Self {
        let mut seen = HashSet::new();
        words.vocab.retain(|word| seen.insert(word.clone()));
        let weights = words.weights();
        Self {
            tokenizer: Tokenizer::of_words(words.vocab, HashSet::new(), false),
            weights,
            is_cumulative: words.cumulative_term_frequency,
        }
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

fn one() -> f32 {
    1.0
}

fn yes() -> bool {
    true
}
