//! Rows of a cache, and what is kept of their tokens.

use std::ops::Range;
use std::sync::Arc;

use candle_core::DType;
use serde::{Deserialize, Serialize};

use crate::kernels::cached::{Block, Kind, Layout, TOKENS};

/// The shape of what a layer adds to a [`KvCache`](super::KvCache).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheLayer {
    /// Heads of keys and of values.
    pub kv_heads: usize,
    /// Channels of each.
    pub head_dim: usize,
    /// How many tokens a token attends to, itself among them; `None`: all that come before.
    pub window: Option<usize>,
}

/// What is kept of each token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) layers: Vec<CacheLayer>,
    pub(super) dtype: DType,
    /// What tells the model from others; empty where nothing was said.
    pub(super) model: String,
    /// Layers with the same window share blocks.
    pub(super) groups: Vec<Group>,
    /// The group of each layer, and its number there.
    pub(super) places: Vec<[usize; 2]>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) window: Option<usize>,
    pub(super) layout: Layout,
}

#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) ids: Vec<u32>,
    /// How many of them the last [`KvCache::extend`] has brought.
    pub(super) new: usize,
    /// The least and the greatest length the row had when keys and values were computed.
    pub(super) computed_at: [usize; 2],
    /// For each group the blocks of the row; `None` for those given back.
    pub(super) tables: Vec<Table>,
}

pub(super) type Table = Vec<Option<Arc<Block>>>;

/// A row's part of a forward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its tokens, among those of all rows.
    pub(crate) tokens: Range<usize>,
    /// The slot, and so the position, of the first.
    pub(crate) start: usize,
}

impl Segment {
    /// The slots of the row after the pass.
    pub(crate) fn slots(&self) -> usize {
        self.start + self.tokens.len()
    }

    /// The positions of its tokens.
    pub(crate) fn positions(&self) -> Range<u32> {
        self.start as u32..self.slots() as u32
    }
}

impl CacheLayer {
    /// A layer of so many heads of so many channels, whose tokens attend to all that come before.
    #[must_use]
    pub const fn new(kv_heads: usize, head_dim: usize) -> Self {
        Self { kv_heads, head_dim, window: None }
    }

    /// The same, but tokens attend to the last `window` only, themselves among them.
    #[must_use]
    pub const fn window(self, window: Option<usize>) -> Self {
        Self { window, ..self }
    }

    /// The bytes that a token takes in a cache of that dtype.
    pub(crate) fn bytes_per_token(&self, dtype: DType) -> usize {
        let scales = if dtype == DType::U8 { 2 * self.head_dim.div_ceil(32) } else { 0 };
        2 * self.kv_heads * (self.head_dim * dtype.size_in_bytes() + scales)
    }
}

impl Kept {
    pub(super) fn new(layers: Vec<CacheLayer>, dtype: DType) -> Self {
        let kind = match dtype {
            DType::F16 => Kind::F16,
            DType::U8 => Kind::Q8,
            _ => Kind::F32,
        };
        let mut windows: Vec<_> = layers.iter().map(|layer| layer.window).collect();
        windows.sort_unstable();
        windows.dedup();
        let mut places = vec![[0; 2]; layers.len()];
        let group = |(number, &window): (usize, &Option<usize>)| {
            let own = layers.iter().zip(&mut places).filter(|(layer, _)| layer.window == window);
            let shapes = own.enumerate().map(|(at, (layer, place))| {
                *place = [number, at];
                [layer.kv_heads, layer.head_dim]
            });
            Group { window, layout: Layout::new(kind, shapes) }
        };
        let groups = windows.iter().enumerate().map(group).collect();
        Self { layers, dtype, model: String::new(), groups, places }
    }
}

impl Row {
    pub(super) fn length(&self) -> usize {
        self.ids.len()
    }

    /// Whether what tokens after the first `length` attend to is still there.
    pub(super) fn can_go_back(&self, length: usize, kept: &Kept) -> bool {
        length == 0
            || self.tables.iter().zip(&kept.groups).all(|(table, group)| {
                let first = group.window.map_or(0, |window| (length + 1).saturating_sub(window));
                let blocks = first / TOKENS..length.div_ceil(TOKENS).min(table.len());
                table.get(blocks).is_none_or(|blocks| blocks.iter().all(Option::is_some))
            })
    }

    /// Gives back what no token to come attends to, nor any that comes after the first `length` ones,
    /// unless that is 0.
    pub(super) fn let_go(&mut self, length: usize, kept: &Kept) {
        let length = if length == 0 { self.length() } else { length };
        for (table, group) in self.tables.iter_mut().zip(&kept.groups) {
            let Some(window) = group.window else { continue };
            let behind = length.saturating_sub(window).saturating_sub(KEPT_BEHIND) / TOKENS;
            table.iter_mut().take(behind).for_each(|block| *block = None);
        }
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.ids.truncate(length);
        self.new = 0;
        self.tables.iter_mut().for_each(|table| table.truncate(length.div_ceil(TOKENS)));
        if length == 0 {
            self.computed_at = NEVER;
        }
    }
}

/// What the last tokens of each row are, one row after the other.
pub(super) fn segments(rows: &[Row]) -> Vec<Segment> {
    let mut end = 0;
    let segment = |row: &Row| {
        end += row.new;
        Segment { tokens: end - row.new..end, start: row.length() - row.new }
    };
    rows.iter().map(segment).collect()
}

/// The lengths of a row for which nothing was computed yet.
pub(super) const NEVER: [usize; 2] = [usize::MAX, 0];

/// Tokens behind its window that a sliding layer keeps, for rows that go back: an answer that is taken
/// back or told otherwise is seldom longer.
const KEPT_BEHIND: usize = 1024;
