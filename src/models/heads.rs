//! The traits of models that understand text: hidden states, or a head's output.
//!
//! Each trait is one head of transformers' `AutoModelFor…`. Padding changes no row's result,
//! whichever side it is on. Values at padding positions are meaningless.

use candle_core::Tensor;

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::raw_config::RawConfig;
use crate::models::traits::TextModel;

/// Ids in, one hidden state per token out: `AutoModel`.
pub trait Encoder: TextModel {
    /// The width of a hidden state.
    fn hidden_size(&self) -> usize;

    /// The hidden states after the last layer, `(batch, tokens, hidden)` in f32.
    ///
    /// # Errors
    ///
    /// When an id or token type is outside the vocabulary, or a row is longer than the model.
    fn encode(&self, batch: &TokenBatch) -> Result<Tensor>;

    /// The hidden states before the first layer and after each one, the last of which are those of
    /// [`encode`](Self::encode), with the same shape.
    ///
    /// # Errors
    ///
    /// As there, and for a model that keeps none.
    fn encode_layers(&self, batch: &TokenBatch) -> Result<Vec<Tensor>> {
        let _ = batch;
        Err(Error::unsupported("this model does not keep the hidden states of its layers"))
    }
}

/// One answer for a whole text or pair of texts: `AutoModelForSequenceClassification`.
pub trait SequenceClassifier: TextModel {
    /// What the logits mean.
    fn labels(&self) -> &Labels;

    /// Logits `(batch, labels)` in f32.
    ///
    /// # Errors
    ///
    /// As for [`Encoder::encode`].
    fn classify(&self, batch: &TokenBatch) -> Result<Tensor>;
}

/// One answer for each token: `AutoModelForTokenClassification`.
pub trait TokenClassifier: TextModel {
    /// What the logits mean.
    fn labels(&self) -> &Labels;

    /// Logits `(batch, tokens, labels)` in f32.
    ///
    /// # Errors
    ///
    /// As for [`Encoder::encode`].
    fn classify_tokens(&self, batch: &TokenBatch) -> Result<Tensor>;
}

/// Where an answer lies in a text: `AutoModelForQuestionAnswering`.
pub trait QuestionAnswerer: TextModel {
    /// Logits of the first and of the last token of an answer, `(batch, tokens)` each, in f32.
    ///
    /// # Errors
    ///
    /// As for [`Encoder::encode`].
    fn spans(&self, batch: &TokenBatch) -> Result<(Tensor, Tensor)>;
}

/// Which id a token should be: `AutoModelForMaskedLM`.
pub trait MaskedLm: TextModel {
    /// Logits at the given places, each a row and a column of the batch: `(places, vocab)` in f32.
    /// Only these are computed, because the logits of a whole batch would take gigabytes.
    ///
    /// # Errors
    ///
    /// When a place is outside the batch or is padding, and as for [`Encoder::encode`].
    fn predict(&self, batch: &TokenBatch, places: &[(usize, usize)]) -> Result<Tensor>;
}

/// The results, if all are finite numbers; anything else is an error.
pub(crate) fn finite(results: Tensor) -> Result<Tensor> {
    // Infinity and NaN are NaN then.
    if (&results * 0.0)?.sum_all()?.to_scalar::<f32>()? == 0.0 {
        return Ok(results);
    }
    Err(no_numbers())
}

/// Of results that hold NaN or infinity.
pub(crate) fn no_numbers() -> Error {
    Error::Tensor(candle_core::Error::Msg(
        "the model's results hold NaN or infinity: its weights or a number in its config are broken, or \
         the dtype is too narrow for them"
            .to_owned(),
    ))
}

/// What the logits of a classifier mean.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Labels {
    /// The names, in the order of the logits: `id2label`, or `LABEL_0` and so on.
    pub names: Vec<String>,
    /// `label2id` of the config, if it has one: a number for each name, in the config's order. It
    /// may contradict the names. Zero-shot classification uses it.
    pub ids: Option<Vec<(String, usize)>>,
    /// `problem_type` of the config, if given.
    pub problem_type: Option<ProblemType>,
    /// `function_to_apply` of the config, if given: `sigmoid`, `softmax` or `none`.
    pub function_to_apply: Option<String>,
    /// `return_all_scores` of the config: all labels are an answer, unless a call says otherwise.
    pub return_all_scores: bool,
}

/// What a classifier was trained to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemType {
    /// `multi_label_classification`: each label is true or false independently.
    MultiLabel,
    /// `regression`: logits are the answer.
    Regression,
    /// `single_label_classification`: one label is the right one.
    SingleLabel,
}

impl Labels {
    /// The number of the label `name`, in any case; the lowest of several.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|label| label.eq_ignore_ascii_case(name))
    }

    /// Labels that have no names of their own.
    pub(crate) fn unnamed(count: usize) -> Self {
        let names = (0..count).map(|label| format!("LABEL_{label}")).collect();
        Self {
            names,
            ids: None,
            problem_type: None,
            function_to_apply: None,
            return_all_scores: false,
        }
    }

    /// The number of the label that says that one text follows from another, `entailment` say: in
    /// `label2id`, without one among the names.
    pub(crate) fn entailment(&self) -> Option<usize> {
        let is_it = |name: &str| name.to_lowercase().starts_with("entail");
        match &self.ids {
            Some(ids) => ids.iter().find(|(name, _)| is_it(name)).map(|&(_, id)| id),
            None => self.names.iter().position(|name| is_it(name)),
        }
    }

    /// Reads `id2label`, `num_labels` (two where neither is there), `label2id`, `problem_type` and
    /// `function_to_apply`.
    pub(crate) fn read(raw: &RawConfig) -> Result<Self> {
        let names = match raw.numbered_texts("id2label")? {
            Some(names) => names,
            None => {
                let count = raw.optional_size("num_labels")?.unwrap_or(2);
                if count > MOST_LABELS {
                    return Err(raw.refuse("num_labels", "too many labels without names"));
                }
                Self::unnamed(count).names
            }
        };
        let ids = raw.text_numbers("label2id")?;
        let problem_type = match raw.text("problem_type")? {
            None => None,
            Some("multi_label_classification") => Some(ProblemType::MultiLabel),
            Some("regression") => Some(ProblemType::Regression),
            Some("single_label_classification") => Some(ProblemType::SingleLabel),
            Some(_) => {
                let known = "regression, single_label_classification and \
                             multi_label_classification are known";
                return Err(raw.refuse("problem_type", known));
            }
        };
        let function_to_apply = raw.text("function_to_apply")?.map(str::to_owned);
        let return_all_scores = raw.flag("return_all_scores", false)?;
        Ok(Self { names, ids, problem_type, function_to_apply, return_all_scores })
    }
}

/// No classifier has more labels than this without naming them.
const MOST_LABELS: usize = 1 << 20;
