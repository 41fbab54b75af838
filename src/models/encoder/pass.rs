//! What all layers of one forward pass share.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::models::encoder::config::EncoderConfig;
use crate::models::encoder::packed::Packed;
use crate::models::encoder::relative::{Buckets, DistanceVectors, Distances};
use crate::nn::rope::Rope;

/// What all layers of one forward pass share.
#[derive(Debug)]
pub(super) struct Pass {
    /// Where each row's tokens are.
    pub(super) rows: Vec<Range<usize>>,
    pub(super) ropes: Vec<Rope>,
    /// DeBERTa's.
    pub(super) distances: Option<Distances>,
    /// For each distinct window, what is added to scores, `(1 or heads, longest, longest)` in f32.
    biases: Vec<(Option<usize>, Tensor)>,
}

/// The model's own part in it.
#[derive(Debug)]
pub(super) enum Relative {
    Buckets(Buckets),
    Disentangled(DistanceVectors),
    None,
}

impl Pass {
    pub(super) fn new(
        packed: &Packed,
        config: &EncoderConfig,
        relative: &Relative,
        device: &Device,
    ) -> Result<Self> {
        let longest = packed.longest();
        let positions = packed.positions();
        let rope = |rope| Rope::new(rope, &positions, &[longest], device);
        let mut biases: Vec<(Option<usize>, Tensor)> = Vec::new();
        if let Relative::Buckets(buckets) = relative {
            biases.push((None, buckets.bias(longest, device)?));
        }
        for window in config.layers.iter().filter_map(|layer| layer.attention.window) {
            let known = biases.iter().any(|(of, _)| *of == Some(window));
            // Shorter rows lie within the window.
            if !known && longest > window + 1 {
                biases.push((Some(window), outside(window, longest, device)?));
            }
        }
        Ok(Self {
            rows: packed.rows.clone(),
            ropes: config.ropes.iter().map(rope).collect::<Result<_>>()?,
            distances: match relative {
                Relative::Disentangled(vectors) => Some(vectors.distances(longest)?),
                Relative::Buckets(_) | Relative::None => None,
            },
            biases,
        })
    }

    /// What is added to the scores of layers with this window.
    pub(super) fn bias(&self, window: Option<usize>) -> Option<&Tensor> {
        self.biases.iter().find(|(of, _)| *of == window).map(|(_, bias)| bias)
    }
}

/// 0 for tokens at most `window` apart, and what leaves no weight for others.
fn outside(window: usize, tokens: usize, device: &Device) -> Result<Tensor> {
    let value = |query: usize, key: usize| match query.abs_diff(key) <= window {
        true => 0.0,
        false => f32::MIN,
    };
    let pairs = (0..tokens).flat_map(|q| (0..tokens).map(move |k| value(q, k)));
    Ok(Tensor::from_iter(pairs, device)?.reshape((1, tokens, tokens))?)
}
