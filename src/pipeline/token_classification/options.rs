//! Call options, by their Hugging Face names.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::pipeline::json;
use crate::pipeline::truncation::TruncationReport;
use crate::warning::warn;

/// Call options of [`TokenClassificationPipeline`](super::TokenClassificationPipeline), by their
/// Hugging Face names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TokenClassificationOptions {
    /// How tokens are put together to entities. Default: not at all.
    pub aggregation_strategy: Option<AggregationStrategy>,
    /// The most rows of a forward pass. Default: as many as fit a budget of tokens.
    pub batch_size: Option<usize>,
    /// What stands between words that come as a list. Default: a space.
    pub delimiter: Option<String>,
    /// Labels that are left out. Default: `O`.
    pub ignore_labels: Option<Vec<String>>,
    /// Whether the JSON input is a list of words. The typed input says so itself. Default: `false`.
    pub is_split_into_words: Option<bool>,
    /// Where each token stands in the text, in characters, instead of where the tokenizer says.
    pub offset_mapping: Option<Vec<(usize, usize)>>,
    /// Reads a long text in windows of the tokenizer's `model_max_length` that share this many
    /// tokens. Default: what does not fit is cut, with a warning.
    pub stride: Option<usize>,
    /// Gets the numbers of the inputs that are cut.
    #[serde(skip)]
    pub truncation_report: Option<TruncationReport>,
}

/// How tokens are put together to entities. Labels are read as `B-NAME` (begins) and `I-NAME`
/// (continues).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AggregationStrategy {
    /// As [`Simple`](Self::Simple), after each word has got the label of its tokens' mean scores.
    Average,
    /// As [`Simple`](Self::Simple), after each word has got the label of its first token.
    First,
    /// As [`Simple`](Self::Simple), after each word has got the label of its surest token.
    Max,
    /// Not at all.
    #[default]
    None,
    /// Neighbours of one name are one entity.
    Simple,
}

impl TokenClassificationOptions {
    /// Reads keyword arguments of the Python pipeline. `grouped_entities` and `ignore_subwords`, which
    /// are deprecated there, win over `aggregation_strategy`.
    pub(super) fn from_json(mut options: Map<String, Value>) -> Result<Self> {
        let grouped: Option<bool> = json::take(&mut options, "grouped_entities")?;
        let whole_words: Option<bool> = json::take(&mut options, "ignore_subwords")?;
        let mut read: Self = json::options(options)?;
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
