//! A forward pass, and what its rows want of it beside logits.

use candle_core::{D, DType, Device, Tensor};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::generation::dola::{self, DolaLayers};
use crate::generation::outputs::OutputRequest;
use crate::generation::plan::Plan;
use crate::models::{Autoregressive, Checkpoint, LogitsAt, Trace, TraceRequest};
use crate::nn::cache::KvCache;
use crate::weights::slices::with_f32;

/// What a row wants of a pass.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wants<'a> {
    pub(super) outputs: OutputRequest,
    dola: Option<&'a DolaLayers>,
}

/// What a pass gives beside its logits.
#[derive(Debug)]
pub(super) struct Passed {
    /// As the model said them, where the logits are others and someone asks for them.
    pub(super) own_logits: Option<Vec<f32>>,
    /// How many tokens of the longest row were in the cache.
    pub(super) longest_before: usize,
    /// The logits of a token.
    pub(super) vocab: usize,
    /// The logits of a row.
    pub(super) each: usize,
    /// If someone asks for it.
    pub(super) trace: Option<Trace>,
}

impl<'a> Wants<'a> {
    /// What a row with this plan wants, and what it wants already.
    pub(super) fn with(self, plan: &'a Plan) -> Self {
        Self { outputs: self.outputs.or(plan.outputs), dola: plan.dola.as_ref().or(self.dola) }
    }
}

/// Computes a batch whose padding is on the left. Logits are, for each row, those after each of its tokens, or
/// after the last alone: on the CPU, in f32, and never in memory a second time, since those of a batch over a
/// large vocabulary are tens of megabytes.
pub(super) fn pass(
    model: &dyn Autoregressive,
    batch: &TokenBatch,
    cache: &mut KvCache,
    at: LogitsAt,
    checkpoint: &Checkpoint<'_>,
    rows: &[Wants<'_>],
) -> Result<(Tensor, Passed)> {
    let outputs = rows.iter().fold(OutputRequest::default(), |all, row| all.or(row.outputs));
    let contrasts = rows.iter().any(|row| row.dola.is_some());
    let longest_before = cache.row_lengths().into_iter().max().unwrap_or(0);
    if !contrasts && !outputs.is_traced() {
        let logits = model.forward_with(batch, cache, at, checkpoint)?;
        return passed(logits, longest_before, None);
    }
    let option = match (contrasts, outputs.hidden_states) {
        (true, _) => "dola_layers",
        (_, true) => "output_hidden_states",
        _ => "output_attentions",
    };
    let depth = model
        .depth()
        .ok_or_else(|| Error::option(option, "this model does not show its hidden states"))?;
    let early = dola::layers(rows.iter().map(|row| row.dola), depth)?;
    let request = TraceRequest {
        logits: at,
        hidden_states: match outputs.hidden_states {
            true => (0..=depth.layers).collect(),
            false => early.all(),
        },
        hidden_at: if outputs.hidden_states { LogitsAt::EveryToken } else { at },
        attentions: outputs.attentions,
        source_heads: Vec::new(),
    };
    let trace = model.trace_with(batch, cache, &request, checkpoint)?;
    let logits = trace.logits.clone();
    let (mut logits, mut passed) = passed(logits, longest_before, Some(trace))?;
    if let (true, Some(trace)) = (contrasts, &passed.trace) {
        let mut contrasted = numbers(&logits)?;
        passed.own_logits = outputs.logits.then(|| contrasted.clone());
        early.contrast(&mut contrasted, passed.vocab, model, trace, &request)?;
        logits = Tensor::from_vec(contrasted, logits.shape(), &Device::Cpu)?;
    }
    passed.trace = passed.trace.filter(|_| outputs.is_traced());
    Ok((logits, passed))
}

fn passed(logits: Tensor, longest_before: usize, trace: Option<Trace>) -> Result<(Tensor, Passed)> {
    let (rows, vocab) = (logits.dim(0)?, logits.dim(D::Minus1)?);
    let each = logits.elem_count() / rows.max(1);
    let logits = logits.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
    Ok((logits, Passed { own_logits: None, longest_before, vocab, each, trace }))
}

/// The logits of a pass as numbers that may be changed; all threads copy them.
pub(super) fn numbers(logits: &Tensor) -> Result<Vec<f32>> {
    with_f32(logits, |numbers| numbers.par_iter().copied().collect())
}
