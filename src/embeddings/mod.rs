//! Sentence embeddings, as sentence-transformers computes them.
//!
//! ```no_run
//! use sconce::LoadOptions;
//! use sconce::embeddings::{EmbedOptions, SentenceEmbedder, Similarity, semantic_search};
//!
//! let embedder =
//!     SentenceEmbedder::open("sentence-transformers/all-MiniLM-L6-v2", &LoadOptions::default())?;
//! let embed = |texts: &[&str]| embedder.embed(texts, &EmbedOptions::default());
//! let corpus = embed(&["A candle burns.", "A train arrives."])?;
//! let found = semantic_search(&embed(&["fire"])?.vectors, &corpus.vectors, 1, Similarity::Cosine)?;
//! println!("{} {}", found[0][0].index, found[0][0].score);
//! # Ok::<(), sconce::Error>(())
//! ```

mod body;
pub(crate) mod cross_encoder;
mod function;
mod layout;
pub(crate) mod messages;
mod modules;
pub mod pooling;
mod prompts;
mod quantize;
mod reader;
mod router;
mod search;
mod static_embedding;
mod steps;
mod table;
mod token_steps;
mod transformer;
mod words;

use std::sync::Arc;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

pub use pooling::Pooling;
pub use quantize::{EmbeddingPrecision, QuantizedEmbeddings, Ranges};
pub use search::{Hit, Pair, Similarity, community_detection, paraphrase_mining, semantic_search};

use crate::batch::{Budget, PaddingSide, TokenBatch, by_length};
use crate::embeddings::layout::{Layout, Opener};
use crate::embeddings::prompts::Prompts;
use crate::error::{Error, Result};
use crate::fields::options;
use crate::models::heads::{Encoder, no_numbers};
use crate::options::LoadOptions;
use crate::source::{ModelFiles, ModelSource};
use crate::tokenizer::{Encoding, Tokenizer};
use body::Body;
use router::Routes;

/// Turns texts into vectors: with the modules of a sentence-transformers repository, or with the
/// default modules for any other model.
///
/// [`guide::sentence_transformers`](crate::guide::sentence_transformers) lists which files are
/// read.
#[derive(Debug, Clone)]
pub struct SentenceEmbedder {
    routes: Arc<Routes>,
    prompts: Arc<Prompts>,
    similarity: Similarity,
    /// The model's own.
    truncate_dim: Option<usize>,
}

options! {
    /// How to embed, by the names of sentence-transformers.
    EmbedOptions {
        /// The most texts of a batch. Batches of long texts have at most 65,536 tokens. Default:
        /// 32.
        batch_size: usize,
        /// Whether vectors are L2-normalized, even if the model has no `Normalize` module. Default:
        /// as the model's modules say.
        normalize_embeddings: bool,
        /// Put before each text. Wins over [`prompt_name`](Self#structfield.prompt_name).
        prompt: String,
        /// One of the model's own prompts, such as `query`. Default: its `default_prompt_name`, if
        /// any.
        prompt_name: String,
        /// Which way texts go through a model that has several (a `Router`, once `Asym`): `query` or
        /// `document`, mostly. Other models have one way for all. Python's `encode_query` is this and
        /// [`prompt_name`](Self#structfield.prompt_name), both `query`. Default: the model's default way.
        task: String,
        /// How many dimensions to keep, from the first (Matryoshka models). Default: the model's
        /// own, or all.
        truncate_dim: usize,
    }
}

/// The vectors of some texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Embeddings {
    /// One for each text, in order.
    pub vectors: Vec<Vec<f32>>,
    /// The numbers of the texts that were longer than the model's
    /// [`max_seq_length`](SentenceEmbedder::max_seq_length) and were cut.
    pub truncated: Vec<usize>,
}

impl SentenceEmbedder {
    /// Opens a source and reads its tokenizer, encoder and modules. A language model that was not
    /// made for embeddings is loaded as in sentence-transformers, with a
    /// [warning](crate::pipeline::on_warning).
    ///
    /// # Errors
    ///
    /// As [`AutoModel::open`](crate::models::AutoModel::open), and when a module is of no known
    /// kind or its config is broken.
    pub fn open(source: impl Into<ModelSource>, options: &LoadOptions) -> Result<Self> {
        Self::from_files(&source.into().open()?, options)
    }

    /// As [`open`](Self::open), from an opened source.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_files(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let layout = Layout::read(files, Opener::SentenceTransformer)?;
        let similarity = match &layout.similarity {
            Some(name) => {
                name.parse::<Similarity>().map_err(|error| layout::malformed(files, error))?
            }
            None => Similarity::Cosine,
        };
        let routes = Routes::load(files, layout.modules.as_deref(), options)?;
        let (routes, prompts) = (Arc::new(routes), Arc::new(layout.prompts));
        Ok(Self { routes, prompts, similarity, truncate_dim: layout.truncate_dim })
    }

    /// An embedder of a model and a tokenizer that are there already; both stay shared. It has no
    /// prompts of its own, and compares by cosine.
    ///
    /// # Errors
    ///
    /// As [`Tokenizer::encode`].
    pub fn from_parts(
        model: Arc<dyn Encoder>,
        tokenizer: Tokenizer,
        pooling: Pooling,
    ) -> Result<Self> {
        Ok(Self {
            routes: Arc::new(Routes::of(Body::from_parts(model, tokenizer, pooling)?)),
            prompts: Arc::default(),
            similarity: Similarity::Cosine,
            truncate_dim: None,
        })
    }

    /// The encoder, to share it or to look inside; `None` for tables of vectors and of words. Where a model has
    /// several ways, that of the first; the same goes for the tokenizer and the dimension.
    #[must_use]
    pub fn model(&self) -> Option<&Arc<dyn Encoder>> {
        self.routes.first().model()
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        self.routes.first().tokenizer()
    }

    /// The most tokens of a text that are used, special tokens included; [`usize::MAX`] if there is
    /// no limit, as for static vectors.
    #[must_use]
    pub fn max_seq_length(&self) -> usize {
        self.routes.max_seq_length()
    }

    /// The length of a vector, unless a call says otherwise.
    #[must_use]
    pub fn dimension(&self) -> usize {
        let whole = self.routes.first().modules().dimension;
        self.truncate_dim.map_or(whole, |dimension| dimension.min(whole))
    }

    /// The names and texts of the model's own prompts.
    pub fn prompts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.prompts.named.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The similarity that the model was trained for.
    #[must_use]
    pub fn similarity(&self) -> Similarity {
        self.similarity
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
        let most = options.batch_size.unwrap_or(32);
        if most == 0 {
            return Err(Error::option("batch_size", "0 texts make no batch"));
        }
        let rows = texts.par_iter().map(|text| call.encode(text.as_ref()));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let filled: Vec<_> = rows.iter().filter(|row| !row.is_empty()).collect();
        let lengths: Vec<_> = filled.iter().map(|row| row.len()).collect();
        let budget = Budget { rows: most, tokens: MOST_TOKENS, may_be_loose: usize::MAX };
        let vectors = by_length(&lengths, budget, |batch| {
            let ids: Vec<_> = batch.iter().map(|&row| filled[row].ids.clone()).collect();
            call.vectors(&TokenBatch::padded(&ids, 0, PaddingSide::Right)?)
        });
        let mut vectors = vectors?.into_iter();
        let vectors = rows.iter().filter_map(|row| match row.is_empty() {
            true => Some(call.empty()),
            false => vectors.next().map(Ok),
        });
        let vectors = vectors.collect::<Result<_>>()?;
        let is_cut = |number: &usize| !rows[*number].overflowing.is_empty();
        let truncated = (0..rows.len()).filter(is_cut).collect();
        Ok(Embeddings { vectors, truncated })
    }

    /// Checks the options and settles what they leave open.
    pub(crate) fn prepare(&self, options: &EmbedOptions) -> Result<Call> {
        let prompt =
            self.prompts.choose(options.prompt.as_deref(), options.prompt_name.as_deref())?;
        let body = self.routes.of_task(options.task.as_deref())?;
        let whole = body.modules().dimension;
        let dimension = match options.truncate_dim {
            Some(0) => return Err(Error::option("truncate_dim", "no numbers would be left")),
            Some(dimension) => dimension.min(whole),
            None => self.truncate_dim.map_or(whole, |dimension| dimension.min(whole)),
        };
        Ok(Call {
            skipped: body.prompt_length(prompt)?,
            body: Arc::clone(body),
            dimension,
            normalize: options.normalize_embeddings == Some(true),
            prompt: prompt.to_owned(),
        })
    }
}

/// The most tokens of a batch of several texts, padding included.
const MOST_TOKENS: usize = 1 << 16;

/// What one call does with each text and each batch.
#[derive(Debug)]
pub(crate) struct Call {
    body: Arc<Body>,
    dimension: usize,
    normalize: bool,
    prompt: String,
    /// Tokens of the prompt that are not pooled.
    skipped: usize,
}

impl Call {
    /// The row of a text; what is cut off is its `overflowing`.
    pub(crate) fn encode(&self, text: &str) -> Result<Encoding> {
        self.body.encode(&self.prompt, text)
    }

    /// The vector of a row without tokens.
    pub(crate) fn empty(&self) -> Result<Vec<f32>> {
        self.body.empty().and_then(|vector| self.shortened(vector))
    }

    /// One vector per row.
    pub(crate) fn vectors(&self, batch: &TokenBatch) -> Result<Vec<Vec<f32>>> {
        let vectors = self.body.vectors(batch, self.skipped)?;
        vectors.into_iter().map(|vector| self.shortened(vector)).collect()
    }

    fn shortened(&self, mut vector: Vec<f32>) -> Result<Vec<f32>> {
        vector.truncate(self.dimension);
        if self.normalize {
            pooling::normalize(&mut vector);
        }
        match vector.iter().all(|x| x.is_finite()) {
            true => Ok(vector),
            false => Err(no_numbers()),
        }
    }
}
