//! Absolute positions: a vector for each place in a row, added to its token's embedding.

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use crate::error::Result;
use crate::weights::{Embedding, Weights};

/// Which vectors are added to embeddings by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum AbsolutePositions {
    /// Learned ones, numbered from `padding_id + 1` on, and `padding_id` for a token of that id:
    /// RoBERTa and its descendants, MPNet.
    AfterPadding {
        /// The id of the padding token.
        padding_id: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// Learned ones, of which the first token takes number `offset`: 0 in BERT and GPT-2, 2 in BART
    /// and OPT.
    Learned {
        /// The number of the first token's vector.
        offset: u32,
        /// Rows of the table.
        rows: usize,
    },
    /// Cosines in the first half of the channels and sines in the second, of wavelengths from 2π to
    /// 10,000 · 2π, the longest included: MusicGen.
    CosinesFirst,
    /// None: rotary and relative families.
    None,
    /// As [`Sinusoidal`](Self::Sinusoidal) without a table, but the longest wavelength is 10,000 · 2π itself, and numbers
    /// are those of [`AfterPadding`](Self::AfterPadding), with zeros for the padding token: M2M100, NLLB.
    /// <https://arxiv.org/abs/2010.11125>
    SinusoidalAfterPadding {
        /// The id of the padding token.
        padding_id: u32,
    },
    /// Sines in the first half of the channels and cosines in the second, of wavelengths from 2π to
    /// 10,000 · 2π: Marian, Pegasus. Where the checkpoint holds a table, that is read, which may be in
    /// 16 bits, or not be these at all. <https://arxiv.org/abs/1706.03762>
    Sinusoidal {
        /// Rows of the table, where there is one.
        rows: usize,
    },
}

/// Vectors by position, loaded.
#[derive(Debug, Clone)]
pub(crate) struct PositionTable {
    config: AbsolutePositions,
    /// `None` where vectors are computed.
    learned: Option<Embedding>,
    size: usize,
    /// Of the vectors handed out.
    compute: DType,
}

impl PositionTable {
    /// Reads the table of that name, of vectors of `size` channels, where there is one; `None` where
    /// nothing is added.
    pub(crate) fn load(
        weights: &Weights,
        name: &str,
        size: usize,
        config: AbsolutePositions,
    ) -> Result<Option<Self>> {
        let learned = match config {
            AbsolutePositions::None => return Ok(None),
            AbsolutePositions::CosinesFirst | AbsolutePositions::SinusoidalAfterPadding { .. } => {
                None
            }
            AbsolutePositions::Sinusoidal { .. } if !weights.contains(name) => None,
            AbsolutePositions::AfterPadding { rows, .. }
            | AbsolutePositions::Learned { rows, .. }
            | AbsolutePositions::Sinusoidal { rows } => Some(weights.embedding(name, rows, size)?),
        };
        Ok(Some(Self { config, learned, size, compute: weights.dtype() }))
    }

    /// The vectors of tokens, `(tokens, size)`, by their ids and their places in their rows. Rows lie
    /// one after the other.
    pub(crate) fn forward(
        &self,
        ids: &[u32],
        positions: &[u32],
        device: &Device,
    ) -> Result<Tensor> {
        let numbers = self.numbers(ids, positions);
        if let Some(table) = &self.learned {
            return table.forward(&Tensor::new(numbers, device)?);
        }
        let mut vectors = Vec::with_capacity(numbers.len() * self.size);
        for number in numbers {
            match self.config {
                AbsolutePositions::SinusoidalAfterPadding { padding_id }
                    if number == padding_id =>
                {
                    vectors.resize(vectors.len() + self.size, 0.0);
                }
                AbsolutePositions::SinusoidalAfterPadding { .. } => {
                    vectors.extend(sinusoids_to_the_end(number, self.size));
                }
                AbsolutePositions::CosinesFirst => {
                    let (start, half) = (vectors.len(), self.size / 2);
                    vectors.extend(sinusoids_to_the_end(number, self.size));
                    vectors[start..start + 2 * half].rotate_left(half);
                }
                _ => vectors.extend(sinusoids(number, self.size)),
            }
        }
        let shape = (positions.len(), self.size);
        Ok(Tensor::from_vec(vectors, shape, device)?.to_dtype(self.compute)?)
    }

    /// Each token's number in the table.
    fn numbers(&self, ids: &[u32], positions: &[u32]) -> Vec<u32> {
        match self.config {
            AbsolutePositions::AfterPadding { padding_id, .. }
            | AbsolutePositions::SinusoidalAfterPadding { padding_id } => {
                let (mut next, mut following) = (padding_id, None);
                let number = |(&id, &position): (&u32, &u32)| {
                    // The first of a row in this pass follows those in the cache.
                    if following != Some(position) {
                        next = padding_id + position;
                    }
                    following = Some(position + 1);
                    // A padding token in the text itself takes no number: `create_position_ids_from_
                    // input_ids` of modeling_roberta.py.
                    next += u32::from(id != padding_id);
                    if id == padding_id { padding_id } else { next }
                };
                ids.iter().zip(positions).map(number).collect()
            }
            AbsolutePositions::Learned { offset, .. } => {
                positions.iter().map(|position| position + offset).collect()
            }
            AbsolutePositions::CosinesFirst
            | AbsolutePositions::None
            | AbsolutePositions::Sinusoidal { .. } => positions.to_vec(),
        }
    }
}

/// `get_embedding` of `M2M100SinusoidalPositionalEmbedding`, in f32 as there.
fn sinusoids_to_the_end(position: u32, size: usize) -> impl Iterator<Item = f32> {
    let half = size / 2;
    let step = (10_000_f64.ln() / (half.max(2) - 1) as f64) as f32;
    let angle = move |pair: usize| position as f32 * (pair as f32 * -step).exp();
    let sines = (0..half).map(move |pair| angle(pair).sin());
    let cosines = (0..half).map(move |pair| angle(pair).cos());
    sines.chain(cosines).chain((2 * half..size).map(|_| 0.0))
}

/// `create_weight` of `MarianSinusoidalPositionalEmbedding`, in f64 as there.
fn sinusoids(position: u32, size: usize) -> impl Iterator<Item = f32> {
    let sines = size.div_ceil(2);
    (0..size).map(move |channel| {
        let pair = if channel < sines { channel } else { channel - sines };
        let wavelength = 10_000_f64.powf((2 * pair) as f64 / size as f64);
        let angle = f64::from(position) / wavelength;
        (if channel < sines { angle.sin() } else { angle.cos() }) as f32
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    /// `tests/goldens/positions.json`, by `make_configs.py`.
    #[derive(Deserialize)]
    struct Golden {
        places: Vec<u32>,
        sinusoids: BTreeMap<usize, Vec<Vec<f32>>>,
    }

    fn table(config: AbsolutePositions, size: usize) -> PositionTable {
        PositionTable { config, learned: None, size, compute: DType::F32 }
    }

    #[test]
    fn sinusoids_are_those_of_the_reference() -> Result<()> {
        let golden: Golden =
            serde_json::from_str(include_str!("../../tests/goldens/positions.json")).unwrap();
        for (size, expected) in golden.sinusoids {
            let config = AbsolutePositions::Sinusoidal { rows: 0 };
            let table = table(config, size);
            let found = table.forward(&golden.places, &golden.places, &Device::Cpu)?;
            for (found, expected) in found.to_vec2::<f32>()?.iter().zip(&expected) {
                let near = |(found, expected): (&f32, &f32)| (found - expected).abs() < 1e-6;
                assert!(
                    found.iter().zip(expected).all(near),
                    "{size}: {found:?}, not {expected:?}"
                );
            }
        }
        Ok(())
    }

    #[test]
    fn padding_in_a_text_takes_no_number() {
        let config = AbsolutePositions::AfterPadding { padding_id: 1, rows: 9 };
        let after = table(config, 0);
        assert_eq!(after.numbers(&[5, 1, 7, 6, 1], &[0, 1, 2, 0, 1]), [2, 1, 3, 2, 1]);
        // What is in the cache counts.
        assert_eq!(after.numbers(&[5, 1, 7, 6, 8], &[7, 8, 9, 3, 6]), [9, 1, 10, 5, 8]);
        let config = AbsolutePositions::Learned { offset: 2, rows: 9 };
        assert_eq!(table(config, 0).numbers(&[5, 1, 7], &[0, 1, 0]), [2, 3, 2]);
    }
}
