//! A batch without its padding.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};

/// Tokens without padding, one row after the other. Nothing is computed on padding, and no mask is
/// needed: a row cannot see what is not there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    /// Where each row's tokens are.
    pub(crate) rows: Vec<Range<usize>>,
    pub(crate) ids: Vec<u32>,
    pub(crate) type_ids: Vec<u32>,
    /// Whether all tokens of the row attend to each; empty where there are none such.
    pub(crate) is_marked: Vec<bool>,
}

impl Tokens {
    /// Rows of what has no ids, such as frames of speech and patches of pictures.
    #[cfg(any(feature = "audio", feature = "image"))]
    pub(crate) fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut tokens = Self::default();
        for length in lengths {
            let end = tokens.ids.len() + length;
            tokens.rows.push(tokens.ids.len()..end);
            tokens.ids.resize(end, 0);
            tokens.type_ids.resize(end, 0);
        }
        tokens
    }

    /// The tokens of the longest row.
    pub(crate) fn longest(&self) -> usize {
        self.rows.iter().map(Range::len).max().unwrap_or(0)
    }

    /// Each token's place in its row.
    pub(crate) fn positions(&self) -> Vec<u32> {
        self.rows.iter().flat_map(|row| 0..row.len() as u32).collect()
    }

    /// Places in their row of the tokens that all others attend to, row by row; empty where there are none.
    pub(crate) fn marked(&self) -> Vec<Vec<usize>> {
        if self.is_marked.is_empty() {
            return Vec::new();
        }
        let marked = |row: &Range<usize>| {
            let places = self.is_marked[row.clone()].iter().enumerate();
            places.filter(|&(_, &is_marked)| is_marked).map(|(place, _)| place).collect()
        };
        self.rows.iter().map(marked).collect()
    }

    /// Some rows at a time, with so many tokens together at most, but for a row that has more; none is
    /// without tokens where there are any.
    pub(crate) fn parts(&self, most: usize) -> Vec<Self> {
        let mut parts = vec![Self::default()];
        for row in &self.rows {
            let mut part = parts.pop().unwrap_or_default();
            if !row.is_empty() && !part.ids.is_empty() && part.ids.len() + row.len() > most {
                parts.push(std::mem::take(&mut part));
            }
            part.rows.push(part.ids.len()..part.ids.len() + row.len());
            part.ids.extend(&self.ids[row.clone()]);
            part.type_ids.extend(&self.type_ids[row.clone()]);
            part.is_marked.extend(self.is_marked.get(row.clone()).unwrap_or_default());
            parts.push(part);
        }
        parts
    }
}

/// The tokens of a batch without its padding.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) tokens: Tokens,
    /// The number of each of the batch's slots among the packed tokens; `None` for padding.
    slots: Vec<Option<usize>>,
    /// `(rows, tokens)` of the batch.
    shape: (usize, usize),
}

impl Packed {
    pub(crate) fn new(batch: &TokenBatch) -> Self {
        let mut packed = Tokens::default();
        let mut slots = Vec::with_capacity(batch.ids().len());
        let tokens = batch.ids().iter().zip(batch.type_ids()).zip(batch.attention_mask());
        for (slot, ((&id, &type_id), &mask)) in tokens.enumerate() {
            if slot % batch.tokens() == 0 {
                packed.rows.push(packed.ids.len()..packed.ids.len());
            }
            slots.push((mask == 1).then_some(packed.ids.len()));
            if mask == 1 {
                packed.ids.push(id);
                packed.type_ids.push(type_id);
                packed
                    .is_marked
                    .extend(batch.global_attention_mask().get(slot).map(|&mask| mask == 1));
                if let Some(row) = packed.rows.last_mut() {
                    row.end += 1;
                }
            }
        }
        Self { tokens: packed, slots, shape: (batch.rows(), batch.tokens()) }
    }

    /// `(packed tokens, size)` to `(rows, tokens, size)` in f32, with zeros at padding.
    pub(crate) fn unpack(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, size) = x.dims2()?;
        let x = x.to_dtype(DType::F32)?;
        let (rows, columns) = self.shape;
        if tokens == self.slots.len() {
            return Ok(x.reshape((rows, columns, size))?);
        }
        let padding = Tensor::zeros((1, size), DType::F32, x.device())?;
        let slots = self.slots.iter().map(|slot| slot.unwrap_or(tokens) as u32);
        let slots = Tensor::from_iter(slots, x.device())?;
        let padded = Tensor::cat(&[x, padding], 0)?.index_select(&slots, 0)?;
        Ok(padded.reshape((rows, columns, size))?)
    }

    /// The ids of each row.
    pub(crate) fn row_ids(&self) -> Vec<&[u32]> {
        self.tokens.rows.iter().map(|row| &self.tokens.ids[row.clone()]).collect()
    }

    /// For each of a row's slots in the batch, the number of its token among the row's.
    pub(crate) fn numbers(&self, row: usize) -> impl Iterator<Item = Option<usize>> {
        let (_, columns) = self.shape;
        let start = self.tokens.rows[row].start;
        let slots = &self.slots[row * columns..(row + 1) * columns];
        slots.iter().map(move |slot| slot.map(|slot| slot - start))
    }

    /// The first token of each row: `(packed tokens, size)` to `(rows, size)`.
    pub(crate) fn firsts(&self, x: &Tensor) -> Result<Tensor> {
        let firsts = self.tokens.rows.iter().map(|row| row.start as u32);
        Ok(x.index_select(&Tensor::from_iter(firsts, x.device())?, 0)?)
    }

    /// The mean of each row, summed in f32: `(packed tokens, size)` to `(rows, size)`.
    pub(crate) fn means(&self, x: &Tensor) -> Result<Tensor> {
        let wide = x.to_dtype(DType::F32)?;
        let mean = |row: &Range<usize>| wide.narrow(0, row.start, row.len())?.mean_keepdim(0);
        let means = self.tokens.rows.iter().map(mean).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::cat(&means, 0)?.to_dtype(x.dtype())?)
    }

    /// The numbers of the tokens at these places of the batch, each a row and a column.
    pub(crate) fn places(&self, places: &[(usize, usize)], device: &Device) -> Result<Tensor> {
        let (rows, columns) = self.shape;
        let number = |&(row, column): &(usize, usize)| {
            let inside = row < rows && column < columns;
            let slot = inside.then(|| self.slots[row * columns + column]).flatten();
            slot.map(|slot| slot as u32).ok_or_else(|| {
                Error::input(format!("row {row}, column {column} of the batch holds no token"))
            })
        };
        let numbers = places.iter().map(number).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::new(numbers, device)?)
    }
}

/// Some rows of a matrix.
pub(crate) fn select(x: &Tensor, rows: &[u32]) -> Result<Tensor> {
    if rows.iter().copied().eq(0..x.dim(0)? as u32) {
        return Ok(x.clone());
    }
    Ok(x.index_select(&Tensor::new(rows, x.device())?, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In bf16 a sum of ones stops at 256.
    #[test]
    fn means_are_summed_in_f32() -> Result<()> {
        let packed = Packed::new(&TokenBatch::single(&[5; 1000])?);
        for dtype in [DType::BF16, DType::F16, DType::F32] {
            let means = packed.means(&Tensor::ones((1000, 3), dtype, &Device::Cpu)?)?;
            assert_eq!((means.dims(), means.dtype()), ([1, 3].as_slice(), dtype));
            assert_eq!(means.to_dtype(DType::F32)?.to_vec2::<f32>()?, [[1.0; 3]]);
        }
        Ok(())
    }

    #[test]
    fn parts_are_whole_rows_in_order() {
        let lengths = [3, 3, 9, 0, 1, 2, 7];
        let mut tokens = Tokens::default();
        for (id, length) in lengths.into_iter().enumerate() {
            tokens.rows.push(tokens.ids.len()..tokens.ids.len() + length);
            tokens.ids.extend(vec![id as u32; length]);
            tokens.type_ids.extend(vec![0; length]);
        }
        let parts = tokens.parts(6);
        let found: Vec<Vec<usize>> =
            parts.iter().map(|part| part.rows.iter().map(Range::len).collect()).collect();
        assert_eq!(found, [vec![3, 3], vec![9, 0], vec![1, 2], vec![7]]);
        let ids: Vec<u32> = parts.iter().flat_map(|part| part.ids.clone()).collect();
        assert_eq!(ids, tokens.ids);
        assert_eq!(Tokens::default().parts(6).len(), 1);
    }
}
