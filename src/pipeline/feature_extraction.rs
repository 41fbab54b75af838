//! `feature-extraction`: the hidden vectors of a text.
//!
//! Mirrors `pipelines/feature_extraction.py` of transformers 4.57. `pooling` and `normalize` are
//! ours: one vector per text. For a model made for embeddings, which brings its own pooling, there is
//! [`SentenceEmbedder`](crate::embeddings::SentenceEmbedder).
//!
//! In a batch Python returns the vectors of padding too; here a text's own tokens alone have any.

use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::embeddings::pooling::{Pooling, normalize};
use crate::error::{Error, Result, none_of};
use crate::models::heads::Encoder;
use crate::pipeline::arguments;
use crate::pipeline::flow::Work;
use crate::pipeline::options::task_options;
use crate::pipeline::scores;
use crate::pipeline::skeleton::{Items, TaskSteps, WorkOf, pipeline};
use crate::pipeline::tokenize::{Rows, TokenizerOptions, token_batch};
use crate::tokenizer::{Encoding, TextInput};

task_options! {
    /// Call options of [`FeatureExtractionPipeline`].
    FeatureExtractionOptions {
        /// Whether a pooled vector gets length 1. Default: `false`. Ours, not transformers'.
        normalize: bool,
        /// From a vector per token to one per text; `none` in JSON is none. Default: one vector per
        /// token. Ours, not transformers'.
        #[serde(deserialize_with = "pooling")]
        pooling: Pooling,
        /// Accepted and without effect: what comes out is a list either way.
        return_tensors: bool,
        /// How texts become tokens. In JSON `truncation` may stand beside it.
        tokenize_kwargs: TokenizerOptions,
    }
}

fn pooling<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Pooling>, D::Error> {
    let name: Option<String> = Option::deserialize(from)?;
    let name = name.filter(|name| !name.eq_ignore_ascii_case("none"));
    let read =
        |name: String| name.parse().map_err(|_| D::Error::custom(none_of(&name, Pooling::NAMES)));
    name.map(read).transpose()
}

/// The vectors of one text. As JSON `[[[…], …]]` as in Python, or pooled `[…]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Features {
    /// One per text.
    Pooled(Vec<f32>),
    /// One per token, special tokens included.
    Tokens(#[serde(with = "in_a_list")] Vec<Vec<f32>>),
}

/// Python's pipeline returns a batch of one text.
pub(super) mod in_a_list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Vectors = Vec<Vec<f32>>;

    pub(in crate::pipeline) fn serialize<S: Serializer>(
        vectors: &Vectors,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        [vectors].serialize(to)
    }

    pub(in crate::pipeline) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vectors, D::Error> {
        <[Vectors; 1]>::deserialize(from).map(|[vectors]| vectors)
    }
}

pipeline! {
    /// Returns the hidden states of texts.
    ///
    #[doc = include_str!("../../docs/tasks/feature-extraction.md")]
    FeatureExtractionPipeline<dyn Encoder>
}

impl FeatureExtractionPipeline {
    /// The length of a vector.
    #[must_use]
    pub fn hidden_size(&self) -> usize {
        self.model.hidden_size()
    }
}

impl TaskSteps for FeatureExtractionPipeline {
    type Input = String;
    type Output = Features;
    type Options = FeatureExtractionOptions;

    fn work(&self, options: &Self::Options) -> Result<impl WorkOf<Self> + use<>> {
        let normalize = options.normalize == Some(true);
        if normalize && options.pooling.is_none() {
            return Err(Error::option("normalize", "needs `pooling`: cls, last, max or mean"));
        }
        Ok(Extract {
            rows: Rows::new(&self.tokenizer, &*self.model, options.tokenize_kwargs.as_ref()),
            model: Arc::clone(&self.model),
            pooling: options.pooling,
            normalize,
        })
    }

    fn read_options(&self, mut options: Map<String, Value>) -> Result<Self::Options> {
        let beside = arguments::split(&mut options, &["truncation"]);
        let beside: TokenizerOptions = arguments::options(beside)?;
        let mut options: FeatureExtractionOptions = arguments::options(options)?;
        let within = &mut options.tokenize_kwargs.get_or_insert_default().truncation;
        if within.is_some() && beside.truncation.is_some() {
            return Err(Error::option(
                "truncation",
                "is given both directly and in `tokenize_kwargs`",
            ));
        }
        *within = within.or(beside.truncation);
        Ok(options)
    }

    fn read_input(&self, input: &Value, _: &Self::Options) -> Result<Items<String>> {
        Items::texts(input)
    }
}

struct Extract {
    rows: Rows,
    model: Arc<dyn Encoder>,
    pooling: Option<Pooling>,
    normalize: bool,
}

impl Work for Extract {
    type Item = String;
    type Kept = ();
    type Row = Encoding;
    type Answer = Features;
    type Output = Features;

    fn prepare(&self, text: String) -> Result<((), Vec<Encoding>)> {
        Ok(((), vec![self.rows.row(TextInput::Text(&text))?]))
    }

    fn forward(&self, rows: &[&Encoding]) -> Result<Vec<Features>> {
        let hidden = scores::rows(&self.model.encode(&token_batch(rows)?)?)?;
        let width = self.model.hidden_size().max(1);
        let features = hidden.iter().zip(rows).map(|(hidden, row)| {
            let tokens = hidden.chunks(width).take(row.len());
            let Some(pooling) = self.pooling else {
                return Features::Tokens(tokens.map(<[f32]>::to_vec).collect());
            };
            let mut vector = pooling.pool(&tokens.collect::<Vec<_>>(), 0);
            if self.normalize {
                normalize(&mut vector);
            }
            Features::Pooled(vector)
        });
        Ok(features.collect())
    }

    fn finish(&self, (): (), rows: Vec<(Encoding, Features)>) -> Result<Features> {
        let features = rows.into_iter().next().map(|(_, features)| features);
        features.ok_or_else(|| Error::input("no text"))
    }
}
