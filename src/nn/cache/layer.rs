//! One layer's part of a cache.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, Result};
use crate::kernels::attention::Row;
use crate::kernels::cached::{Layout, TOKENS};
use crate::nn::cache::rows::{self, Kept, Segment};
use crate::weights::slices::with_f32;

/// One layer's part of a cache that has been extended by the tokens of a pass.
#[derive(Debug)]
pub(crate) struct LayerCache<'a> {
    kept: &'a Kept,
    layer: usize,
    rows: &'a mut [rows::Row],
    /// Where they are not in blocks.
    buffers: &'a mut Option<(Tensor, Tensor)>,
    reserved: usize,
    segments: Vec<Segment>,
}

impl<'a> LayerCache<'a> {
    pub(super) fn new(
        kept: &'a Kept,
        layer: usize,
        rows: &'a mut [rows::Row],
        buffers: &'a mut Option<(Tensor, Tensor)>,
        reserved: usize,
    ) -> Self {
        Self { kept, layer, segments: rows::segments(rows), rows, buffers, reserved }
    }

    /// Writes keys and values on the CPU, `(tokens, kv_heads, head_dim)`, of the pass's tokens.
    pub(crate) fn append_rows(&mut self, vectors: [&[f32]; 2]) -> Result<()> {
        let [group, layer] = self.kept.places[self.layer];
        let layout = &self.kept.groups[group].layout;
        let width = layout.shape(layer).iter().product::<usize>();
        let tokens = self.segments.last().map_or(0, |segment| segment.tokens.end);
        if width == 0 || vectors.iter().any(|vectors| vectors.len() != tokens * width) {
            let found = vectors.map(<[f32]>::len);
            let reason = format!("{found:?} numbers for {tokens} tokens of {width} in a cache");
            return Err(Error::input(reason));
        }
        for (row, segment) in self.rows.iter_mut().zip(&self.segments) {
            let table = &mut row.tables[group];
            let (mut token, mut slot) = (segment.tokens.start, segment.start);
            while token < segment.tokens.end {
                let (number, first) = (slot / TOKENS, slot % TOKENS);
                let count = (TOKENS - first).min(segment.tokens.end - token);
                let end = first + count;
                let no_memory = || {
                    let bytes = layout.bytes().saturating_mul(end);
                    Error::input(format!("no memory for {bytes} bytes of a cache"))
                };
                if number == table.len() {
                    table.push(Some(Arc::new(layout.block(end).ok_or_else(no_memory)?)));
                }
                let Some(block) = table.get_mut(number).and_then(Option::as_mut) else {
                    return Err(Error::input(format!("slot {slot} of a row was given back")));
                };
                if block.room() < end {
                    *block = Arc::new(layout.widened(block, end).ok_or_else(no_memory)?);
                }
                let part = token * width..(token + count) * width;
                let part = vectors.map(|vectors| &vectors[part.clone()]);
                Arc::make_mut(block).store(layout, layer, first, part);
                (token, slot) = (token + count, slot + count);
            }
        }
        Ok(())
    }

    /// Where the rows' keys and values are on the CPU.
    pub(crate) fn rows(&self) -> Vec<Row<'_>> {
        let [group, _] = self.kept.places[self.layer];
        let rows = self.segments.iter().zip(self.rows.iter());
        rows.map(|(segment, row)| Row {
            tokens: segment.tokens.clone(),
            start: segment.start,
            slots: segment.slots(),
            blocks: &row.tables[group],
        })
        .collect()
    }

    /// Where the layer lies in blocks, and its number there.
    pub(crate) fn layout(&self) -> (&Layout, usize) {
        let [group, layer] = self.kept.places[self.layer];
        (&self.kept.groups[group].layout, layer)
    }

    /// As [`KvCache::append`](super::KvCache::append).
    pub(crate) fn append(&mut self, keys: &Tensor, values: &Tensor) -> Result<(Tensor, Tensor)> {
        let (layout, layer) = self.layout();
        let [kv_heads, head_dim] = layout.shape(layer);
        let tokens = self.segments.last().map_or(0, |segment| segment.tokens.end);
        let shape = [tokens, kv_heads, head_dim];
        if keys.dims() != shape || values.dims() != shape {
            let (keys, values) = (keys.dims(), values.dims());
            let reason = format!("keys of {keys:?} and values of {values:?} in place of {shape:?}");
            return Err(Error::input(reason));
        }
        if keys.device().is_cpu() {
            let wide = |x: &Tensor| x.to_dtype(DType::F32)?.contiguous();
            let (keys, values) = (wide(keys)?, wide(values)?);
            with_f32(&keys, |keys| with_f32(&values, |values| self.append_rows([keys, values])))???;
            return gathered(self.layout(), &self.rows(), keys.device());
        }
        self.append_to_buffers(keys, values)
    }

    /// [`append`](Self::append), but rows lie in buffers.
    pub(super) fn append_to_buffers(
        &mut self,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let longest = self.segments.iter().map(Segment::slots).max().unwrap_or(0);
        let capacity = self.reserved.max(longest);
        let before = self.segments.iter().map(|segment| segment.start).max().unwrap_or(0);
        let rows = self.segments.len();
        let old = match self.buffers.take() {
            // Restored from a file.
            None if before > 0 => {
                let (old_keys, old_values) = gathered(self.layout(), &self.rows(), keys.device())?;
                Some((old_keys.to_dtype(keys.dtype())?, old_values.to_dtype(keys.dtype())?))
            }
            old => old,
        };
        let (old_keys, old_values) = old.filter(|(keys, _)| keys.dims()[0] == rows).unzip();
        let write = |old: Option<Tensor>, new: &Tensor| -> Result<Tensor> {
            let buffer = room(old, new, [rows, before, longest, capacity])?;
            write(&buffer, new, &self.segments)?;
            Ok(buffer)
        };
        let (keys, values) = (write(old_keys, keys)?, write(old_values, values)?);
        let views = (keys.narrow(2, 0, longest)?, values.narrow(2, 0, longest)?);
        *self.buffers = Some((keys, values));
        Ok(views)
    }
}

/// All keys and values in blocks, `(rows, kv_heads, slots, head_dim)` in f32.
pub(super) fn gathered(
    (layout, layer): (&Layout, usize),
    rows: &[Row<'_>],
    device: &Device,
) -> Result<(Tensor, Tensor)> {
    let [kv_heads, head_dim] = layout.shape(layer);
    let longest = rows.iter().map(|row| row.slots).max().unwrap_or(0);
    let mut wide = [(); 2].map(|()| vec![0.0; rows.len() * kv_heads * longest * head_dim]);
    for (number, row) in rows.iter().enumerate() {
        for (at, block) in row.blocks.iter().enumerate() {
            let slots = at * TOKENS..row.slots.min((at + 1) * TOKENS);
            let Some(block) = block.as_ref().filter(|_| !slots.is_empty()) else { continue };
            for head in 0..kv_heads {
                let start = ((number * kv_heads + head) * longest + slots.start) * head_dim;
                let to = wide.each_mut().map(|wide| &mut wide[start..][..slots.len() * head_dim]);
                block.read(layout, [layer, head], 0..slots.len(), to);
            }
        }
    }
    let shape = (rows.len(), kv_heads, longest, head_dim);
    let [keys, values] = wide.map(|wide| Tensor::from_vec(wide, shape, device));
    Ok((keys?, values?))
}

/// The buffer if it holds slots up to the `end` of the longest row, else a larger copy of what was
/// there before; `new` is `(tokens, kv_heads, head_dim)`.
fn room(
    buffer: Option<Tensor>,
    new: &Tensor,
    [rows, before, end, capacity]: [usize; 4],
) -> Result<Tensor> {
    let (_, heads, head_dim) = new.dims3()?;
    let held = buffer.as_ref().map_or(0, |buffer| buffer.dims()[2]);
    Ok(match buffer {
        Some(buffer) if held >= end => buffer,
        old => {
            let slots = capacity.max(end).max(2 * held).max(TOKENS);
            let shape = (rows, heads, slots, head_dim);
            let larger = Tensor::zeros(shape, new.dtype(), new.device())?;
            if let Some(old) = old.filter(|_| before > 0) {
                larger.slice_set(&old.narrow(2, 0, before)?.contiguous()?, 2, 0)?;
            }
            larger
        }
    })
}

/// Writes `new`, `(tokens, kv_heads, head_dim)`, into the slots of its rows: all at once where they are
/// the same for each.
fn write(buffer: &Tensor, new: &Tensor, segments: &[Segment]) -> Result<()> {
    let by_head = |x: Tensor| x.transpose(1, 2)?.contiguous();
    let Some(first) = segments.first() else { return Ok(()) };
    let alike =
        |other: &Segment| other.start == first.start && other.tokens.len() == first.tokens.len();
    if segments.iter().all(alike) {
        let (_, heads, head_dim) = new.dims3()?;
        let new = new.reshape((segments.len(), first.tokens.len(), heads, head_dim))?;
        return Ok(buffer.slice_set(&by_head(new)?, 2, first.start)?);
    }
    for (row, segment) in segments.iter().enumerate().filter(|(_, own)| !own.tokens.is_empty()) {
        let own = new.narrow(0, segment.tokens.start, segment.tokens.len())?.unsqueeze(0)?;
        buffer.narrow(0, row, 1)?.slice_set(&by_head(own)?, 2, segment.start)?;
    }
    Ok(())
}

/// Of each layer, where there are any.
pub(super) type Buffers = Vec<Option<(Tensor, Tensor)>>;

/// The rows of both, one after the other, with room for the longer.
pub(super) fn joined(one: &Buffers, other: &Buffers) -> Result<Buffers> {
    let join = |one: &Tensor, other: &Tensor| -> Result<Tensor> {
        let slots = one.dim(2)?.max(other.dim(2)?);
        let wide = |x: &Tensor| x.pad_with_zeros(2, 0, slots - x.dim(2)?);
        Ok(Tensor::cat(&[wide(one)?, wide(other)?], 0)?)
    };
    let layers = one.iter().zip(other).map(|pair| match pair {
        (Some((keys, values)), Some((other_keys, other_values))) => {
            Ok(Some((join(keys, other_keys)?, join(values, other_values)?)))
        }
        (None, None) => Ok(None),
        _ => Err(Error::input("rows of a cache on another device")),
    });
    layers.collect()
}
