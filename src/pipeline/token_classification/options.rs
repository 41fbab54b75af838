//! Call options, by their Hugging Face names.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::fields::choices;
use crate::pipeline::arguments;
use crate::pipeline::options::{TaskOptions, task_options};
use crate::warning::warn;

task_options! {
    /// Call options of [`TokenClassificationPipeline`](super::TokenClassificationPipeline), by their
    /// Hugging Face names.
    TokenClassificationOptions {
        /// How tokens are grouped into entities. Default: not at all.
        aggregation_strategy: AggregationStrategy,
        /// What stands between words that come as a list. Default: a space.
        delimiter: String,
        /// Labels that are left out. Default: `O`.
        ignore_labels: (Vec<String>),
        /// Whether the JSON input is a list of words. For typed input, the type decides. Default:
        /// `false`.
        is_split_into_words: bool,
        /// The offsets of each token in the text, in characters, instead of the tokenizer's.
        offset_mapping: (Vec<(usize, usize)>),
        /// Reads a long text in windows of the tokenizer's `model_max_length` that share this many
        /// tokens. Default: what does not fit is cut, with a warning.
        stride: usize,
    }
}

choices! {
    /// How tokens are grouped into entities. Labels are read as `B-NAME` (begins) and `I-NAME`
    /// (continues).
    #[derive(Default)]
    AggregationStrategy, "aggregation_strategy" {
        /// As [`Simple`](Self::Simple), but each word takes the label with the best mean score of
        /// its tokens.
        Average = "average",
        /// As [`Simple`](Self::Simple), but each word takes the label of its first token.
        First = "first",
        /// As [`Simple`](Self::Simple), but each word takes the label of its token with the highest
        /// score.
        Max = "max",
        /// Not at all.
        #[default]
        None = "none",
        /// Neighbours of one name are one entity.
        Simple = "simple",
    }
}

impl TokenClassificationOptions {
    /// Reads keyword arguments of the Python pipeline. `grouped_entities` and `ignore_subwords`, which
    /// are deprecated there, win over `aggregation_strategy`.
    pub(super) fn from_json(mut options: Map<String, Value>) -> Result<Self> {
        let grouped: Option<bool> = arguments::take(&mut options, "grouped_entities")?;
        let whole_words: Option<bool> = arguments::take(&mut options, "ignore_subwords")?;
        let mut read = Self::read(options)?;
        if grouped.is_some() || whole_words.is_some() {
            let strategy = match (grouped == Some(true), whole_words == Some(true)) {
                (true, true) => AggregationStrategy::First,
                (true, false) => AggregationStrategy::Simple,
                (false, _) => AggregationStrategy::None,
            };
            warn(&format!(
                "`grouped_entities` and `ignore_subwords` are deprecated: use \
                 `aggregation_strategy`, here {strategy:?}"
            ));
            read.aggregation_strategy = Some(strategy);
        }
        Ok(read)
    }

    /// Refuses what does not go together. `longest` is the length of a window.
    pub(super) fn check(&self, longest: usize) -> Result<()> {
        let Some(stride) = self.stride else { return Ok(()) };
        if stride >= longest {
            let reason = format!("{stride} must be less than the {longest} tokens of a window");
            return Err(Error::option("stride", reason));
        }
        if self.aggregation_strategy == Some(AggregationStrategy::None) {
            let reason = "needs an `aggregation_strategy` other than \"none\"";
            return Err(Error::option("stride", reason));
        }
        Ok(())
    }
}
