//! What all layers of one forward pass share.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::models::encoder::config::EncoderConfig;
use crate::models::encoder::packed::Tokens;
use crate::models::encoder::relative::{Buckets, DistanceVectors, Distances, by_place};
use crate::nn::rope::Rope;

/// What all layers of one forward pass share.
#[derive(Debug)]
pub(super) struct Pass {
    /// Where each row's tokens are.
    pub(super) rows: Vec<Range<usize>>,
    pub(super) ropes: Vec<Rope>,
    /// The most tokens of a row.
    pub(super) longest: usize,
    /// DeBERTa's, and those of layers that have vectors of their own.
    pub(super) distances: Option<Distances>,
    /// MPNet's: what is added to scores, `(heads, 2 longest - 1)`, by the place of the key minus
    /// that of the query plus `longest - 1`.
    pub(super) bias: Option<Vec<f32>>,
}

/// The model's own part in it.
#[derive(Debug)]
pub(super) enum Relative {
    Buckets(Buckets),
    Disentangled(DistanceVectors),
    None,
    /// Layers have them.
    OfLayers,
}

impl Pass {
    pub(super) fn new(
        tokens: &Tokens,
        config: &EncoderConfig,
        relative: &Relative,
        device: &Device,
    ) -> Result<Self> {
        let longest = tokens.longest();
        let positions = tokens.positions();
        let rope = |rope| Rope::new(rope, &positions, &[longest], device);
        Ok(Self {
            rows: tokens.rows.clone(),
            ropes: config.ropes.iter().map(rope).collect::<Result<_>>()?,
            longest,
            distances: match relative {
                Relative::Disentangled(vectors) => Some(vectors.distances(longest)),
                Relative::OfLayers => Some(Distances::each(longest)),
                Relative::Buckets(_) | Relative::None => None,
            },
            bias: match relative {
                Relative::Buckets(buckets) => Some(buckets.bias(longest, device)?),
                Relative::Disentangled(_) | Relative::None | Relative::OfLayers => None,
            },
        })
    }

    /// What is added to the scores of a row of so many tokens in layers with this window,
    /// `(1 or heads, tokens, tokens)` in f32.
    pub(super) fn matrix(
        &self,
        window: Option<usize>,
        tokens: usize,
        device: &Device,
    ) -> Result<Option<Tensor>> {
        let window = window.filter(|window| tokens > window + 1);
        if window.is_none() && self.bias.is_none() {
            return Ok(None);
        }
        let zeros = vec![0.0; 2 * self.longest - 1];
        let mut values: Vec<f32> = self.bias.as_ref().unwrap_or(&zeros).clone();
        for (at, value) in values.iter_mut().enumerate() {
            let distance = (at % zeros.len()).abs_diff(self.longest - 1);
            if window.is_some_and(|window| distance > window) {
                *value = f32::MIN;
            }
        }
        let heads = values.chunks_exact(zeros.len());
        let matrix: Vec<f32> =
            heads.flat_map(|head| by_place(head, self.longest, tokens)).copied().collect();
        Ok(Some(Tensor::from_vec(matrix, ((), tokens, tokens), device)?))
    }
}
