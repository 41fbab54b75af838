//! What the steps of an answer have computed, for those who ask.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::generation::config::GenerationConfig;
use crate::models::{Trace, same};

/// Which of a step's results are kept: `output_scores`, `output_logits`, `output_hidden_states` and
/// `output_attentions` of transformers. What is not asked for costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OutputRequest {
    /// [`StepOutput::scores`].
    pub scores: bool,
    /// [`StepOutput::logits`].
    pub logits: bool,
    /// [`StepOutput::hidden_states`].
    pub hidden_states: bool,
    /// [`StepOutput::attentions`] and [`StepOutput::cross_attentions`]. The pass is slower with them, and its
    /// memory grows with the square of the prompt.
    pub attentions: bool,
}

/// What the step of one token has computed, as far as it was asked for ([`OutputRequest`]). Tensors are f32
/// on the CPU. A clone shares all of it.
///
/// The step of the first token has read the prompt, or what of it was not in the cache; every later one has
/// read the token before. A draft of several tokens is one pass, and is told as the steps that it stands for.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StepOutput {
    /// What the token was chosen by, `(vocab,)`: the logits after all processors, with beams the
    /// log-probabilities after all processors.
    pub scores: Option<Arc<[f32]>>,
    /// What the model said, `(vocab,)`, before all processors.
    pub logits: Option<Arc<[f32]>>,
    /// `(tokens read, hidden)`, one more than the model has layers: what goes into each layer, and last the
    /// output of the final norm. Empty if not asked for.
    pub hidden_states: Vec<Tensor>,
    /// `(heads, tokens read, tokens so far)` for each layer: how each query shares its attention among the
    /// row's own tokens. Empty if not asked for.
    pub attentions: Vec<Tensor>,
    /// `(heads, tokens read, tokens of the source)` for each layer of an encoder-decoder's decoder. (Beside
    /// longer sources there are zeros behind the row's own.)
    pub cross_attentions: Vec<Tensor>,
}

impl GenerationConfig {
    /// What is kept of each step. As in transformers, that is nothing without `return_dict_in_generate`.
    pub(super) fn outputs(&self) -> OutputRequest {
        let is_on = |option: Option<bool>| option.unwrap_or(false);
        let wanted = OutputRequest {
            scores: is_on(self.output_scores),
            logits: is_on(self.output_logits),
            hidden_states: is_on(self.output_hidden_states),
            attentions: is_on(self.output_attentions),
        };
        if is_on(self.return_dict_in_generate) { wanted } else { OutputRequest::default() }
    }
}

impl OutputRequest {
    /// Whether anything is kept.
    pub(super) fn is_any(self) -> bool {
        self != Self::default()
    }

    /// Whether the pass itself has to record something.
    pub(super) fn is_traced(self) -> bool {
        self.hidden_states || self.attentions
    }

    /// What one of both asks for.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            scores: self.scores || other.scores,
            logits: self.logits || other.logits,
            hidden_states: self.hidden_states || other.hidden_states,
            attentions: self.attentions || other.attentions,
        }
    }
}

/// Where a row's tokens are in a pass whose padding is on the left.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPlace {
    /// The row.
    pub(super) row: usize,
    /// How many of its tokens were in the cache, and how many of the longest row.
    pub(super) before: usize,
    pub(super) longest_before: usize,
    /// How many tokens it has in the batch.
    pub(super) new: usize,
}

impl StepOutput {
    /// Adds what the pass has recorded of the row's new tokens in `range`.
    pub(super) fn record(
        &mut self,
        wanted: OutputRequest,
        trace: &Trace,
        place: RowPlace,
        range: Range<usize>,
    ) -> Result<()> {
        let RowPlace { row, before, longest_before, new } = place;
        if wanted.hidden_states {
            let states = trace.hidden_states.iter().map(|states| {
                let first = states.dim(1)? - new + range.start;
                kept(&states.get(row)?.narrow(0, first, range.len())?)
            });
            self.hidden_states = states.collect::<Result<_>>()?;
        }
        if wanted.attentions {
            let queries = |shares: &Tensor| -> Result<(Tensor, usize)> {
                let padding = shares.dim(2)? - new;
                let own = shares.get(row)?.narrow(1, padding + range.start, range.len())?;
                Ok((own, padding))
            };
            let own = trace.attentions.iter().map(|shares| {
                let (shares, padding) = queries(shares)?;
                let earlier = shares.narrow(2, 0, before)?;
                let later = shares.narrow(2, longest_before + padding, range.end)?;
                kept(&Tensor::cat(&[earlier, later], 2)?)
            });
            self.attentions = own.collect::<Result<_>>()?;
            let of_source = trace.source_attentions.iter();
            let of_source = of_source.map(|shares| kept(&queries(shares)?.0));
            self.cross_attentions = of_source.collect::<Result<_>>()?;
        }
        Ok(())
    }
}

fn kept(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?)
}

/// By their numbers.
impl PartialEq for StepOutput {
    fn eq(&self, other: &Self) -> bool {
        self.scores == other.scores
            && self.logits == other.logits
            && same(&self.hidden_states, &other.hidden_states)
            && same(&self.attentions, &other.attentions)
            && same(&self.cross_attentions, &other.cross_attentions)
    }
}
