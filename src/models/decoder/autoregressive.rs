//! Passes of a decoder: plain, recorded, and early exits.

use std::sync::Arc;

use candle_core::{D, DType, Tensor};

use super::config::HeadWeights;
use super::record::Record;
use super::{Decoder, NO_CHECKPOINT};
use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::models::traits::{
    Autoregressive, CausalLm, Checkpoint, Depth, LogitsAt, Trace, TraceRequest,
};
use crate::nn::cache::KvCache;

impl Autoregressive for Decoder {
    fn forward(&self, batch: &TokenBatch, cache: &mut KvCache, at: LogitsAt) -> Result<Tensor> {
        self.forward_with(batch, cache, at, NO_CHECKPOINT)
    }

    fn forward_with(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        at: LogitsAt,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Tensor> {
        self.threads.run(|| self.pass(batch, cache, at, checkpoint, None))
    }

    fn on_threads(&self, work: &mut (dyn FnMut() + Send)) {
        self.threads.run(work);
    }

    fn reusable(&self, cache: &KvCache, common: usize, length: usize) -> usize {
        let ropes = &self.config.ropes;
        let is_same = |then| ropes.iter().all(|rope| rope.is_same_at(then, length));
        let same = cache.computed_at().flatten().all(is_same);
        if same && cache.can_go_back(common) { common } else { 0 }
    }

    fn trace_with(
        &self,
        batch: &TokenBatch,
        cache: &mut KvCache,
        request: &TraceRequest,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Trace> {
        let mut record = Record::new(request, &self.config.layers)?;
        let recorded = Some(&mut record);
        let pass = || self.pass(batch, cache, request.logits, checkpoint, recorded);
        let logits = self.threads.run(pass)?;
        let source_heads = record.chosen_heads()?;
        let Record { hidden_states, attentions, source_attentions, .. } = record;
        Ok(Trace { logits, hidden_states, attentions, source_attentions, source_heads })
    }

    fn first_layers(&self, layers: usize) -> Result<Arc<dyn CausalLm>> {
        let own = self.layers.len();
        if layers == 0 || layers >= own || self.config.has_source() {
            let reason = match self.config.has_source() {
                true => {
                    "the decoder of an encoder-decoder does not work without its source".to_owned()
                }
                false => format!("{layers} layers of a model of {own}"),
            };
            return Err(Error::input(reason));
        }
        let mut early = self.clone();
        early.layers.truncate(layers);
        early.config.layers.truncate(layers);
        // A file of its cache is not one of the whole model's.
        early.fingerprint += &format!(".{layers}");
        Ok(Arc::new(early))
    }

    fn depth(&self) -> Option<Depth> {
        let tied_head = self.config.head == HeadWeights::TiedToEmbedding;
        Some(Depth { layers: self.layers.len(), tied_head })
    }

    fn early_exit(&self, hidden_states: &Tensor) -> Result<Tensor> {
        let mut shape = hidden_states.dims().to_vec();
        if shape.pop() != Some(self.config.hidden_size) {
            let (shape, hidden) = (hidden_states.dims(), self.config.hidden_size);
            return Err(Error::input(format!("hidden states {shape:?} in place of {hidden}")));
        }
        shape.push(self.config.logits());
        let rows = hidden_states.flatten_to(D::Minus2)?;
        let logits = self.threads.run(|| self.head.forward(&rows))?;
        Ok(logits.to_dtype(DType::F32)?.reshape(shape)?)
    }
}
