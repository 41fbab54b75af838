//! A batch without its padding.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};

/// The tokens of a batch without its padding, one row after the other. Nothing is computed on
/// padding, and no mask is needed: a row cannot see what is not there.
#[derive(Debug)]
pub(super) struct Packed {
    /// Where each row's tokens are.
    pub(super) rows: Vec<Range<usize>>,
    pub(super) ids: Vec<u32>,
    pub(super) type_ids: Vec<u32>,
    /// The number of each of the batch's slots among the packed tokens; `None` for padding.
    slots: Vec<Option<usize>>,
    /// `(rows, tokens)` of the batch.
    shape: (usize, usize),
}

impl Packed {
    pub(super) fn new(batch: &TokenBatch) -> Self {
        let mut packed = Self {
            rows: Vec::with_capacity(batch.rows()),
            ids: Vec::new(),
            type_ids: Vec::new(),
            slots: Vec::with_capacity(batch.ids().len()),
            shape: (batch.rows(), batch.tokens()),
        };
        let tokens = batch.ids().iter().zip(batch.type_ids()).zip(batch.attention_mask());
        for (slot, ((&id, &type_id), &mask)) in tokens.enumerate() {
            if slot % batch.tokens() == 0 {
                packed.rows.push(packed.ids.len()..packed.ids.len());
            }
            packed.slots.push((mask == 1).then_some(packed.ids.len()));
            if mask == 1 {
                packed.ids.push(id);
                packed.type_ids.push(type_id);
                if let Some(row) = packed.rows.last_mut() {
                    row.end += 1;
                }
            }
        }
        packed
    }

    /// The tokens of the longest row.
    pub(super) fn longest(&self) -> usize {
        self.rows.iter().map(Range::len).max().unwrap_or(0)
    }

    /// Each token's place in its row.
    pub(super) fn positions(&self) -> Vec<u32> {
        self.rows.iter().flat_map(|row| 0..row.len() as u32).collect()
    }

    /// `(packed tokens, size)` to `(rows, tokens, size)` in f32, with zeros at padding.
    pub(super) fn unpack(&self, x: &Tensor) -> Result<Tensor> {
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

    /// The first token of each row: `(packed tokens, size)` to `(rows, size)`.
    pub(super) fn firsts(&self, x: &Tensor) -> Result<Tensor> {
        let firsts = self.rows.iter().map(|row| row.start as u32);
        Ok(x.index_select(&Tensor::from_iter(firsts, x.device())?, 0)?)
    }

    /// The mean of each row: `(packed tokens, size)` to `(rows, size)`.
    pub(super) fn means(&self, x: &Tensor) -> Result<Tensor> {
        let mean = |row: &Range<usize>| x.narrow(0, row.start, row.len())?.mean_keepdim(0);
        let means = self.rows.iter().map(mean).collect::<candle_core::Result<Vec<_>>>()?;
        Ok(Tensor::cat(&means, 0)?)
    }

    /// The numbers of the tokens at these places of the batch, each a row and a column.
    pub(super) fn places(&self, places: &[(usize, usize)], device: &Device) -> Result<Tensor> {
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
