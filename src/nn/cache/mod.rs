//! Keys and values of the tokens a generation has seen.

mod file;
mod layer;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::kernels::cached::Block;
use crate::nn::packed::Packed;
use layer::Buffers;
use rows::{Kept, NEVER, Row};

pub(crate) use layer::LayerCache;
pub use rows::CacheLayer;
pub(crate) use rows::Segment;

/// Keys and values of the tokens a generation has seen, for each of its rows.
///
/// On the CPU they are kept in blocks of 64 tokens, and each row has a table of its blocks. Rows can
/// share blocks, so [`fork`](Self::fork) and [`select_rows`](Self::select_rows) copy no keys and no
/// values. A row that goes on gets a copy of its last block if that is shared and not full. On other
/// devices rows lie one after the other in one buffer, which grows by doubling.
///
/// Rows may be of different lengths. Padding is never kept: a token's slot in its row is its
/// position. The number of rows is decided by the first forward pass, and stays until
/// [`clear`](Self::clear), [`select_rows`](Self::select_rows) or [`admit`](Self::admit).
///
/// # Sliding windows
///
/// Blocks of layers with a sliding window are given back once all of their tokens are more than 1,024
/// tokens behind the window. So a row can go back by at least 1,024 tokens; where it would have to go
/// back further, [`truncate`](Self::truncate) is an error, and the row has to be computed again from
/// its beginning.
///
/// # A model of your own
///
/// A [`CausalLm`](crate::models::CausalLm) makes caches with [`new`](Self::new). Its forward pass calls
/// [`extend`](Self::extend) once, and then [`append`](Self::append) for each layer.
#[derive(Debug)]
pub struct KvCache {
    kept: Arc<Kept>,
    rows: Vec<Row>,
    /// For each layer keys and values, `(rows, kv_heads, capacity, head_dim)`, where they are not in
    /// blocks.
    buffers: Buffers,
    reserved: usize,
}

impl KvCache {
    /// An empty cache for these layers. On the CPU keys and values are kept as `dtype` says: in f16, in
    /// 8 bits where it is u8 (with a scale for 32 channels), and else in f32. On other devices they
    /// keep the dtype they come in.
    #[must_use]
    pub fn new(layers: impl IntoIterator<Item = CacheLayer>, dtype: DType) -> Self {
        let kept = Kept::new(layers.into_iter().collect(), dtype);
        Self {
            rows: Vec::new(),
            buffers: vec![None; kept.layers.len()],
            reserved: 0,
            kept: Arc::new(kept),
        }
    }

    /// The tokens of the longest row.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.rows.iter().map(Row::length).max().unwrap_or(0)
    }

    /// The number of rows; 0 before the first forward pass.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The tokens of each row.
    #[must_use]
    pub fn row_lengths(&self) -> Vec<usize> {
        self.rows.iter().map(Row::length).collect()
    }

    /// The ids of a row's tokens; `None` where there is no such row.
    #[must_use]
    pub fn row_ids(&self, row: usize) -> Option<&[u32]> {
        self.rows.get(row).map(|row| row.ids.as_slice())
    }

    /// Bytes allocated on the device for keys and values. Blocks that rows share count once.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let buffers = self.buffers.iter().flatten();
        let buffers: usize = buffers.map(|(keys, values)| bytes(keys) + bytes(values)).sum();
        let of_group =
            |number: usize| self.blocks(number).len() * self.kept.groups[number].layout.bytes();
        buffers + (0..self.kept.groups.len()).map(of_group).sum::<usize>()
    }

    /// The blocks of a group, each once, with numbers from 0 in the order of rows.
    fn blocks(&self, group: usize) -> HashMap<*const Block, usize> {
        let mut blocks = HashMap::new();
        let tables = self.rows.iter().flat_map(|row| &row.tables[group]);
        for block in tables.flatten() {
            let number = blocks.len();
            blocks.entry(Arc::as_ptr(block)).or_insert(number);
        }
        blocks
    }

    /// Makes the next allocation large enough for rows of `tokens` tokens, so that a generation of
    /// known length never copies its cache. Blocks are never copied for more room.
    pub fn reserve(&mut self, tokens: usize) {
        self.reserved = self.reserved.max(tokens);
    }

    /// Forgets what is beyond the first `tokens` tokens of each row, so that a shared prefix is not
    /// computed again.
    ///
    /// # Errors
    ///
    /// When no row has so many, or a sliding window has given back what one of them would need; nothing
    /// changes then.
    pub fn truncate(&mut self, tokens: usize) -> Result<()> {
        if tokens > self.tokens() {
            let reason = format!("cannot keep {tokens} tokens of a cache of {}", self.tokens());
            return Err(Error::input(reason));
        }
        if tokens == 0 {
            self.clear();
            return Ok(());
        }
        let lengths = self.rows.iter().map(|row| row.length().min(tokens)).collect::<Vec<_>>();
        self.truncate_rows(&lengths)
    }

    /// As [`truncate`](Self::truncate), with a length for each row. A row may become empty and go on
    /// from there.
    ///
    /// # Errors
    ///
    /// As there, and when there are not as many lengths as rows.
    pub fn truncate_rows(&mut self, lengths: &[usize]) -> Result<()> {
        if lengths.len() != self.rows() {
            let (lengths, rows) = (lengths.len(), self.rows());
            return Err(Error::input(format!("{lengths} lengths for {rows} rows of a cache")));
        }
        for (number, (row, &length)) in self.rows.iter().zip(lengths).enumerate() {
            if length > row.length() {
                let own = row.length();
                return Err(Error::input(format!(
                    "cannot keep {length} tokens of a row of {own} (row {number})"
                )));
            }
            if !row.can_go_back(length, &self.kept) {
                return Err(Error::input(format!(
                    "row {number} cannot go back to {length} tokens: a sliding window has let go of \
                     what they attend to; compute it again from its beginning"
                )));
            }
        }
        self.rows.iter_mut().zip(lengths).for_each(|(row, &length)| row.truncate(length));
        Ok(())
    }

    /// Whether every row that has more can go back to `tokens` tokens, as
    /// [`truncate`](Self::truncate) does.
    #[must_use]
    pub fn can_go_back(&self, tokens: usize) -> bool {
        self.rows.iter().all(|row| row.can_go_back(tokens.min(row.length()), &self.kept))
    }

    /// Forgets everything, the number of rows too.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Keeps the given rows in the given order; a row may be named several times, as beams need. On
    /// the CPU blocks are shared and nothing is copied.
    ///
    /// # Errors
    ///
    /// When there is no such row; nothing changes then.
    pub fn select_rows(&mut self, rows: &[usize]) -> Result<()> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows()) {
            return Err(Error::input(format!("no row {row} in a cache of {}", self.rows())));
        }
        if rows.is_empty() {
            return Err(Error::input("cannot keep no row of a cache; clear it instead"));
        }
        let index: Vec<_> = rows.iter().map(|&row| row as u32).collect();
        self.buffers = self.map_buffers(|buffer| {
            buffer.index_select(&Tensor::new(index.as_slice(), buffer.device())?, 0)
        })?;
        self.rows = rows.iter().map(|&row| self.rows[row].clone()).collect();
        Ok(())
    }

    /// A cache with the same content, so that both can go on from here. On the CPU they share blocks and
    /// nothing is copied.
    ///
    /// # Errors
    ///
    /// When a device has no memory for a copy.
    pub fn fork(&self) -> Result<Self> {
        Ok(Self {
            kept: Arc::clone(&self.kept),
            rows: self.rows.clone(),
            buffers: self.map_buffers(Tensor::force_contiguous)?,
            reserved: self.reserved,
        })
    }

    /// Appends the rows of another cache of the same model, on the same device.
    ///
    /// # Errors
    ///
    /// When the other keeps something else; nothing changes then.
    pub fn admit(&mut self, other: Self) -> Result<()> {
        if self.kept != other.kept {
            return Err(Error::input("rows of a cache of another model"));
        }
        if self.rows.is_empty() {
            let reserved = self.reserved.max(other.reserved);
            *self = Self { reserved, ..other };
            return Ok(());
        }
        if other.rows.is_empty() {
            return Ok(());
        }
        self.buffers = layer::joined(&self.buffers, &other.buffers)?;
        self.rows.extend(other.rows);
        Ok(())
    }

    /// Notes that a batch's tokens are about to be appended to the rows, before the first layer's keys
    /// and values are. [`truncate_rows`](Self::truncate_rows) undoes it.
    ///
    /// # Errors
    ///
    /// When the cache has another number of rows.
    pub fn extend(&mut self, batch: &TokenBatch) -> Result<()> {
        if self.rows() != 0 && self.rows() != batch.rows() {
            let (rows, cached) = (batch.rows(), self.rows());
            return Err(Error::input(format!("a batch of {rows} rows for a cache of {cached}")));
        }
        let tokens = Packed::new(batch).tokens;
        self.extend_rows(tokens.rows.iter().map(|row| &tokens.ids[row.clone()]));
        Ok(())
    }

    /// As [`extend`](Self::extend), with the ids of each row.
    pub(crate) fn extend_rows<'a>(&mut self, ids: impl ExactSizeIterator<Item = &'a [u32]>) {
        let groups = self.kept.groups.len();
        self.rows.resize_with(ids.len(), || Row {
            ids: Vec::new(),
            new: 0,
            computed_at: NEVER,
            tables: vec![Vec::new(); groups],
        });
        for (row, ids) in self.rows.iter_mut().zip(ids) {
            row.ids.extend(ids);
            row.new = ids.len();
        }
    }

    /// What the last [`extend`](Self::extend) has brought to each row.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        rows::segments(&self.rows)
    }

    /// Gives back the blocks that no token to come will attend to, and that the rows' way back to
    /// these lengths does not take; a row of no length goes back by being cleared.
    pub(crate) fn let_go(&mut self, lengths: &[usize]) {
        let rows = self.rows.iter_mut().zip(lengths);
        rows.for_each(|(row, &length)| row.let_go(length, &self.kept));
    }

    /// For each row, the least and the greatest length it had when keys and values were computed.
    pub(crate) fn computed_at(&self) -> impl Iterator<Item = [usize; 2]> {
        self.rows.iter().map(|row| row.computed_at)
    }

    /// Notes that the last keys and values have been computed for rows of these lengths.
    pub(crate) fn note_computed(&mut self, lengths: &[usize]) {
        for (row, &length) in self.rows.iter_mut().zip(lengths) {
            let [least, greatest] = row.computed_at;
            row.computed_at = [length.min(least), length.max(greatest)];
        }
    }

    /// The tokens that rows are to have room for.
    pub(crate) fn reserved(&self) -> usize {
        self.reserved
    }

    /// Bytes that a token takes.
    pub(crate) fn bytes_per_token(&self) -> usize {
        let Kept { layers, dtype, .. } = &*self.kept;
        layers.iter().map(|layer| layer.bytes_per_token(*dtype)).sum()
    }

    /// The part of a layer.
    pub(crate) fn layer(&mut self, number: usize) -> LayerCache<'_> {
        let buffers = &mut self.buffers[number];
        LayerCache::new(&self.kept, number, &mut self.rows, buffers, self.reserved)
    }

    /// Writes a layer's keys and values, each `(tokens, kv_heads, head_dim)` for the tokens of the last
    /// [`extend`](Self::extend), row by row without padding. Returns those of all tokens so far,
    /// `(rows, kv_heads, slots, head_dim)`, with as many slots as the longest row has tokens; what is
    /// beyond a row's end means nothing. On the CPU they are copies in f32.
    ///
    /// # Errors
    ///
    /// When there is no such layer, or the shapes are others.
    pub fn append(
        &mut self,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        if layer >= self.kept.layers.len() {
            let layers = self.kept.layers.len();
            return Err(Error::input(format!("layer {layer} of a cache for {layers}")));
        }
        self.layer(layer).append(keys, values)
    }

    /// Writes all rows to a file, from which [`load`](Self::load) restores them. Blocks that rows share
    /// are written once.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let in_blocks = match self.buffers.iter().any(Option::is_some) {
            true => Some(self.in_blocks()?),
            false => None,
        };
        let rows = in_blocks.as_ref().map_or(&self.rows, |copy| &copy.rows);
        file::save(&self.kept, rows, path.as_ref())
    }

    /// Replaces all rows by those of a file. It must have been [saved](Self::save) from a cache of the
    /// same model with the same options; that it is of a model of the same shape is checked, that it is
    /// of the same weights is not.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is cut short or was saved from a cache that keeps something else;
    /// nothing changes then.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        self.rows = file::load(&self.kept, path.as_ref())?;
        self.buffers.fill(None);
        Ok(())
    }

    /// The same rows in blocks on the CPU.
    fn in_blocks(&self) -> Result<Self> {
        let mut copy = Self::new(self.kept.layers.iter().copied(), self.kept.dtype);
        copy.extend_rows(self.rows.iter().map(|row| row.ids.as_slice()));
        for (copy, row) in copy.rows.iter_mut().zip(&self.rows) {
            copy.computed_at = row.computed_at;
        }
        for (layer, (keys, values)) in self.buffers.iter().flatten().enumerate() {
            let packed = |buffer: &Tensor| -> Result<Tensor> {
                let own = |(number, row): (usize, &Row)| {
                    buffer.get(number)?.narrow(1, 0, row.length())?.transpose(0, 1)
                };
                let rows = self.rows.iter().enumerate().map(own);
                let rows = rows.collect::<candle_core::Result<Vec<_>>>()?;
                Ok(Tensor::cat(&rows, 0)?.to_device(&Device::Cpu)?)
            };
            copy.append(layer, &packed(keys)?, &packed(values)?)?;
        }
        Ok(copy)
    }

    fn map_buffers(
        &self,
        map: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Vec<Option<(Tensor, Tensor)>>> {
        let map = |buffers: &Option<(Tensor, Tensor)>| {
            let mapped = buffers.as_ref().map(|(keys, values)| Ok((map(keys)?, map(values)?)));
            mapped.transpose()
        };
        self.buffers.iter().map(map).collect()
    }
}
