//! `sentence-similarity`, also called `embeddings`: one vector per text, and how alike texts are.
//!
//! Mirrors `SentenceTransformer.encode` and `SentenceTransformer.similarity` of sentence-transformers
//! 5, as far as a table of tasks needs them; the rest (search, mining, clusters) is in
//! [`embeddings`](crate::embeddings). Input and output of [`call`](TaskPipeline::call) are those of
//! the Hub's widget of this name, and texts for their vectors.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::batch::TokenBatch;
use crate::embeddings;
use crate::embeddings::{
    EmbedOptions, EmbeddingPrecision, QuantizedEmbeddings, SentenceEmbedder, Similarity,
};
use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::pipeline::Task;
use crate::pipeline::TaskPipeline;
use crate::pipeline::flow::{Flow, Work};
use crate::pipeline::json;
use crate::pipeline::truncation::TruncationReport;
use crate::source::ModelFiles;
use crate::tokenizer::Encoding;

/// Call options of [`SentenceSimilarityPipeline`], by the names of sentence-transformers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SentenceSimilarityOptions {
    /// The most rows of a forward pass. Default: as many as fit a budget of tokens.
    pub batch_size: Option<usize>,
    /// Whether vectors get length 1 after all. Default: as the model's modules say.
    pub normalize_embeddings: Option<bool>,
    /// What vectors in JSON are made of: `float32`, `int8`, `uint8`, `binary` or `ubinary`, with the
    /// ranges of the call's own vectors. The typed methods give f32. Default: `float32`.
    pub precision: Option<String>,
    /// Put before each text. Wins over `prompt_name`.
    pub prompt: Option<String>,
    /// One of the model's own prompts. Default: its `default_prompt_name`, if any.
    pub prompt_name: Option<String>,
    /// `cosine`, `dot`, `euclidean` or `manhattan`. Default: the model's own.
    pub similarity_fn_name: Option<String>,
    /// How many of a vector's first numbers are kept. Default: the model's own, or all.
    pub truncate_dim: Option<usize>,
    /// Gets the numbers of the texts that are cut.
    #[serde(skip)]
    pub truncation_report: Option<TruncationReport>,
}

/// Gives vectors of texts, and says how alike texts are.
#[derive(Debug)]
pub struct SentenceSimilarityPipeline {
    embedder: SentenceEmbedder,
}

impl SentenceSimilarityPipeline {
    /// How alike each sentence is to the source, in the order of the sentences.
    ///
    /// # Errors
    ///
    /// When an option is invalid, or the model fails.
    pub fn run<T: Into<String>>(
        &self,
        source_sentence: impl Into<String>,
        sentences: impl IntoIterator<Item = T>,
        options: &SentenceSimilarityOptions,
    ) -> Result<Vec<f32>> {
        let similarity: Similarity = match &options.similarity_fn_name {
            Some(name) => name.parse()?,
            None => self.embedder.similarity(),
        };
        let sentences = sentences.into_iter().map(Into::into);
        let texts = std::iter::once(source_sentence.into()).chain(sentences);
        let vectors = self.embed(texts, options)?;
        let Some((source, vectors)) = vectors.split_first() else { return Ok(Vec::new()) };
        vectors.iter().map(|vector| similarity.of(source, vector)).collect()
    }

    /// One vector per text, in order, each as it would be alone.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run); nothing is returned where one text fails.
    pub fn embed<T: Into<String>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &SentenceSimilarityOptions,
    ) -> Result<Vec<Vec<f32>>> {
        self.stream(texts, options)?.collect()
    }

    /// As [`embed`](Self::embed), one output after the other, in bounded memory.
    ///
    /// # Errors
    ///
    /// When an option is invalid. A text that fails gives an error in its place.
    pub fn stream<T: Into<String>, I: IntoIterator<Item = T>>(
        &self,
        texts: I,
        options: &SentenceSimilarityOptions,
    ) -> Result<impl Iterator<Item = Result<Vec<f32>>> + use<T, I>> {
        let mut call =
            EmbedOptions::default().normalize(options.normalize_embeddings == Some(true));
        call.prompt = options.prompt.clone();
        call.prompt_name = options.prompt_name.clone();
        call.truncate_dim = options.truncate_dim;
        let work = Embed { call: self.embedder.prepare(&call)? };
        let texts = texts.into_iter().map(Into::into);
        Flow::new(work, texts, options.batch_size, options.truncation_report.as_ref())
    }

    /// What it works with.
    #[must_use]
    pub fn embedder(&self) -> &SentenceEmbedder {
        &self.embedder
    }
}

impl TaskPipeline for SentenceSimilarityPipeline {
    const TASK: Task = Task::SentenceSimilarity;

    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        Ok(Self { embedder: SentenceEmbedder::from_files(files, options)? })
    }

    /// Takes `{"source_sentence": …, "sentences": […]}` and gives scores; or a text or a list of
    /// texts, and gives vectors.
    fn call(
        &self,
        input: &Value,
        options: Map<String, Value>,
        report: &TruncationReport,
    ) -> Result<Value> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Compare {
            source_sentence: String,
            sentences: Vec<String>,
        }
        let mut options: SentenceSimilarityOptions = json::options(options)?;
        options.truncation_report = Some(report.clone());
        let precision: EmbeddingPrecision =
            options.precision.as_deref().unwrap_or("float32").parse()?;
        let embed = |texts: Vec<String>| precision.quantize(&self.embed(texts, &options)?, None);
        match input {
            Value::Object(_) if precision != EmbeddingPrecision::Float32 => {
                Err(Error::option("precision", "texts are compared by float32 vectors"))
            }
            Value::Object(_) => {
                let Compare { source_sentence, sentences } = json::item(input)?;
                json::output(self.run(source_sentence, sentences, &options)?)
            }
            Value::Array(_) => vectors(embed(json::item(input)?)?),
            Value::String(text) => Ok(match vectors(embed(vec![text.clone()])?)? {
                Value::Array(mut vectors) => vectors.pop().unwrap_or_default(),
                other => other,
            }),
            _ => {
                let wanted =
                    "{\"source_sentence\": …, \"sentences\": […]}, a text or a list of texts";
                Err(json::misshapen(input, wanted))
            }
        }
    }
}

fn vectors(embeddings: QuantizedEmbeddings) -> Result<Value> {
    fn list<T: Serialize>(vectors: Vec<Vec<T>>) -> Result<Value> {
        vectors.into_iter().map(json::output).collect()
    }
    match embeddings {
        QuantizedEmbeddings::Float(vectors) => list(vectors),
        QuantizedEmbeddings::Signed(vectors) => list(vectors),
        QuantizedEmbeddings::Unsigned(vectors) => list(vectors),
    }
}

struct Embed {
    call: embeddings::Call,
}

impl Work for Embed {
    type Item = String;
    /// The vector of a text without tokens.
    type Kept = Option<Vec<f32>>;
    type Row = Vec<f32>;
    type Output = Vec<f32>;

    fn size(item: &String) -> usize {
        item.len()
    }

    fn prepare(&self, text: String) -> Result<(Self::Kept, Vec<Encoding>)> {
        let row = self.call.encode(&text)?;
        match row.is_empty() {
            true => Ok((Some(self.call.empty()?), Vec::new())),
            false => Ok((None, vec![row])),
        }
    }

    fn forward(&self, batch: &TokenBatch, _: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        self.call.vectors(batch)
    }

    fn finish(&self, kept: Self::Kept, rows: Vec<(Encoding, Vec<f32>)>) -> Result<Vec<f32>> {
        let vector = kept.or_else(|| rows.into_iter().next().map(|(_, vector)| vector));
        vector.ok_or_else(|| Error::input("no text"))
    }
}
