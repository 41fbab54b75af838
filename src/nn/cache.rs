//! Keys and values of the tokens a generation has seen.

use candle_core::{CpuStorage, DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::kernels::cached::{self, Buffer, Cached};
use crate::weights::slices::{modify, with_f32, with_storage};

/// Keys and values of the tokens a generation has seen, layer by layer.
///
/// Memory is allocated ahead and grows by doubling, so a step writes only its own tokens. [`fork`](Self::fork)
/// copies a conversation. The number of rows is decided by the first
/// forward pass, and stays until [`clear`](Self::clear) or [`select_rows`](Self::select_rows).
///
/// A *slot* is one column of the cache. Every row has the same number of slots; where a row's
/// batch was padded, its slot holds no token.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    /// For each row, the position of each slot's token; `None` for padding.
    positions: Vec<Vec<Option<u32>>>,
    /// For each row, the id in each slot.
    ids: Vec<Vec<u32>>,
    /// For each row, the least and the greatest length it had when keys and values were computed.
    computed_at: Vec<[usize; 2]>,
    slots: usize,
    reserved: usize,
}

/// `(rows, kv_heads, capacity, head_dim)`; allocated by the first append.
#[derive(Debug)]
pub(crate) struct LayerCache {
    buffers: Option<(Tensor, Tensor)>,
    /// Of the buffers on the CPU: f16, f32 or, for bytes of 8-bit blocks in place of channels, u8.
    /// Elsewhere they have the dtype of activations.
    dtype: DType,
}

impl KvCache {
    /// For so many layers; on the CPU in f16, f32 or 8-bit blocks (u8), elsewhere in the dtype of
    /// activations.
    pub(crate) fn new(layers: usize, dtype: DType) -> Self {
        Self {
            layers: (0..layers).map(|_| LayerCache { buffers: None, dtype }).collect(),
            positions: Vec::new(),
            ids: Vec::new(),
            computed_at: Vec::new(),
            slots: 0,
            reserved: 0,
        }
    }

    /// Slots filled so far in every row, padding included.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.slots
    }

    /// The number of rows; 0 before the first forward pass.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.positions.len()
    }

    /// The tokens of each row, padding not counted.
    #[must_use]
    pub fn row_lengths(&self) -> Vec<usize> {
        self.positions.iter().map(|row| next_position(row) as usize).collect()
    }

    /// Bytes allocated on the device.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let buffers = self.layers.iter().filter_map(|layer| layer.buffers.as_ref());
        buffers.map(|(keys, values)| bytes(keys) + bytes(values)).sum()
    }

    /// Makes the next allocation large enough for `tokens` slots in all, so that a generation of
    /// known length never copies its cache.
    pub fn reserve(&mut self, tokens: usize) {
        self.reserved = self.reserved.max(tokens);
    }

    /// Forgets everything after the first `tokens` slots, so that a shared prefix is not computed
    /// again.
    ///
    /// # Errors
    ///
    /// When `tokens` is more than there are; nothing changes then.
    pub fn truncate(&mut self, tokens: usize) -> Result<()> {
        if tokens > self.slots {
            let reason = format!("cannot keep {tokens} tokens of a cache of {}", self.slots);
            return Err(Error::input(reason));
        }
        self.slots = tokens;
        self.positions.iter_mut().for_each(|row| row.truncate(tokens));
        self.ids.iter_mut().for_each(|row| row.truncate(tokens));
        if tokens == 0 {
            self.clear();
        }
        Ok(())
    }

    /// Forgets everything, the number of rows too, but keeps the memory.
    pub fn clear(&mut self) {
        self.slots = 0;
        self.positions.clear();
        self.ids.clear();
        self.computed_at.clear();
    }

    /// Keeps the given rows in the given order; a row may be named several times, as beams need.
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
        let slots = self.slots;
        self.layers = self.map_layers(|tensor| {
            let index: Vec<_> = rows.iter().map(|&row| row as u32).collect();
            let index = Tensor::new(index, tensor.device())?;
            tensor.narrow(2, 0, slots)?.contiguous()?.index_select(&index, 0)
        })?;
        self.positions = rows.iter().map(|&row| self.positions[row].clone()).collect();
        self.ids = rows.iter().map(|&row| self.ids[row].clone()).collect();
        self.computed_at = rows.iter().map(|&row| self.computed_at[row]).collect();
        Ok(())
    }

    /// A copy that shares nothing with this one, so that both can go on from here.
    ///
    /// # Errors
    ///
    /// When the device has no memory for the copy.
    pub fn fork(&self) -> Result<Self> {
        Ok(Self {
            layers: self
                .map_layers(|tensor| tensor.narrow(2, 0, self.slots)?.force_contiguous())?,
            positions: self.positions.clone(),
            ids: self.ids.clone(),
            computed_at: self.computed_at.clone(),
            slots: self.slots,
            reserved: self.reserved,
        })
    }

    /// Notes that the batch's tokens are about to be appended; `mask` is 1 for tokens, 0 for
    /// padding, one row after the other. Undone by [`truncate`](Self::truncate).
    pub(crate) fn extend(&mut self, rows: usize, ids: &[u32], mask: &[u8]) {
        self.positions.resize_with(rows, Vec::new);
        self.ids.resize_with(rows, Vec::new);
        self.computed_at.resize(rows, NEVER);
        let tokens = mask.len() / rows;
        for (row, ids) in self.ids.iter_mut().zip(ids.chunks(tokens)) {
            row.extend(ids);
        }
        for (row, mask) in self.positions.iter_mut().zip(mask.chunks(tokens)) {
            let mut next = next_position(row);
            row.extend(mask.iter().map(|&mask| {
                (mask != 0).then(|| {
                    next += 1;
                    next - 1
                })
            }));
        }
        self.slots += tokens;
    }

    /// For each row, the ids in its slots, and 1 for each that is a token, 0 for padding.
    pub(crate) fn history(&self) -> impl Iterator<Item = (&[u32], Vec<u8>)> {
        let mask = |row: &[Option<u32>]| row.iter().map(|slot| slot.is_some().into()).collect();
        self.ids.iter().zip(&self.positions).map(move |(ids, row)| (ids.as_slice(), mask(row)))
    }

    /// For each row, the least and the greatest length it had when keys and values were computed.
    pub(crate) fn computed_at(&self) -> &[[usize; 2]] {
        &self.computed_at
    }

    /// Notes that the last keys and values have been computed for rows of these lengths.
    pub(crate) fn note_computed(&mut self, lengths: &[usize]) {
        for ([least, greatest], &length) in self.computed_at.iter_mut().zip(lengths) {
            (*least, *greatest) = (length.min(*least), length.max(*greatest));
        }
    }

    /// For each row, the position of each slot's token; `None` for padding.
    pub(crate) fn positions(&self) -> &[Vec<Option<u32>>] {
        &self.positions
    }

    /// Whether a row has a slot without a token.
    pub(crate) fn is_padded(&self) -> bool {
        self.positions.iter().flatten().any(Option::is_none)
    }

    /// The slots that buffers must hold now, with room to grow.
    pub(crate) fn capacity(&self) -> usize {
        self.reserved.max(self.slots)
    }

    pub(crate) fn layers_mut(&mut self) -> &mut [LayerCache] {
        &mut self.layers
    }

    fn map_layers(
        &self,
        map: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Vec<LayerCache>> {
        let map_layer = |layer: &LayerCache| {
            let buffers = match &layer.buffers {
                Some((keys, values)) if self.slots > 0 => Some((map(keys)?, map(values)?)),
                _ => None,
            };
            Ok(LayerCache { buffers, dtype: layer.dtype })
        };
        self.layers.iter().map(map_layer).collect()
    }
}

impl LayerCache {
    /// Writes keys and values, `(rows, kv_heads, tokens, head_dim)`, into the slots from `start`
    /// and returns all of the row's, `(rows, kv_heads, start + tokens, head_dim)`, as views that
    /// hold until the next append; on the CPU as copies in f32.
    pub(crate) fn append(
        &mut self,
        keys: &Tensor,
        values: &Tensor,
        start: usize,
        capacity: usize,
    ) -> Result<(Tensor, Tensor)> {
        let (rows, heads, tokens, head_dim) = keys.dims4()?;
        let end = start + tokens;
        if keys.device().is_cpu() {
            let by_token = |x: &Tensor| x.to_dtype(DType::F32)?.transpose(1, 2)?.contiguous();
            let (keys, values) = (by_token(keys)?, by_token(values)?);
            let shape = [rows, tokens, heads, head_dim];
            let (keys, values) = with_f32(&keys, |keys| {
                with_f32(&values, |values| self.append_rows([keys, values], shape, start, capacity))
            })???;
            return Ok((widened(keys, end, head_dim)?, widened(values, end, head_dim)?));
        }
        let (old_keys, old_values) = self.take(rows);
        let keys = write(old_keys, keys, start, capacity)?;
        let values = write(old_values, values, start, capacity)?;
        let views = (keys.narrow(2, 0, end)?, values.narrow(2, 0, end)?);
        self.buffers = Some((keys, values));
        Ok(views)
    }

    /// As [`append`](Self::append) on the CPU, from the order in which they are computed; `shape`
    /// is `(rows, tokens, kv_heads, head_dim)`. Returns the whole buffers,
    /// `(rows, kv_heads, capacity, head_dim)`, or bytes of blocks in place of channels.
    pub(crate) fn append_rows(
        &mut self,
        [keys, values]: [&[f32]; 2],
        shape: [usize; 4],
        start: usize,
        capacity: usize,
    ) -> Result<(&Tensor, &Tensor)> {
        let (old_keys, old_values) = self.take(shape[0]);
        let dtype = self.dtype;
        let [rows, tokens, heads, head_dim] = shape;
        let width = vector_bytes(head_dim, dtype) / dtype.size_in_bytes();
        let write = |buffer, new: &[f32]| -> Result<Tensor> {
            let room_for = [rows, tokens, heads, width];
            let buffer = room(buffer, room_for, start, capacity, (dtype, &Device::Cpu))?;
            let slots = buffer.dims()[2];
            modify(&buffer, |storage| {
                let buffer = match storage {
                    CpuStorage::F16(buffer) => Buffer::F16(buffer),
                    CpuStorage::F32(buffer) => Buffer::F32(buffer),
                    CpuStorage::U8(buffer) => Buffer::Q8(buffer),
                    _ => return,
                };
                cached::store(new, shape, start, slots, buffer);
            })?;
            Ok(buffer)
        };
        let buffers = (write(old_keys, keys)?, write(old_values, values)?);
        let (keys, values) = self.buffers.insert(buffers);
        Ok((keys, values))
    }

    /// The buffers, if they are of so many rows.
    fn take(&mut self, rows: usize) -> (Option<Tensor>, Option<Tensor>) {
        let buffers = self.buffers.take().filter(|(keys, _)| keys.dims()[0] == rows);
        buffers.unzip()
    }
}

/// Writes `new` into the slots of `buffer` from `start`; into a larger copy where they do not fit.
fn write(buffer: Option<Tensor>, new: &Tensor, start: usize, capacity: usize) -> Result<Tensor> {
    let (rows, heads, tokens, head_dim) = new.dims4()?;
    let shape = [rows, tokens, heads, head_dim];
    let buffer = room(buffer, shape, start, capacity, (new.dtype(), new.device()))?;
    buffer.slice_set(&new.contiguous()?, 2, start)?;
    Ok(buffer)
}

/// The buffer if it holds slots up to the new tokens, else a larger copy; `shape` is
/// `(rows, tokens, heads, head_dim)` of what is new.
fn room(
    buffer: Option<Tensor>,
    [rows, tokens, heads, head_dim]: [usize; 4],
    start: usize,
    capacity: usize,
    (dtype, device): (DType, &Device),
) -> Result<Tensor> {
    let end = start + tokens;
    let held = buffer.as_ref().map_or(0, |buffer| buffer.dims()[2]);
    Ok(match buffer {
        Some(buffer) if held >= end => buffer,
        old => {
            let slots = capacity.max(end).max(2 * held).max(SMALLEST);
            let larger = Tensor::zeros((rows, heads, slots, head_dim), dtype, device)?;
            if let Some(old) = old.filter(|_| start > 0) {
                larger.slice_set(&old.narrow(2, 0, start)?.contiguous()?, 2, 0)?;
            }
            larger
        }
    })
}

/// The first slots of a buffer on the CPU as f32, `(rows, kv_heads, slots, head_dim)`.
fn widened(buffer: &Tensor, slots: usize, head_dim: usize) -> Result<Tensor> {
    let (rows, heads, _, _) = buffer.dims4()?;
    let vectors = rows * heads * slots;
    let mut wide = vec![0.0; vectors * head_dim];
    with_cached(&buffer.narrow(2, 0, slots)?.contiguous()?, |cached| {
        cached.widen(0..vectors, head_dim, head_dim, &mut wide);
    })?;
    Ok(Tensor::from_vec(wide, (rows, heads, slots, head_dim), buffer.device())?)
}

/// Calls `work` with the elements of a buffer on the CPU.
pub(super) fn with_cached<T>(buffer: &Tensor, work: impl FnOnce(Cached<'_>) -> T) -> Result<T> {
    with_storage(buffer, |storage, range| {
        Ok(work(match storage {
            CpuStorage::F16(values) => Cached::F16(&values[range]),
            CpuStorage::F32(values) => Cached::F32(&values[range]),
            CpuStorage::U8(blocks) => Cached::Q8(&blocks[range]),
            _ => return Err(Error::input("a cache in f16, f32 or 8 bits is expected")),
        }))
    })?
}

/// The bytes that a vector of keys or values takes in a cache of that dtype.
pub(crate) fn vector_bytes(head_dim: usize, dtype: DType) -> usize {
    match dtype {
        DType::U8 => cached::block_bytes(head_dim),
        dtype => head_dim * dtype.size_in_bytes(),
    }
}

/// The lengths of a row for which nothing was computed yet.
const NEVER: [usize; 2] = [usize::MAX, 0];

/// Slots allocated at the least.
const SMALLEST: usize = 64;

/// The position after the last token of a row.
fn next_position(row: &[Option<u32>]) -> u32 {
    row.iter().rev().flatten().next().map_or(0, |position| position + 1)
}
