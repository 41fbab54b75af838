//! `sentence-similarity`, also called `embeddings`: one vector per text, and the similarity of
//! texts.
//!
//! Mirrors `SentenceTransformer.encode` and `SentenceTransformer.similarity` of sentence-transformers
//! 5, as far as a table of tasks needs them; the rest (search, mining, clusters) is in
//! [`embeddings`](crate::embeddings). JSON in and out is that of the Hub's widget of this name, and texts
//! for their vectors.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::embeddings::{
    Call, EmbedOptions, EmbeddingPrecision, Pooling, SentenceEmbedder, Similarity,
};
use crate::error::{Error, Result};
use crate::models::heads::Encoder;
use crate::options::LoadOptions;
use crate::pipeline::arguments;
use crate::pipeline::flow::Work;
use crate::pipeline::options::task_options;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf};
use crate::pipeline::tokenize::token_batch;
use crate::source::ModelFiles;
use crate::tokenizer::{Encoding, Tokenizer};

task_options! {
    /// Call options of [`SentenceSimilarityPipeline`], by the names of sentence-transformers.
    SentenceSimilarityOptions {
        /// Whether vectors are L2-normalized, even if the model has no `Normalize` module. Default:
        /// as the model's modules say.
        normalize_embeddings: bool,
        /// The element type of vectors in JSON, quantized with the ranges of the call's own
        /// vectors. The typed methods give f32. Default: `float32`.
        precision: EmbeddingPrecision,
        /// Put before each text. Wins over `prompt_name`.
        prompt: String,
        /// One of the model's own prompts. Default: its `default_prompt_name`, if any.
        prompt_name: String,
        /// How texts are compared. Default: as the model was trained for.
        similarity_fn_name: Similarity,
        /// Which way texts go through a model that has several: `query` or `document`, mostly.
        task: String,
        /// How many dimensions of a vector are kept, from the first. Default: the model's own, or
        /// all.
        truncate_dim: usize,
    }
}

/// Returns one vector per text, and the [similarities](Self::similarities) of texts.
///
#[doc = include_str!("../../docs/tasks/sentence-similarity.md")]
#[derive(Debug, Clone)]
pub struct SentenceSimilarityPipeline {
    embedder: SentenceEmbedder,
}

impl SentenceSimilarityPipeline {
    /// The similarity of each sentence to the source, in the order of the sentences. The source is
    /// input 0 of a truncation report.
    ///
    /// # Errors
    ///
    /// When an option is invalid, or the model fails.
    pub fn similarities<T: Into<String>>(
        &self,
        source_sentence: impl Into<String>,
        sentences: impl IntoIterator<Item = T>,
        options: &SentenceSimilarityOptions,
    ) -> Result<Vec<f32>> {
        let similarity = options.similarity_fn_name.unwrap_or_else(|| self.embedder.similarity());
        let sentences = sentences.into_iter().map(Into::into);
        let texts = std::iter::once(source_sentence.into()).chain(sentences);
        let vectors = self.run_batch(texts, options)?;
        let Some((source, vectors)) = vectors.split_first() else { return Ok(Vec::new()) };
        vectors.iter().map(|vector| similarity.of(source, vector)).collect()
    }

    pub(super) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        SentenceEmbedder::from_files(files, options).map(Self::from)
    }

    /// A pipeline of a model and a tokenizer that are there already; both stay shared. Of an embedder of more
    /// parts: `from`.
    ///
    /// # Errors
    ///
    /// As [`SentenceEmbedder::from_parts`].
    pub fn from_parts(
        model: Arc<dyn Encoder>,
        tokenizer: Tokenizer,
        pooling: Pooling,
    ) -> Result<Self> {
        SentenceEmbedder::from_parts(model, tokenizer, pooling).map(Self::from)
    }

    /// What it works with.
    #[must_use]
    pub fn embedder(&self) -> &SentenceEmbedder {
        &self.embedder
    }

    /// The encoder; `None` for tables of vectors and of words.
    #[must_use]
    pub fn model(&self) -> Option<&Arc<dyn Encoder>> {
        self.embedder.model()
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        self.embedder.tokenizer()
    }
}

impl From<SentenceEmbedder> for SentenceSimilarityPipeline {
    fn from(embedder: SentenceEmbedder) -> Self {
        Self { embedder }
    }
}

impl TaskSteps for SentenceSimilarityPipeline {
    type Input = String;
    type Output = Vec<f32>;
    type Options = SentenceSimilarityOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        let call = EmbedOptions {
            normalize_embeddings: options.normalize_embeddings,
            prompt: options.prompt.clone(),
            prompt_name: options.prompt_name.clone(),
            task: options.task.clone(),
            truncate_dim: options.truncate_dim,
            ..EmbedOptions::default()
        };
        Ok(Embed { call: self.embedder.prepare(&call)? })
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<String>> {
        if let Value::Array(_) | Value::String(_) = input {
            return Items::texts(input);
        }
        let wanted = "{\"source_sentence\": …, \"sentences\": […]}, a text or a list of texts";
        Err(arguments::misshapen(input, wanted))
    }

    /// `{"source_sentence": …, "sentences": […]}` gives scores; and the ranges of vectors in fewer bits are
    /// those of all of them.
    fn answer(&self, input: &Value, options: &Self::Options) -> Result<Option<Value>> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Compare {
            source_sentence: String,
            sentences: Vec<String>,
        }
        let precision = options.precision.unwrap_or(EmbeddingPrecision::Float32);
        if input.is_object() {
            if precision != EmbeddingPrecision::Float32 {
                let reason = "texts are compared by float32 vectors";
                return Err(Error::option("precision", reason));
            }
            let Compare { source_sentence, sentences } = arguments::item(input)?;
            let scores = self.similarities(source_sentence, sentences, options)?;
            return arguments::output(scores).map(Some);
        }
        if precision == EmbeddingPrecision::Float32 {
            return Ok(None);
        }
        let (texts, is_one) = match self.read_input(input, options)? {
            Items::One(text) => (vec![text], true),
            Items::Many(texts) => (texts.collect(), false),
        };
        let vectors = precision.quantize(&self.run_batch(texts, options)?, None)?;
        let mut vectors = arguments::output(vectors)?;
        Ok(Some(if is_one { vectors[0].take() } else { vectors }))
    }
}

struct Embed {
    call: Call,
}

impl Work for Embed {
    type Item = String;
    /// The vector of a text without tokens.
    type Kept = Option<Vec<f32>>;
    type Row = Encoding;
    type Answer = Vec<f32>;
    type Output = Vec<f32>;

    fn prepare(&self, text: String) -> Result<(Self::Kept, Vec<Encoding>)> {
        let row = self.call.encode(&text)?;
        match row.is_empty() {
            true => Ok((Some(self.call.empty()?), Vec::new())),
            false => Ok((None, vec![row])),
        }
    }

    fn forward(&self, rows: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        self.call.vectors(&token_batch(rows)?)
    }

    fn finish(&self, kept: Self::Kept, rows: Vec<(Encoding, Vec<f32>)>) -> Result<Vec<f32>> {
        let vector = kept.or_else(|| rows.into_iter().next().map(|(_, vector)| vector));
        vector.ok_or_else(|| Error::input("no text"))
    }
}
