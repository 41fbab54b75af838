//! Keys and values of the tokens a generation has seen.

mod file;
mod layer;
mod rows;
mod source;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::nn::packed::Packed;
use rows::Row;
use source::Sources;
use store::Store;

pub(crate) use layer::LayerCache;
pub use rows::CacheLayer;
pub(crate) use rows::Segment;
pub(crate) use source::SourceLayer;

/// Keys and values of the tokens a generation has seen, for each of its rows.
///
/// On the CPU they are kept in blocks of 64 tokens, and each row has a table of its blocks. The last has
/// room for 16, 32 or 64, as many as are needed. Rows can share blocks, so [`fork`](Self::fork) and
/// [`select_rows`](Self::select_rows) copy no keys and no values. A row that goes on gets a copy of its
/// last block if that is shared and not full. On other devices rows lie one after the other in one buffer, which grows by doubling.
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
/// # Sources
///
/// A cache of an encoder-decoder also holds the keys and values of its rows' sources. They are
/// computed once, and no token changes them: rows of one source share them, after a
/// [`fork`](Self::fork) too. [`truncate`](Self::truncate) leaves them, [`clear`](Self::clear) forgets
/// them. The sources decide the number of rows.
///
/// # A model of your own
///
/// A [`CausalLm`](crate::models::CausalLm) makes caches with [`new`](Self::new). Its forward pass calls
/// [`extend`](Self::extend) once, and then [`append`](Self::append) for each layer. A
/// [`Seq2SeqLm`](crate::models::Seq2SeqLm) fills a cache with its sources in the same way, and gives
/// them to another by [`with_sources`](Self::with_sources).
#[derive(Debug)]
pub struct KvCache {
    own: Store,
    sources: Option<Sources>,
}

impl KvCache {
    /// An empty cache for these layers. On the CPU keys and values are kept as `dtype` says: in f16, in
    /// 8 bits where it is u8 (with a scale for 32 channels), and else in f32. On other devices they
    /// keep the dtype they come in.
    #[must_use]
    pub fn new(layers: impl IntoIterator<Item = CacheLayer>, dtype: DType) -> Self {
        Self { own: Store::new(layers.into_iter().collect(), dtype), sources: None }
    }

    /// An empty row for each row of a cache with sources, which it attends to. On the CPU the keys and
    /// values of sources are as that cache keeps them.
    ///
    /// # Errors
    ///
    /// When there are tokens in this cache, or a source has none.
    pub fn with_sources(mut self, sources: Self) -> Result<Self> {
        if self.tokens() > 0 {
            return Err(Error::input("sources for a cache that has tokens already"));
        }
        if let Some(row) = sources.own.rows.iter().position(|row| row.length() == 0) {
            return Err(Error::input(format!("source {row} of a batch has no tokens")));
        }
        self.own.rows.clear();
        self.own.extend(sources.own.rows.iter().map(|_| [].as_slice()));
        self.sources = Some(Sources::each_its_own(sources.own));
        Ok(self)
    }

    /// The same, whose rows are to have sources that `kept` could keep.
    pub(crate) fn awaiting_sources(self, kept: Self) -> Self {
        Self { sources: Some(Sources::each_its_own(kept.own)), ..self }
    }

    /// The ids of a row's source; `None` where there is no such row, or no sources.
    #[must_use]
    pub fn source_ids(&self, row: usize) -> Option<&[u32]> {
        self.sources.as_ref()?.row(row).map(|row| row.ids.as_slice())
    }

    /// A layer's keys and values of the rows' sources, `(rows, kv_heads, slots, head_dim)` each, with
    /// as many slots as the longest source has tokens. On the CPU they are copies in f32.
    ///
    /// # Errors
    ///
    /// When there are no sources, or no such layer.
    pub fn source(&self, layer: usize, device: &Device) -> Result<[Tensor; 2]> {
        let sources = self.sources.as_ref().and_then(|sources| sources.layer(layer));
        let missing = || Error::input(format!("no layer {layer} of sources in this cache"));
        sources.ok_or_else(missing)?.kept(device)
    }

    /// Notes which model the cache is of: a text that tells it from others, such as a fingerprint of its
    /// config and weights. Files of other models are refused ([`load`](Self::load)), and so are their rows
    /// ([`admit`](Self::admit)). The cache must be new.
    #[must_use]
    pub fn of_model(mut self, model: impl Into<String>) -> Self {
        if let Some(kept) = Arc::get_mut(&mut self.own.kept) {
            kept.model = model.into();
        }
        self
    }

    /// The tokens of the longest row.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.own.rows.iter().map(Row::length).max().unwrap_or(0)
    }

    /// The number of rows; 0 before the first forward pass, unless there are sources.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.own.rows.len()
    }

    /// The tokens of each row.
    #[must_use]
    pub fn row_lengths(&self) -> Vec<usize> {
        self.own.lengths()
    }

    /// The ids of a row's tokens; `None` where there is no such row.
    #[must_use]
    pub fn row_ids(&self, row: usize) -> Option<&[u32]> {
        self.own.rows.get(row).map(|row| row.ids.as_slice())
    }

    /// Bytes allocated on the device for keys and values. Blocks that rows share, and sources, count
    /// once.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.own.bytes() + self.sources.as_ref().map_or(0, |sources| sources.store.bytes())
    }

    /// Makes the next allocation large enough for rows of `tokens` tokens, so that a generation of
    /// known length never copies its cache. Of blocks only the last of a row is ever copied for more room.
    pub fn reserve(&mut self, tokens: usize) {
        self.own.reserved = self.own.reserved.max(tokens);
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
        if tokens == 0 && self.sources.is_none() {
            self.clear();
            return Ok(());
        }
        let rows = self.own.rows.iter();
        let lengths = rows.map(|row| row.length().min(tokens)).collect::<Vec<_>>();
        self.truncate_rows(&lengths)
    }

    /// As [`truncate`](Self::truncate), with a length for each row. A row may become empty and go on
    /// from there.
    ///
    /// # Errors
    ///
    /// As there, and when there are not as many lengths as rows.
    pub fn truncate_rows(&mut self, lengths: &[usize]) -> Result<()> {
        self.own.truncate(lengths)
    }

    /// Whether every row that has more can go back to `tokens` tokens, as
    /// [`truncate`](Self::truncate) does.
    #[must_use]
    pub fn can_go_back(&self, tokens: usize) -> bool {
        let Store { rows, kept, .. } = &self.own;
        rows.iter().all(|row| row.can_go_back(tokens.min(row.length()), kept))
    }

    /// Forgets everything, the number of rows and their sources too.
    pub fn clear(&mut self) {
        self.own.rows.clear();
        self.sources = self.sources.as_ref().map(Sources::none);
    }

    /// Keeps the given rows in the given order; a row may be named several times, as beams need. On
    /// the CPU blocks are shared and nothing is copied.
    ///
    /// # Errors
    ///
    /// When there is no such row; nothing changes then.
    pub fn select_rows(&mut self, rows: &[usize]) -> Result<()> {
        self.own.select(rows)?;
        self.sources.as_mut().map_or(Ok(()), |sources| sources.select(rows))
    }

    /// A cache with the same content, so that both can go on from here. On the CPU they share blocks and
    /// nothing is copied.
    ///
    /// # Errors
    ///
    /// When a device has no memory for a copy.
    pub fn fork(&self) -> Result<Self> {
        Ok(Self { own: self.own.fork()?, sources: self.sources.clone() })
    }

    /// An empty cache for the same model.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { own: self.own.emptied(), sources: self.sources.as_ref().map(Sources::none) }
    }

    /// Appends the rows of another cache of the same model, on the same device.
    ///
    /// # Errors
    ///
    /// When the other keeps something else; nothing changes then.
    pub fn admit(&mut self, other: Self) -> Result<()> {
        let sources = match (&self.sources, &other.sources) {
            (None, None) => None,
            (Some(sources), Some(others)) => Some(sources.joined(others)?),
            _ => return Err(Error::input("rows of a cache of another model")),
        };
        self.own.admit(other.own)?;
        self.sources = sources;
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
        self.own.extend(ids);
    }

    /// What the last [`extend`](Self::extend) has brought to each row.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        rows::segments(&self.own.rows)
    }

    /// Gives back the blocks that no token to come will attend to, and that the rows' way back to
    /// these lengths does not take; a row of no length goes back by being cleared.
    pub(crate) fn let_go(&mut self, lengths: &[usize]) {
        let Store { rows, kept, .. } = &mut self.own;
        rows.iter_mut().zip(lengths).for_each(|(row, &length)| row.let_go(length, kept));
    }

    /// For each row, the least and the greatest length it had when keys and values were computed.
    pub(crate) fn computed_at(&self) -> impl Iterator<Item = [usize; 2]> {
        self.own.rows.iter().map(|row| row.computed_at)
    }

    /// Notes that the last keys and values have been computed for rows of these lengths.
    pub(crate) fn note_computed(&mut self, lengths: &[usize]) {
        for (row, &length) in self.own.rows.iter_mut().zip(lengths) {
            let [least, greatest] = row.computed_at;
            row.computed_at = [length.min(least), length.max(greatest)];
        }
    }

    /// The tokens that rows are to have room for.
    pub(crate) fn reserved(&self) -> usize {
        self.own.reserved
    }

    /// Bytes that a token takes.
    pub(crate) fn bytes_per_token(&self) -> usize {
        self.own.bytes_per_token()
    }

    /// The part of a layer.
    pub(crate) fn layer(&mut self, number: usize) -> LayerCache<'_> {
        self.own.layer(number)
    }

    /// The part of a layer, and what it holds of the rows' sources, if there are any.
    pub(crate) fn layer_and_source(
        &mut self,
        number: usize,
    ) -> (LayerCache<'_>, Option<SourceLayer<'_>>) {
        let sources = self.sources.as_ref().and_then(|sources| sources.layer(number));
        (self.own.layer(number), sources)
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
        let layers = self.own.kept.layers.len();
        if layer >= layers {
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
        let own = self.own.in_blocks()?;
        let own = own.as_ref().unwrap_or(&self.own);
        let Some(Sources { store, of_rows }) = &self.sources else {
            return file::save(own, None, path.as_ref());
        };
        let sources = store.in_blocks()?;
        let sources = sources.as_ref().unwrap_or(store);
        file::save(own, Some((sources, of_rows)), path.as_ref())
    }

    /// Replaces all rows by those of a file. It must have been [saved](Self::save) from a cache of the
    /// same model with the same options. Checked are the version of the format, the shapes, the dtype, and
    /// the model: a fingerprint of its config, of the names, shapes and formats of its weights, and of a few
    /// bytes of each.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is cut short or was saved from a cache that keeps something else;
    /// nothing changes then.
    pub fn load(&mut self, path: impl AsRef<Path>) -> Result<()> {
        let kept_of_sources = self.sources.as_ref().map(|sources| &*sources.store.kept);
        let (rows, sources) = file::load(&self.own.kept, kept_of_sources, path.as_ref())?;
        if let (Some(to), Some((rows, of_rows))) = (&mut self.sources, sources) {
            let buffers = vec![None; to.store.kept.layers.len()];
            let store = Store { rows, buffers, ..Store::clone(&to.store) };
            *to = Sources { store: Arc::new(store), of_rows };
        }
        self.own.rows = rows;
        self.own.buffers.fill(None);
        Ok(())
    }
}
