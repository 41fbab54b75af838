//! What rows attend to besides their own tokens: the tokens of their sources, in encoder-decoders.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::kernels::attention;
use crate::kernels::cached::Layout;
use crate::nn::cache::layer::gathered;
use crate::nn::cache::rows::{Kept, Row, Segment};
use crate::nn::cache::store::Store;

/// Keys and values of sources, which nothing changes, and whose sources they are. Rows of one source
/// share it, on every device.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    /// One row for each source.
    pub(super) store: Arc<Store>,
    /// For each row of the cache the number of its source.
    pub(super) of_rows: Vec<usize>,
}

impl Sources {
    /// One source for each row.
    pub(super) fn each_its_own(store: Store) -> Self {
        Self { of_rows: (0..store.rows.len()).collect(), store: Arc::new(store) }
    }

    /// No source, of the same model.
    pub(super) fn none(&self) -> Self {
        let Kept { layers, dtype, .. } = &*self.store.kept;
        Self::each_its_own(Store::new(layers.clone(), *dtype))
    }

    /// Those of some rows. What no row attends to any more is let go.
    pub(super) fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.of_rows = rows.iter().map(|&row| self.of_rows[row]).collect();
        let mut used = self.of_rows.clone();
        used.sort_unstable();
        used.dedup();
        if used.len() < self.store.rows.len() {
            let mut store = Store::clone(&self.store);
            store.select(&used)?;
            let place = |source: &usize| used.binary_search(source).unwrap_or(0);
            self.of_rows = self.of_rows.iter().map(place).collect();
            self.store = Arc::new(store);
        }
        Ok(())
    }

    /// Those of the rows of another cache behind them.
    pub(super) fn joined(&self, other: &Self) -> Result<Self> {
        let before = self.store.rows.len();
        let mut store = Store::clone(&self.store);
        store.admit(Store::clone(&other.store))?;
        let others = other.of_rows.iter().map(|source| before + source);
        let of_rows = self.of_rows.iter().copied().chain(others).collect();
        Ok(Self { store: Arc::new(store), of_rows })
    }

    /// The row's source.
    pub(super) fn row(&self, row: usize) -> Option<&Row> {
        self.of_rows.get(row).map(|&source| &self.store.rows[source])
    }

    /// The part of a layer.
    pub(super) fn layer(&self, number: usize) -> Option<SourceLayer<'_>> {
        let Store { kept, rows, buffers, .. } = &*self.store;
        let buffers = buffers.get(number)?;
        Some(SourceLayer { kept, layer: number, rows, buffers, of_rows: &self.of_rows })
    }
}

/// One layer's keys and values of the sources.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourceLayer<'a> {
    kept: &'a Kept,
    layer: usize,
    rows: &'a [Row],
    buffers: &'a Option<(Tensor, Tensor)>,
    of_rows: &'a [usize],
}

impl<'a> SourceLayer<'a> {
    /// Where the sources of rows of queries are on the CPU.
    pub(crate) fn rows_for(&self, queries: &[Segment]) -> Result<Vec<attention::Row<'a>>> {
        if queries.len() != self.of_rows.len() {
            let (rows, kept) = (queries.len(), self.of_rows.len());
            return Err(Error::input(format!("{rows} rows for the sources of {kept}")));
        }
        let row = |(&source, query): (&usize, &Segment)| self.row(source, query.tokens.clone());
        Ok(self.of_rows.iter().zip(queries).map(row).collect())
    }

    /// Keys and values for each row, `(rows, kv_heads, slots, head_dim)` each, with as many slots as
    /// the longest source has tokens.
    pub(crate) fn kept(&self, device: &Device) -> Result<[Tensor; 2]> {
        let longest = self.rows.iter().map(Row::length).max().unwrap_or(0);
        let kept = match self.buffers {
            None => {
                let rows: Vec<_> = (0..self.rows.len()).map(|row| self.row(row, 0..0)).collect();
                gathered(self.layout(), &rows, device)?.into()
            }
            Some((keys, values)) => [keys.narrow(2, 0, longest)?, values.narrow(2, 0, longest)?],
        };
        if self.of_rows.iter().copied().eq(0..self.rows.len()) {
            return Ok(kept);
        }
        let sources = self.of_rows.iter().map(|&source| source as u32);
        let sources = Tensor::from_iter(sources, device)?;
        let [keys, values] = kept.map(|kept| kept.contiguous()?.index_select(&sources, 0));
        Ok([keys?, values?])
    }

    /// The tokens of each row's source.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = usize> {
        self.of_rows.iter().map(|&source| self.rows[source].length())
    }

    /// Where the layer lies in blocks, and its number there.
    pub(crate) fn layout(&self) -> (&'a Layout, usize) {
        let [group, layer] = self.kept.places[self.layer];
        (&self.kept.groups[group].layout, layer)
    }

    fn row(&self, source: usize, tokens: Range<usize>) -> attention::Row<'a> {
        let [group, _] = self.kept.places[self.layer];
        let row = &self.rows[source];
        attention::Row { tokens, start: 0, slots: row.length(), blocks: &row.tables[group] }
    }
}
