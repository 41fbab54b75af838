//! What all layers of one forward pass share.

use std::cell::RefCell;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::kernels::attention::Sight;
use crate::nn::alibi::AlibiConfig;
use crate::nn::cache::KvCache;
use crate::nn::rope::{Rope, RopeConfig};
use crate::nn::span::AttentionSpan;
use crate::nn::{flash, mask};

/// What all layers of one forward pass share: one entry per distinct rope, span and
/// ALiBi of the model, which layers name by number.
#[derive(Debug)]
pub(crate) struct Step {
    /// The first slot that this pass writes.
    pub(crate) start: usize,
    /// Slots the cache should have room for.
    pub(crate) capacity: usize,
    pub(crate) ropes: Vec<Rope>,
    pub(crate) views: Views,
    /// Added to scores, `(batch, heads, 1, slots)` in f32.
    pub(crate) alibis: Vec<Tensor>,
    /// Where layers put the shares of their attention, `(batch, heads, tokens, slots)`; asked for
    /// by [`recording`](Self::recording).
    pub(crate) shares: Option<RefCell<Vec<Tensor>>>,
}

/// What queries see, one entry per span.
#[derive(Debug)]
pub(crate) enum Views {
    /// Added to scores, `(batch, 1, tokens, slots)` in f32; `None` where every query sees every
    /// key. For any device.
    Masks(Vec<Option<Tensor>>),
    /// All tokens within the span, as no row has padding; for flash attention.
    Unpadded(Vec<AttentionSpan>),
    /// For each row; for kernels on the CPU.
    Sights(Vec<Vec<Sight>>),
}

impl Step {
    /// For the last `tokens` slots of a cache that has been extended by them. `lengths` are the
    /// rows' lengths at the end of the whole call, of which this pass may be one chunk.
    pub(crate) fn new(
        cache: &KvCache,
        tokens: usize,
        lengths: &[usize],
        ropes: &[RopeConfig],
        spans: &[AttentionSpan],
        alibis: &[AlibiConfig],
        device: &Device,
    ) -> Result<Self> {
        let start = cache.tokens() - tokens;
        let positions: Vec<u32> = cache
            .positions()
            .iter()
            .flat_map(|row| row[start..].iter().map(|position| position.unwrap_or(0)))
            .collect();
        let rope = |config| Rope::new(config, &positions, lengths, device);
        let mask = |&span| mask::additive(cache.positions(), start, span, device);
        let views = if device.is_cpu() {
            let sights = |&span| mask::sights(cache.positions(), start, span);
            Views::Sights(spans.iter().map(sights).collect())
        } else if flash::is_on(device) && alibis.is_empty() && !cache.is_padded() {
            Views::Unpadded(spans.to_vec())
        } else {
            Views::Masks(spans.iter().map(mask).collect::<Result<_>>()?)
        };
        let alibi = |alibi: &AlibiConfig| alibi.biases(cache.positions(), device);
        Ok(Self {
            start,
            capacity: cache.capacity(),
            ropes: ropes.iter().map(rope).collect::<Result<_>>()?,
            views,
            alibis: alibis.iter().map(alibi).collect::<Result<_>>()?,
            shares: None,
        })
    }

    /// The same, but layers tell what they attend to, which kernels never write down.
    pub(crate) fn recording(
        mut self,
        cache: &KvCache,
        spans: &[AttentionSpan],
        device: &Device,
    ) -> Result<Self> {
        let mask = |&span| mask::additive(cache.positions(), self.start, span, device);
        self.views = Views::Masks(spans.iter().map(mask).collect::<Result<_>>()?);
        self.shares = Some(RefCell::default());
        Ok(self)
    }
}
