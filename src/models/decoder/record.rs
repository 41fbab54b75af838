//! What a pass is asked to write down.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::models::traits::{LogitsAt, TraceRequest};
use crate::nn::Step;
use crate::nn::attention::Attention;
use crate::nn::cache::SourceLayer;
use crate::nn::layer::LayerConfig;
use crate::nn::packed::{Packed, select};

/// What a pass is asked to write down, as [`Trace`](crate::models::Trace) tells it.
pub(super) struct Record<'a> {
    pub(super) request: &'a TraceRequest,
    /// What goes into each requested layer, `(tokens, hidden)`, chunk by chunk.
    inputs: BTreeMap<usize, Vec<Tensor>>,
    /// As requested.
    pub(super) hidden_states: Vec<Tensor>,
    /// `(rows, heads, tokens of the longest row, slots of the longest row)`.
    pub(super) attentions: Vec<Tensor>,
    /// `(rows, heads, tokens of the longest row, tokens of the longest source)`.
    pub(super) source_attentions: Vec<Tensor>,
    /// The same of the requested heads of each layer that has such, in the order of `heads_of`.
    of_heads: BTreeMap<usize, Tensor>,
}

impl<'a> Record<'a> {
    /// For a model of these layers.
    pub(super) fn new(request: &'a TraceRequest, layers: &[LayerConfig]) -> Result<Self> {
        let count = layers.len();
        if let Some(number) = request.hidden_states.iter().find(|&&number| number > count) {
            let reason = format!("no hidden state {number} in a model of {count} layers");
            return Err(Error::input(reason));
        }
        let has_head = |&&(layer, head): &&(usize, usize)| {
            let cross = layers.get(layer).and_then(|layer| layer.cross.as_ref());
            cross.is_some_and(|cross| head < cross.heads)
        };
        if let Some((layer, head)) = request.source_heads.iter().find(|pair| !has_head(pair)) {
            let reason = format!("no head {head} of layer {layer} attends to a source");
            return Err(Error::input(reason));
        }
        Ok(Self {
            request,
            inputs: BTreeMap::new(),
            hidden_states: Vec::new(),
            attentions: Vec::new(),
            source_attentions: Vec::new(),
            of_heads: BTreeMap::new(),
        })
    }

    /// Whether anything is asked for that is recorded of all tokens at once.
    pub(super) fn is_of_whole(&self) -> bool {
        self.request.attentions || !self.request.source_heads.is_empty()
    }

    /// The heads of a layer whose attention to the source is requested, each once.
    fn heads_of(&self, layer: usize) -> Vec<u32> {
        let of_layer = self.request.source_heads.iter().filter(|&&(number, _)| number == layer);
        let heads: BTreeSet<u32> = of_layer.map(|&(_, head)| head as u32).collect();
        heads.into_iter().collect()
    }

    /// Takes note of what the requested heads of a layer attend to; `x` goes into its attention to the source.
    pub(super) fn note_source(
        &mut self,
        layer: usize,
        cross: &Attention,
        x: &Tensor,
        step: &Step,
        source: &SourceLayer<'_>,
    ) -> Result<()> {
        let heads = self.heads_of(layer);
        if !heads.is_empty() {
            self.of_heads.insert(layer, cross.source_shares(x, step, source, &heads)?);
        }
        Ok(())
    }

    /// The attention of the requested heads, in their order.
    pub(super) fn chosen_heads(&self) -> Result<Vec<Tensor>> {
        let chosen = self.request.source_heads.iter().filter_map(|&(layer, head)| {
            let place = self.heads_of(layer).binary_search(&(head as u32)).ok()?;
            let shares = self.of_heads.get(&layer)?;
            Some(shares.narrow(1, place, 1).and_then(|shares| shares.squeeze(1)))
        });
        Ok(chosen.collect::<candle_core::Result<_>>()?)
    }

    /// Takes note of what goes into a layer.
    pub(super) fn note_input(&mut self, layer: usize, x: &Tensor) {
        if self.request.hidden_states.contains(&layer) {
            self.inputs.entry(layer).or_default().push(x.clone());
        }
    }

    /// Arranges it as the batch is, padding included. Of what was `computed` of each row, the batch's
    /// tokens are the last. Hidden states are wanted at `places`, and there they are `last` after the final
    /// norm.
    pub(super) fn finish(
        &mut self,
        packed: &Packed,
        places: &[u32],
        last: &Tensor,
        computed: &[usize],
        lengths: &[usize],
    ) -> Result<()> {
        for number in &self.request.hidden_states {
            let hidden = match self.inputs.get(number) {
                Some(chunks) => select(&Tensor::cat(chunks, 0)?, places)?,
                None => last.clone(),
            };
            self.hidden_states.push(match self.request.hidden_at {
                LogitsAt::EveryToken => packed.unpack(&hidden)?.to_dtype(hidden.dtype())?,
                LogitsAt::LastToken => hidden,
            });
        }
        for shares in &mut self.attentions {
            *shares = by_column(shares, packed, computed, lengths)?;
        }
        for shares in self.source_attentions.iter_mut().chain(self.of_heads.values_mut()) {
            *shares = queries_by_column(shares, packed, computed)?;
        }
        Ok(())
    }
}

/// Queries by the columns of the batch.
fn queries_by_column(shares: &Tensor, packed: &Packed, computed: &[usize]) -> Result<Tensor> {
    let queries = shares.dim(2)?;
    let shares = shares.pad_with_zeros(2, 0, 1)?;
    let rows = packed.tokens.rows.iter().zip(computed).enumerate();
    let rows = rows.map(|(row, (new, computed))| -> Result<Tensor> {
        let first = computed - new.len();
        let places =
            packed.numbers(row).map(|number| number.map_or(queries, |number| first + number));
        let places = Tensor::from_iter(places.map(|place| place as u32), shares.device())?;
        Ok(shares.get(row)?.index_select(&places, 1)?)
    });
    Ok(Tensor::stack(&rows.collect::<Result<Vec<_>>>()?, 0)?)
}

/// Queries by the columns of the batch; keys by the tokens before it, and then by its columns.
fn by_column(
    shares: &Tensor,
    packed: &Packed,
    computed: &[usize],
    lengths: &[usize],
) -> Result<Tensor> {
    let (_, _, queries, slots) = shares.dims4()?;
    // Behind everything there are zeros, for padding.
    let shares = shares.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?;
    let new: Vec<usize> = packed.tokens.rows.iter().map(ExactSizeIterator::len).collect();
    let earlier = lengths.iter().zip(&new).map(|(length, new)| length - new).max().unwrap_or(0);
    let rows = new.iter().enumerate().map(|(row, new)| -> Result<Tensor> {
        let columns = |first: usize, none: usize| {
            let numbers = packed.numbers(row);
            numbers.map(move |number| number.map_or(none, |number| first + number) as u32)
        };
        let before = lengths[row] - new;
        let keys = (0..earlier).map(|slot| if slot < before { slot } else { slots } as u32);
        let shares = shares.get(row)?;
        let index = |places: Vec<u32>| Tensor::new(places, shares.device());
        let queries = index(columns(computed[row] - new, queries).collect())?;
        let keys = index(keys.chain(columns(before, slots)).collect())?;
        Ok(shares.index_select(&queries, 1)?.index_select(&keys, 2)?)
    });
    Ok(Tensor::stack(&rows.collect::<Result<Vec<_>>>()?, 0)?)
}
