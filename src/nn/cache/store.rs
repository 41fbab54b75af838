//! Rows of keys and values: in blocks on the CPU, in buffers on other devices.

use std::collections::HashSet;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::nn::cache::layer::{self, Buffers, LayerCache};
use crate::nn::cache::rows::{CacheLayer, Group, Kept, NEVER, Row, Table};

/// Rows, and what is kept of their tokens. Cloning shares blocks and buffers.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) kept: Arc<Kept>,
    pub(super) rows: Vec<Row>,
    /// For each layer keys and values, `(rows, kv_heads, capacity, head_dim)`, where they are not in
    /// blocks.
    pub(super) buffers: Buffers,
    pub(super) reserved: usize,
}

impl Store {
    pub(super) fn new(layers: Vec<CacheLayer>, dtype: DType) -> Self {
        let kept = Kept::new(layers, dtype);
        Self {
            rows: Vec::new(),
            buffers: vec![None; kept.layers.len()],
            reserved: 0,
            kept: Arc::new(kept),
        }
    }

    pub(super) fn lengths(&self) -> Vec<usize> {
        self.rows.iter().map(Row::length).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let buffers = self.buffers.iter().flatten();
        let buffers: usize = buffers.map(|(keys, values)| bytes(keys) + bytes(values)).sum();
        let mut counted = HashSet::new();
        let of_row = |(group, table): (&Group, &Table)| {
            let blocks = table.iter().flatten();
            let new = blocks.filter(|block| counted.insert(Arc::as_ptr(block)));
            new.map(|block| block.room() * group.layout.bytes()).sum::<usize>()
        };
        let tables = self.rows.iter().flat_map(|row| self.kept.groups.iter().zip(&row.tables));
        buffers + tables.map(of_row).sum::<usize>()
    }

    /// Bytes that a token takes.
    pub(super) fn bytes_per_token(&self) -> usize {
        let Kept { layers, dtype, .. } = &*self.kept;
        layers.iter().map(|layer| layer.bytes_per_token(*dtype)).sum()
    }

    pub(super) fn truncate(&mut self, lengths: &[usize]) -> Result<()> {
        if lengths.len() != self.rows.len() {
            let (lengths, rows) = (lengths.len(), self.rows.len());
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

    pub(super) fn select(&mut self, rows: &[usize]) -> Result<()> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows.len()) {
            return Err(Error::input(format!("no row {row} in a cache of {}", self.rows.len())));
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

    /// An empty one for the same layers.
    pub(super) fn emptied(&self) -> Self {
        let buffers = vec![None; self.kept.layers.len()];
        Self { kept: Arc::clone(&self.kept), rows: Vec::new(), buffers, reserved: 0 }
    }

    /// The same content, with buffers of its own.
    pub(super) fn fork(&self) -> Result<Self> {
        Ok(Self { buffers: self.map_buffers(Tensor::force_contiguous)?, ..self.clone() })
    }

    pub(super) fn admit(&mut self, other: Self) -> Result<()> {
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

    pub(super) fn extend<'a>(&mut self, ids: impl ExactSizeIterator<Item = &'a [u32]>) {
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

    /// The part of a layer.
    pub(super) fn layer(&mut self, number: usize) -> LayerCache<'_> {
        let buffers = &mut self.buffers[number];
        LayerCache::new(&self.kept, number, &mut self.rows, buffers, self.reserved)
    }

    /// The same rows in blocks on the CPU; `None` where they are.
    pub(super) fn in_blocks(&self) -> Result<Option<Self>> {
        if self.buffers.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut copy = Self {
            kept: Arc::clone(&self.kept),
            rows: Vec::new(),
            buffers: vec![None; self.buffers.len()],
            reserved: 0,
        };
        copy.extend(self.rows.iter().map(|row| row.ids.as_slice()));
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
            copy.layer(layer).append(&packed(keys)?, &packed(values)?)?;
        }
        Ok(Some(copy))
    }

    fn map_buffers(&self, map: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Result<Buffers> {
        let map = |buffers: &Option<(Tensor, Tensor)>| {
            let mapped = buffers.as_ref().map(|(keys, values)| Ok((map(keys)?, map(values)?)));
            mapped.transpose()
        };
        self.buffers.iter().map(map).collect()
    }
}
