//! What all layers of one forward pass without a cache share.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::nn::packed::Tokens;
use crate::nn::relative::{Distances, SharedRelative, by_place};
use crate::nn::rope::{Rope, RopeConfig};
use crate::nn::span::AttentionSpan;

/// What all layers of one forward pass without a cache share.
#[derive(Debug)]
pub(crate) struct Pass {
    /// Where each row's tokens are.
    pub(crate) rows: Vec<Range<usize>>,
    pub(crate) ropes: Vec<Rope>,
    pub(crate) spans: Vec<AttentionSpan>,
    /// The most tokens of a row.
    pub(crate) longest: usize,
    /// DeBERTa's, and those of layers that have vectors of their own.
    pub(crate) distances: Option<Distances>,
    /// MPNet's: what is added to scores, `(heads, 2 longest - 1)`, by the place of the key minus
    /// that of the query plus `longest - 1`.
    pub(crate) bias: Option<Vec<f32>>,
}

impl Pass {
    pub(crate) fn new(
        tokens: &Tokens,
        ropes: &[RopeConfig],
        spans: &[AttentionSpan],
        relative: Option<&SharedRelative>,
        device: &Device,
    ) -> Result<Self> {
        let longest = tokens.longest();
        let rows = || tokens.rows.iter().map(|row| (0..row.len() as u32, longest));
        let rope = |rope| Rope::new(rope, rows(), device);
        let bias = relative.map(|relative| relative.bias(longest, device)).transpose()?;
        Ok(Self {
            rows: tokens.rows.clone(),
            ropes: ropes.iter().map(rope).collect::<Result<_>>()?,
            spans: spans.to_vec(),
            longest,
            distances: relative.and_then(|relative| relative.distances(longest)),
            bias: bias.flatten(),
        })
    }

    /// What is added to the scores of a row of so many tokens in layers with this window,
    /// `(1 or heads, tokens, tokens)` in f32.
    pub(crate) fn matrix(
        &self,
        window: Option<usize>,
        tokens: usize,
        device: &Device,
    ) -> Result<Option<Tensor>> {
        let window = window.filter(|&window| tokens > window);
        if window.is_none() && self.bias.is_none() {
            return Ok(None);
        }
        let zeros = vec![0.0; 2 * self.longest - 1];
        let mut values: Vec<f32> = self.bias.as_ref().unwrap_or(&zeros).clone();
        for (at, value) in values.iter_mut().enumerate() {
            let distance = (at % zeros.len()).abs_diff(self.longest - 1);
            if window.is_some_and(|window| distance >= window) {
                *value = f32::MIN;
            }
        }
        let heads = values.chunks_exact(zeros.len());
        let matrix: Vec<f32> =
            heads.flat_map(|head| by_place(head, self.longest, tokens)).copied().collect();
        Ok(Some(Tensor::from_vec(matrix, ((), tokens, tokens), device)?))
    }
}
