//! `feature-extraction`: the hidden vectors of a text.
//!
//! Mirrors `pipelines/feature_extraction.py` of transformers 4.57. `pooling` and `normalize` are
//! ours: one vector per text. For a model made for embeddings, which brings its own pooling, there is
//! [`SentenceEmbedder`](crate::embeddings::SentenceEmbedder).
//!
//! In a batch Python returns the vectors of padding too; here a text's own tokens alone have any.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::batch::TokenBatch;
use crate::embeddings::pooling;
use crate::error::{Error, Result};
use crate::models::AutoModel;
use crate::models::heads::Encoder;
use crate::options::LoadOptions;
use crate::pipeline::Task;
use crate::pipeline::TaskPipeline;
use crate::pipeline::flow::{Flow, Work};
use crate::pipeline::json;
use crate::pipeline::scores;
use crate::pipeline::tokenize::{Rows, TokenizerOptions};
use crate::pipeline::truncation::TruncationReport;
use crate::source::ModelFiles;
use crate::tokenizer::{Encoding, TextInput, Tokenizer};

/// Call options of [`FeatureExtractionPipeline`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FeatureExtractionOptions {
    /// The most rows of a forward pass. Default: as many as fit a budget of tokens.
    pub batch_size: Option<usize>,
    /// Whether a pooled vector gets length 1. Default: `false`. Ours, not transformers'.
    pub normalize: Option<bool>,
    /// From a vector per token to one per text. Default: none. Ours, not transformers'.
    pub pooling: Option<Pooling>,
    /// Accepted and without effect: what comes out is a list either way.
    pub return_tensors: Option<bool>,
    /// How texts become tokens. In JSON `truncation` may stand beside it.
    pub tokenize_kwargs: TokenizerOptions,
    /// Gets the numbers of the inputs that are cut.
    #[serde(skip)]
    pub truncation_report: Option<TruncationReport>,
}

/// From a vector per token to one per text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The first token's.
    Cls,
    /// The last token's.
    Last,
    /// The highest value in each place.
    Max,
    /// The mean.
    Mean,
    /// Not at all: one vector per token.
    #[default]
    None,
}

/// The vectors of one text. As JSON `[[[…], …]]` as in Python, or pooled `[…]`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Features {
    /// One per text.
    Pooled(Vec<f32>),
    /// One per token, special tokens included.
    Tokens(Vec<Vec<f32>>),
}

impl Serialize for Features {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Pooled(vector) => vector.serialize(serializer),
            Self::Tokens(vectors) => [vectors].serialize(serializer),
        }
    }
}

/// Gives the hidden vectors of texts.
#[derive(Debug)]
pub struct FeatureExtractionPipeline {
    model: Arc<dyn Encoder>,
    tokenizer: Tokenizer,
}

impl FeatureExtractionPipeline {
    /// One vector per token of a text.
    ///
    /// # Errors
    ///
    /// When the text is longer than the model, or the model fails.
    pub fn run(&self, text: impl Into<String>) -> Result<Features> {
        self.run_with(text, &FeatureExtractionOptions::default())
    }

    /// As [`run`](Self::run), with options.
    ///
    /// # Errors
    ///
    /// As there, and when an option is invalid.
    pub fn run_with(
        &self,
        text: impl Into<String>,
        options: &FeatureExtractionOptions,
    ) -> Result<Features> {
        self.run_batch([text], options)?.pop().ok_or_else(|| Error::input("no text"))
    }

    /// Many texts, in order, each with what it would get alone.
    ///
    /// # Errors
    ///
    /// As [`run_with`](Self::run_with); nothing is returned where one text fails.
    pub fn run_batch<T: Into<String>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        options: &FeatureExtractionOptions,
    ) -> Result<Vec<Features>> {
        self.stream(texts, options)?.collect()
    }

    /// As [`run_batch`](Self::run_batch), one output after the other, in bounded memory.
    ///
    /// # Errors
    ///
    /// When an option is invalid. A text that fails gives an error in its place.
    pub fn stream<T: Into<String>, I: IntoIterator<Item = T>>(
        &self,
        texts: I,
        options: &FeatureExtractionOptions,
    ) -> Result<impl Iterator<Item = Result<Features>> + use<T, I>> {
        let pooling = options.pooling.unwrap_or_default();
        let normalize = options.normalize == Some(true);
        if normalize && pooling == Pooling::None {
            return Err(Error::option("normalize", "needs `pooling`: cls, last, max or mean"));
        }
        let work = Extract {
            rows: Rows::new(&self.tokenizer, &*self.model, &options.tokenize_kwargs),
            model: Arc::clone(&self.model),
            pooling,
            normalize,
        };
        let texts = texts.into_iter().map(Into::into);
        Flow::new(work, texts, options.batch_size, options.truncation_report.as_ref())
    }

    /// The length of a vector.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        self.model.hidden_size()
    }
}

impl TaskPipeline for FeatureExtractionPipeline {
    const TASK: Task = Task::FeatureExtraction;

    fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let model = AutoModel::encoder_from(files, options)?;
        Ok(Self { model, tokenizer: Tokenizer::from_files(files)? })
    }

    fn call(
        &self,
        input: &Value,
        mut options: Map<String, Value>,
        report: &TruncationReport,
    ) -> Result<Value> {
        let beside: TokenizerOptions = json::options(json::split(&mut options, &["truncation"]))?;
        let mut options: FeatureExtractionOptions = json::options(options)?;
        options.truncation_report = Some(report.clone());
        let within = &mut options.tokenize_kwargs.truncation;
        if within.is_some() && beside.truncation.is_some() {
            return Err(Error::option("truncation", "stands both beside and in `tokenize_kwargs`"));
        }
        *within = within.or(beside.truncation);
        json::texts(input, |texts| self.run_batch(texts, &options))
    }
}

struct Extract {
    rows: Rows,
    model: Arc<dyn Encoder>,
    pooling: Pooling,
    normalize: bool,
}

impl Extract {
    fn pooled(&self, tokens: &[&[f32]]) -> Vec<f32> {
        let pooling = match self.pooling {
            Pooling::Cls => pooling::Pooling::First,
            Pooling::Last => pooling::Pooling::Last,
            Pooling::Max => pooling::Pooling::Max,
            Pooling::Mean | Pooling::None => pooling::Pooling::Mean,
        };
        let mut vector = pooling.pool(tokens, 0);
        if self.normalize {
            pooling::normalize(&mut vector);
        }
        vector
    }
}

impl Work for Extract {
    type Item = String;
    type Kept = ();
    type Row = Features;
    type Output = Features;

    fn size(item: &String) -> usize {
        item.len()
    }

    fn prepare(&self, text: String) -> Result<((), Vec<Encoding>)> {
        Ok(((), vec![self.rows.row(TextInput::Text(&text))?]))
    }

    fn forward(&self, batch: &TokenBatch, rows: &[&Encoding]) -> Result<Vec<Features>> {
        let hidden = scores::rows(&self.model.encode(batch)?)?;
        let width = self.model.hidden_size().max(1);
        let features = hidden.iter().zip(rows).map(|(hidden, row)| {
            let tokens: Vec<&[f32]> = hidden.chunks(width).take(row.len()).collect();
            match self.pooling {
                Pooling::None => {
                    Features::Tokens(tokens.into_iter().map(<[f32]>::to_vec).collect())
                }
                _ => Features::Pooled(self.pooled(&tokens)),
            }
        });
        Ok(features.collect())
    }

    fn finish(&self, (): (), rows: Vec<(Encoding, Features)>) -> Result<Features> {
        let features = rows.into_iter().next().map(|(_, features)| features);
        features.ok_or_else(|| Error::input("no text"))
    }
}
