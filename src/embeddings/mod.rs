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
pub(crate) mod prompts;
mod quantize;
mod search;

use std::sync::Arc;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

pub use quantize::{EmbeddingPrecision, QuantizedEmbeddings, Ranges};
pub use search::{Hit, Pair, Similarity, community_detection, paraphrase_mining, semantic_search};

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::heads::Encoder;
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource};
use crate::tokenizer::{EncodeOptions, Encoding, Tokenizer, Truncation};
use modules::Modules;

/// Texts in, one vector each out: the modules of a sentence-transformers repository, or mean
/// pooling for one that is none.
#[derive(Debug, Clone)]
pub struct SentenceEmbedder {
    tokenizer: Tokenizer,
    encoder: Arc<dyn Encoder>,
    modules: Arc<Modules>,
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
    /// The most texts that go through the model together; of long ones, no more than make 65,536 tokens.
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
        Ok(Self { tokenizer, encoder, modules: Arc::new(modules), max_seq_length })
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
        self.modules.prompts.named.iter().map(|(name, text)| (name.as_str(), text.as_str()))
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
    pub fn embed<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        options: &EmbedOptions,
    ) -> Result<Embeddings> {
        let call = self.prepare(options)?;
        if options.batch_size == 0 {
            return Err(Error::option("batch_size", "0 texts make no batch"));
        }
        let row = |text: &T| {
            let row = call.encode(text.as_ref())?;
            Ok((row.ids, !row.overflowing.is_empty()))
        };
        let rows = texts.par_iter().map(row).collect::<Result<Vec<(Vec<u32>, bool)>>>()?;
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&number| std::cmp::Reverse(rows[number].0.len()));
        let mut vectors = vec![Vec::new(); rows.len()];
        let mut rest = order.as_slice();
        while let Some(&first) = rest.first() {
            let most = (MOST_TOKENS / rows[first].0.len()).max(1).min(options.batch_size);
            let (numbers, others) = rest.split_at(most.min(rest.len()));
            rest = others;
            let ids: Vec<_> = numbers.iter().map(|&number| rows[number].0.clone()).collect();
            let batch = TokenBatch::padded(&ids, 0, PaddingSide::Right)?;
            for (&number, vector) in numbers.iter().zip(call.vectors(&batch)?) {
                vectors[number] = vector;
            }
        }
        let truncated = (0..rows.len()).filter(|&number| rows[number].1).collect();
        Ok(Embeddings { vectors, truncated })
    }

    /// Checks the options and settles what they leave open.
    pub(crate) fn prepare(&self, options: &EmbedOptions) -> Result<Call> {
        let modules = &self.modules;
        let prompt =
            modules.prompts.choose(options.prompt.as_deref(), options.prompt_name.as_deref())?;
        let mut call = Call {
            dimension: self.truncated_dimension(options)?,
            normalize: options.normalize,
            prompt: prompt.to_owned(),
            skipped: 0,
            embedder: self.clone(),
        };
        if !modules.includes_prompt && !prompt.is_empty() {
            let alone = call.encode("")?;
            // As in the reference: a special token behind the prompt comes behind the text.
            let closing = alone.special_tokens_mask.last().copied().unwrap_or(0);
            call.skipped = alone.len() - usize::from(closing == 1);
        }
        Ok(call)
    }

    fn truncated_dimension(&self, options: &EmbedOptions) -> Result<usize> {
        let (whole, asked) = (self.modules.dimension, options.truncate_dim);
        match asked.or(self.modules.truncate_dim).unwrap_or(whole) {
            0 => Err(Error::option("truncate_dim", "no numbers would be left")),
            dimension => Ok(dimension.min(whole)),
        }
    }
}

/// The most tokens of a batch of several texts, padding included.
const MOST_TOKENS: usize = 1 << 16;

/// What one call does with each text and each batch.
#[derive(Debug)]
pub(crate) struct Call {
    embedder: SentenceEmbedder,
    dimension: usize,
    normalize: bool,
    prompt: String,
    /// Tokens of the prompt that are not pooled.
    skipped: usize,
}

impl Call {
    /// The row of a text; what is cut off is its `overflowing`.
    pub(crate) fn encode(&self, text: &str) -> Result<Encoding> {
        let SentenceEmbedder { tokenizer, encoder, modules, max_seq_length } = &self.embedder;
        let mut text = format!("{}{text}", self.prompt);
        if modules.lower_case {
            text = text.to_lowercase();
        }
        let options = EncodeOptions::default().truncation(Truncation::to(*max_seq_length));
        let row = tokenizer.encode_with(&text, &options)?;
        if row.is_empty() {
            return Err(Error::input("the text is empty: it has no tokens"));
        }
        tokenizer.check_known(&row.ids, encoder.limits().vocab)?;
        Ok(row)
    }

    /// One vector per row.
    pub(crate) fn vectors(&self, batch: &TokenBatch) -> Result<Vec<Vec<f32>>> {
        let SentenceEmbedder { encoder, modules, .. } = &self.embedder;
        let mut vectors = modules.run(&encoder.encode(batch)?, batch, self.skipped)?;
        for vector in &mut vectors {
            vector.truncate(self.dimension);
            if self.normalize {
                pooling::normalize(vector);
            }
        }
        Ok(vectors)
    }
}
