//! Sentence embeddings, as sentence-transformers computes them.
//!
//! ```no_run
//! use sconce::LoadOptions;
//! use sconce::embeddings::{EmbedOptions, SentenceEmbedder, Similarity, semantic_search};
//!
//! let embedder =
//!     SentenceEmbedder::load("sentence-transformers/all-MiniLM-L6-v2", &LoadOptions::default())?;
//! let embed = |texts: &[&str]| embedder.embed(texts, &EmbedOptions::default());
//! let corpus = embed(&["A candle burns.", "A train arrives."])?;
//! let found = semantic_search(&embed(&["fire"])?.vectors, &corpus.vectors, 1, Similarity::Cosine)?;
//! println!("{} {}", found[0][0].index, found[0][0].score);
//! # Ok::<(), sconce::Error>(())
//! ```

mod modules;
mod pooling;
mod quantize;
mod search;

use std::sync::Arc;

pub use quantize::{EmbeddingPrecision, QuantizedEmbeddings, Ranges};
pub use search::{Hit, Pair, Similarity, community_detection, paraphrase_mining, semantic_search};

use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::heads::Encoder;
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource};
use crate::tokenizer::{BatchOptions, TextInput, Tokenizer, Truncation};
use modules::Modules;

/// Texts in, one vector each out: the modules of a sentence-transformers repository, or mean
/// pooling for one that is none.
#[derive(Debug)]
pub struct SentenceEmbedder {
    tokenizer: Tokenizer,
    encoder: Arc<dyn Encoder>,
    modules: Modules,
    max_seq_length: usize,
}

/// How to embed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmbedOptions {
    /// Put before each text. Wins over [`prompt_name`](Self::prompt_name).
    pub prompt: Option<String>,
    /// One of the model's own prompts, `query` say. `None`: its `default_prompt_name`, if any.
    pub prompt_name: Option<String>,
    /// Keep so many of the first numbers (Matryoshka models). `None`: the model's own.
    pub truncate_dim: Option<usize>,
    /// Make every vector's length 1 after all (`normalize_embeddings`).
    pub normalize: bool,
    /// Texts that go through the model together.
    pub batch_size: usize,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self {
            prompt: None,
            prompt_name: None,
            truncate_dim: None,
            normalize: false,
            batch_size: 32,
        }
    }
}

impl EmbedOptions {
    /// Sets [`prompt`](Self::prompt).
    #[must_use]
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = Some(prompt.into());
        self
    }

    /// Sets [`prompt_name`](Self::prompt_name).
    #[must_use]
    pub fn prompt_name(mut self, name: impl Into<String>) -> Self {
        self.prompt_name = Some(name.into());
        self
    }

    /// Sets [`truncate_dim`](Self::truncate_dim).
    #[must_use]
    pub fn truncate_dim(mut self, dim: usize) -> Self {
        self.truncate_dim = Some(dim);
        self
    }

    /// Sets [`normalize`](Self::normalize).
    #[must_use]
    pub fn normalize(mut self, normalize: bool) -> Self {
        self.normalize = normalize;
        self
    }

    /// Sets [`batch_size`](Self::batch_size).
    #[must_use]
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = size;
        self
    }
}

/// The vectors of some texts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Embeddings {
    /// One for each text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// The numbers of the texts that were longer than the model's
    /// [`max_seq_length`](SentenceEmbedder::max_seq_length) and were cut.
    pub truncated: Vec<usize>,
}

impl SentenceEmbedder {
    /// Opens a source and reads its tokenizer, encoder and modules.
    ///
    /// # Errors
    ///
    /// As [`AutoModel::encoder`], and when a module is of no known kind or its config is broken.
    pub fn load(source: impl Into<ModelSource>, options: &LoadOptions) -> Result<Self> {
        Self::from_files(&source.into().open()?, options)
    }

    /// As [`load`](Self::load), from a source that is open already.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let encoder = AutoModel::encoder_from(files, options)?;
        let tokenizer = Tokenizer::from_files(files)?;
        let modules = Modules::read(files, encoder.hidden_size(), options)?;
        let context = encoder.limits().context;
        let stated = modules.max_seq_length.or_else(|| tokenizer.model_max_length());
        let max_seq_length = stated.unwrap_or(context).min(context);
        Ok(Self { tokenizer, encoder, modules, max_seq_length })
    }

    /// The most tokens of a text that are looked at, special tokens included.
    #[must_use]
    pub fn max_seq_length(&self) -> usize {
        self.max_seq_length
    }

    /// The length of a vector.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.modules.dimension
    }

    /// The names and texts of the model's own prompts.
    pub fn prompts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.modules.prompts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The similarity that the model was trained for.
    #[must_use]
    pub fn similarity(&self) -> Similarity {
        self.modules.similarity
    }

    /// The vectors of texts: batches are formed by length, results are in order.
    ///
    /// # Errors
    ///
    /// When there is no prompt of that name, an option is out of range, or as
    /// [`Encoder::encode`].
    pub fn embed<T: AsRef<str>>(&self, texts: &[T], options: &EmbedOptions) -> Result<Embeddings> {
        let prompt = self.prompt(options)?;
        let dimension = self.truncated_dimension(options)?;
        if options.batch_size == 0 {
            return Err(Error::option("batch_size", "0 texts make no batch"));
        }
        let texts: Vec<String> = texts.iter().map(|text| self.prepare(prompt, text)).collect();
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&number| std::cmp::Reverse(texts[number].len()));
        let batching = BatchOptions::default().truncation(Truncation::to(self.max_seq_length));
        let mut vectors = vec![Vec::new(); texts.len()];
        let mut truncated = Vec::new();
        for numbers in order.chunks(options.batch_size) {
            let inputs: Vec<_> =
                numbers.iter().map(|&number| TextInput::from(&texts[number])).collect();
            let batch = self.tokenizer.encode_batch_with(&inputs, &batching)?;
            let cut = numbers.iter().zip(&batch.encodings);
            truncated.extend(
                cut.filter(|(_, row)| !row.overflowing.is_empty()).map(|(&number, _)| number),
            );
            let hidden = self.encoder.encode(&batch.tokens)?;
            for (&number, vector) in numbers.iter().zip(self.modules.run(&hidden, &batch.tokens)?) {
                let mut vector = vector;
                vector.truncate(dimension);
                if options.normalize {
                    pooling::normalize(&mut vector);
                }
                vectors[number] = vector;
            }
        }
        truncated.sort_unstable();
        Ok(Embeddings { vectors, truncated })
    }

    fn prepare(&self, prompt: &str, text: &impl AsRef<str>) -> String {
        let text = format!("{prompt}{}", text.as_ref());
        if self.modules.lower_case { text.to_lowercase() } else { text }
    }

    fn prompt<'a>(&'a self, options: &'a EmbedOptions) -> Result<&'a str> {
        let Modules { prompts, default_prompt, includes_prompt, .. } = &self.modules;
        let name = options.prompt_name.as_ref().or(default_prompt.as_ref());
        let prompt = match (&options.prompt, name) {
            (Some(prompt), _) => prompt,
            (None, None) => "",
            (None, Some(name)) => {
                let found = prompts.iter().find(|(known, _)| known == name);
                &found.map(|(_, text)| text).ok_or_else(|| {
                    let known: Vec<_> = prompts.iter().map(|(name, _)| name.as_str()).collect();
                    let known = known.join(", ");
                    Error::option(
                        "prompt_name",
                        format!("{name:?} is none of the model's: {known}"),
                    )
                })?[..]
            }
        };
        if !includes_prompt && !prompt.is_empty() {
            let reason = "this model's pooling leaves the prompt out, which is not supported yet";
            return Err(Error::option("prompt", reason));
        }
        Ok(prompt)
    }

    fn truncated_dimension(&self, options: &EmbedOptions) -> Result<usize> {
        let (whole, asked) = (self.modules.dimension, options.truncate_dim);
        match asked.or(self.modules.truncate_dim).unwrap_or(whole) {
            0 => Err(Error::option("truncate_dim", "no numbers would be left")),
            dimension => Ok(dimension.min(whole)),
        }
    }
}
