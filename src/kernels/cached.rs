//! Keys and values as a cache keeps them: in blocks of [`TOKENS`] tokens. The last block of a row has room for
//! fewer, so that short rows, such as beams, take little memory; it is copied to a larger one as the row grows.
//!
//! In a block each head of each layer has its keys, `(head_dim, room)`, and then its values,
//! `(room, head_dim)` with rows filled up to eights: scores and sums of values are products with
//! these matrices as they lie.
//!
//! In 8 bits, 32 channels of a vector, or fewer at its end, have a scale in f16, and each channel is
//! rounded to the nearest 127th of the largest.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::kernels::dense;
use crate::kernels::tier::{Tier, tiered};

/// Tokens of a block that is full.
pub(crate) const TOKENS: usize = 64;
/// Tokens that a block may have room for.
const ROOMS: [usize; 3] = [16, 32, TOKENS];
/// Channels with a scale of their own.
const SCALED: usize = 32;

/// What numbers are kept as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    F16,
    F32,
    Q8,
}

/// Where layers lie in blocks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    kind: Kind,
    layers: Vec<Layer>,
    /// Of each token.
    numbers: usize,
    scales: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Layer {
    kv_heads: usize,
    head_dim: usize,
    /// How many numbers and scales of a token come before its own.
    number: usize,
    scale: usize,
}

/// Keys and values of some tokens, in all layers of a [`Layout`].
#[derive(Debug, Clone)]
pub(crate) struct Block {
    room: usize,
    kept: Kept,
}

/// What a block holds.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    F16(Vec<f16>),
    F32(Vec<f32>),
    Q8 { numbers: Vec<i8>, scales: Vec<f16> },
}

/// Keys and values of one head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    /// The tokens that there is room for.
    pub(super) room: usize,
    pub(super) kept: KeptOfHead<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum KeptOfHead<'a> {
    F16(&'a [f16]),
    F32(&'a [f32]),
    Q8 { numbers: &'a [i8], scales: &'a [f16] },
}

impl Layout {
    /// For layers of so many heads of so many channels.
    pub(crate) fn new(kind: Kind, shapes: impl IntoIterator<Item = [usize; 2]>) -> Self {
        let mut layout = Self { kind, layers: Vec::new(), numbers: 0, scales: 0 };
        for [kv_heads, head_dim] in shapes {
            let Self { numbers: number, scales: scale, .. } = layout;
            layout.layers.push(Layer { kv_heads, head_dim, number, scale });
            layout.numbers = number.saturating_add(kv_heads.saturating_mul(numbers(head_dim)));
            layout.scales = scale.saturating_add(kv_heads.saturating_mul(scales(head_dim)));
        }
        layout
    }

    /// Heads of a layer, and channels of each.
    pub(crate) fn shape(&self, layer: usize) -> [usize; 2] {
        [self.layers[layer].kv_heads, self.layers[layer].head_dim]
    }

    /// Bytes of a token.
    pub(crate) fn bytes(&self) -> usize {
        match self.kind {
            Kind::F16 => self.numbers.saturating_mul(2),
            Kind::F32 => self.numbers.saturating_mul(4),
            Kind::Q8 => self.numbers.saturating_add(self.scales.saturating_mul(2)),
        }
    }

    /// A block of zeros with room for so many tokens, [`TOKENS`] at most; `None` where there is no memory for one.
    pub(crate) fn block(&self, tokens: usize) -> Option<Block> {
        self.zeros(ROOMS.into_iter().find(|&room| tokens <= room)?)
    }

    /// A block of zeros that holds so many numbers; `None` where none does, or there is no memory for one.
    pub(crate) fn block_of(&self, numbers: usize) -> Option<Block> {
        self.zeros(ROOMS.into_iter().find(|room| self.numbers.checked_mul(*room) == Some(numbers))?)
    }

    /// A copy of a block with room for so many tokens.
    pub(crate) fn widened(&self, block: &Block, tokens: usize) -> Option<Block> {
        let mut wide = self.block(tokens)?;
        let rooms = [block.room, wide.room];
        for (layer, &Layer { kv_heads, head_dim, .. }) in self.layers.iter().enumerate() {
            let (shape, of_scales) = ([head_dim, width(head_dim)], [head_dim.div_ceil(SCALED); 2]);
            for head in 0..kv_heads {
                let [from, to] = rooms.map(|room| self.head(layer, head, room));
                match (&block.kept, &mut wide.kept) {
                    (Kept::F16(old), Kept::F16(new)) => {
                        widen(&old[from[0].clone()], &mut new[to[0].clone()], shape, rooms);
                    }
                    (Kept::F32(old), Kept::F32(new)) => {
                        widen(&old[from[0].clone()], &mut new[to[0].clone()], shape, rooms);
                    }
                    (
                        Kept::Q8 { numbers: old, scales },
                        Kept::Q8 { numbers, scales: to_scales },
                    ) => {
                        widen(&old[from[0].clone()], &mut numbers[to[0].clone()], shape, rooms);
                        let (from, to) = (&scales[from[1].clone()], &mut to_scales[to[1].clone()]);
                        widen(from, to, of_scales, rooms);
                    }
                    _ => return None,
                }
            }
        }
        Some(wide)
    }

    fn zeros(&self, room: usize) -> Option<Block> {
        fn zeros<T: Clone + Default>(count: usize) -> Option<Vec<T>> {
            let mut zeros = Vec::new();
            zeros.try_reserve_exact(count).ok()?;
            zeros.resize(count, T::default());
            Some(zeros)
        }
        let [numbers, scales] = [self.numbers, self.scales].map(|each| each.saturating_mul(room));
        let kept = match self.kind {
            Kind::F16 => Kept::F16(zeros(numbers)?),
            Kind::F32 => Kept::F32(zeros(numbers)?),
            Kind::Q8 => Kept::Q8 { numbers: zeros(numbers)?, scales: zeros(scales)? },
        };
        Some(Block { room, kept })
    }

    /// Where the numbers and the scales of a head are in a block with so much room.
    fn head(&self, layer: usize, head: usize, room: usize) -> [Range<usize>; 2] {
        let Layer { head_dim, number, scale, .. } = self.layers[layer];
        let range = |start: usize, each: usize| {
            room * (start + head * each)..room * (start + (head + 1) * each)
        };
        [range(number, numbers(head_dim)), range(scale, scales(head_dim))]
    }
}

/// The channels of a value, filled up to eights.
pub(super) fn width(head_dim: usize) -> usize {
    head_dim.next_multiple_of(8)
}

/// Numbers of a token in a head: of its key and its value.
fn numbers(head_dim: usize) -> usize {
    head_dim.saturating_add(head_dim.saturating_add(7) / 8 * 8)
}

/// Scales of a token in a head: of its key and its value.
fn scales(head_dim: usize) -> usize {
    2 * head_dim.div_ceil(SCALED)
}

/// Copies a head to one with more room: keys of so many channels, values of such a width.
fn widen<T: Copy>(from: &[T], to: &mut [T], [channels, width]: [usize; 2], [old, new]: [usize; 2]) {
    let (from_keys, from_values) = from.split_at(channels * old);
    let (keys, values) = to.split_at_mut(channels * new);
    for (to, from) in keys.chunks_exact_mut(new).zip(from_keys.chunks_exact(old)) {
        to[..old].copy_from_slice(from);
    }
    values[..width * old].copy_from_slice(from_values);
}

impl Block {
    /// The tokens that there is room for.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(crate) fn kept_mut(&mut self) -> &mut Kept {
        &mut self.kept
    }

    /// Writes keys and values of some tokens, `(tokens, kv_heads, head_dim)`, from a slot on. In f16
    /// what is beyond its range becomes its largest number.
    pub(crate) fn store(
        &mut self,
        layout: &Layout,
        layer: usize,
        slot: usize,
        vectors: [&[f32]; 2],
    ) {
        let [kv_heads, head_dim] = layout.shape(layer);
        let Self { room, kept } = self;
        let places = |head: usize| layout.head(layer, head, *room);
        let (slots, shape) = ([slot, *room], [kv_heads, head_dim, width(head_dim)]);
        match kept {
            Kept::F16(to) => {
                let [keys, values] = vectors.map(halves);
                put(slots, [&keys, &values], shape, to, |head| places(head)[0].clone());
            }
            Kept::F32(to) => put(slots, vectors, shape, to, |head| places(head)[0].clone()),
            Kept::Q8 { numbers, scales } => {
                let [keys, values] = vectors.map(|vectors| rounded(vectors, head_dim));
                let (to, vectors) = (numbers, [&*keys.0, &*values.0]);
                put(slots, vectors, shape, to, |head| places(head)[0].clone());
                let count = head_dim.div_ceil(SCALED);
                let (to, vectors) = (scales, [&*keys.1, &*values.1]);
                put(slots, vectors, [kv_heads, count, count], to, |head| places(head)[1].clone());
            }
        }
    }

    pub(super) fn head(&self, layout: &Layout, layer: usize, head: usize) -> Head<'_> {
        let [of_numbers, of_scales] = layout.head(layer, head, self.room);
        let kept = match &self.kept {
            Kept::F16(numbers) => KeptOfHead::F16(&numbers[of_numbers]),
            Kept::F32(numbers) => KeptOfHead::F32(&numbers[of_numbers]),
            Kept::Q8 { numbers, scales } => {
                KeptOfHead::Q8 { numbers: &numbers[of_numbers], scales: &scales[of_scales] }
            }
        };
        Head { room: self.room, kept }
    }

    /// A head's keys and values in some slots, each `(slots, head_dim)`.
    pub(crate) fn read(
        &self,
        layout: &Layout,
        [layer, head]: [usize; 2],
        slots: Range<usize>,
        [keys_to, values_to]: [&mut [f32]; 2],
    ) {
        let head_dim = layout.layers[layer].head_dim;
        let (head, width, mut room) = (self.head(layout, layer, head), width(head_dim), Vec::new());
        let keys = head.keys(Tier::best(), head_dim, &mut room);
        for (slot, to) in slots.clone().zip(keys_to.chunks_exact_mut(head_dim.max(1))) {
            let channels = keys[slot..].iter().step_by(self.room);
            to.iter_mut().zip(channels).for_each(|(to, channel)| *to = *channel);
        }
        let values = head.values(Tier::best(), head_dim, slots, &mut room);
        let values = values.chunks_exact(width.max(1));
        for (value, to) in values.zip(values_to.chunks_exact_mut(head_dim.max(1))) {
            to.copy_from_slice(&value[..head_dim]);
        }
    }
}

/// Writes keys and values, `(tokens, kv_heads, channels)`, to where `place` says that each head is, from a slot
/// of so many on: keys as columns, values as rows of `width`.
fn put<T: Copy>(
    [slot, room]: [usize; 2],
    vectors: [&[T]; 2],
    [kv_heads, channels, width]: [usize; 3],
    to: &mut [T],
    place: impl Fn(usize) -> Range<usize>,
) {
    for head in 0..kv_heads {
        let (keys, values) = to[place(head)].split_at_mut(channels * room);
        let [from_keys, from_values] = vectors.map(|vectors| {
            let tokens = vectors.chunks_exact(kv_heads * channels);
            tokens.map(move |token| &token[head * channels..][..channels])
        });
        for (slot, key) in (slot..room).zip(from_keys) {
            let column = keys[slot..].iter_mut().step_by(room);
            column.zip(key).for_each(|(to, number)| *to = *number);
        }
        for (to, value) in values[slot * width..].chunks_exact_mut(width).zip(from_values) {
            to[..channels].copy_from_slice(value);
        }
    }
}

fn halves(vectors: &[f32]) -> Vec<f16> {
    let largest = f16::MAX.to_f32();
    let within: Vec<f32> = vectors.iter().map(|number| number.clamp(-largest, largest)).collect();
    let mut halves = vec![f16::ZERO; within.len()];
    halves.convert_from_f32_slice(&within);
    halves
}

/// Vectors in 8 bits, and their scales.
fn rounded(vectors: &[f32], head_dim: usize) -> (Vec<i8>, Vec<f16>) {
    let mut rounded = Vec::with_capacity(vectors.len());
    let groups = vectors.chunks_exact(head_dim).flat_map(|vector| vector.chunks(SCALED));
    let scales = groups.map(|channels| {
        let largest = channels.iter().fold(0.0_f32, |largest, channel| largest.max(channel.abs()));
        // Values are held against the scale as it is stored.
        let scale = f16::from_f32((largest / 127.0).min(f16::MAX.to_f32()));
        let inverse = if scale > f16::ZERO { 1.0 / scale.to_f32() } else { 0.0 };
        let round =
            |channel: &f32| (channel * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
        rounded.extend(channels.iter().map(round));
        scale
    });
    let scales = scales.collect();
    (rounded, scales)
}

impl<'a> Head<'a> {
    /// Its keys as f32, `(head_dim, room)`: where they lie, if they do so already, or in `wide`.
    pub(super) fn keys<'b>(self, tier: Tier, head_dim: usize, wide: &'b mut Vec<f32>) -> &'b [f32]
    where
        'a: 'b,
    {
        let length = head_dim * self.room;
        wide.resize(length, 0.0);
        match self.kept {
            KeptOfHead::F16(numbers) => dense::widen(tier, &numbers[..length], wide),
            KeptOfHead::F32(numbers) => return &numbers[..length],
            KeptOfHead::Q8 { numbers, scales } => {
                widen_keys(tier, &numbers[..length], scales, self.room, wide);
            }
        }
        wide
    }

    /// Its values in some slots as f32, `(slots, width)`: where they lie, if they do so already, or in
    /// `wide`.
    pub(super) fn values<'b>(
        self,
        tier: Tier,
        head_dim: usize,
        slots: Range<usize>,
        wide: &'b mut Vec<f32>,
    ) -> &'b [f32]
    where
        'a: 'b,
    {
        let (keys, width) = (head_dim * self.room, width(head_dim));
        let range = keys + slots.start * width..keys + slots.end * width;
        wide.resize(range.len(), 0.0);
        match self.kept {
            KeptOfHead::F16(numbers) => dense::widen(tier, &numbers[range], wide),
            KeptOfHead::F32(numbers) => return &numbers[range],
            KeptOfHead::Q8 { numbers, scales } => {
                let count = head_dim.div_ceil(SCALED);
                let scales = &scales[count * self.room..][slots.start * count..slots.end * count];
                widen_values(tier, &numbers[range], scales, width, wide);
            }
        }
        wide
    }
}

tiered! {
    fn widen_keys(numbers: &[i8], scales: &[f16], room: usize, out: &mut [f32]) {
        match room {
            16 => widen_keys_of::<16>(numbers, scales, out),
            32 => widen_keys_of::<32>(numbers, scales, out),
            _ => widen_keys_of::<TOKENS>(numbers, scales, out),
        }
    }
}

#[inline(always)]
fn widen_keys_of<const ROOM: usize>(numbers: &[i8], scales: &[f16], out: &mut [f32]) {
    let groups = out.chunks_mut(SCALED * ROOM).zip(numbers.chunks(SCALED * ROOM));
    for ((out, numbers), scales) in groups.zip(scales.as_chunks::<ROOM>().0) {
        let scales = scales.map(f16::to_f32);
        let channels = numbers.as_chunks::<ROOM>().0;
        for (out, numbers) in out.as_chunks_mut::<ROOM>().0.iter_mut().zip(channels) {
            for ((out, number), scale) in out.iter_mut().zip(numbers).zip(&scales) {
                *out = scale * f32::from(*number);
            }
        }
    }
}

tiered! {
    fn widen_values(numbers: &[i8], scales: &[f16], width: usize, out: &mut [f32]) {
        let count = width.div_ceil(SCALED);
        let vectors = out.chunks_exact_mut(width).zip(numbers.chunks_exact(width));
        for ((out, numbers), scales) in vectors.zip(scales.chunks_exact(count)) {
            let groups = out.chunks_mut(SCALED).zip(numbers.chunks(SCALED));
            for ((out, numbers), scale) in groups.zip(scales) {
                let scale = scale.to_f32();
                for (out, number) in out.iter_mut().zip(numbers) {
                    *out = scale * f32::from(*number);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_are_off_by_a_254th_of_the_largest_of_32() {
        let (tokens, kv_heads, head_dim, slot) = (6, 2, 44, 3);
        let of_token = kv_heads * head_dim;
        let mut keys: Vec<f32> =
            (0..tokens * of_token).map(|at| ((at * 7919) % 1009) as f32 / 50.0 - 10.0).collect();
        keys[head_dim..2 * head_dim].fill(0.0);
        keys[2 * head_dim + 5] = -2e7;
        let values: Vec<f32> = keys.iter().rev().copied().collect();
        let layout = Layout::new(Kind::Q8, [[1, 3], [kv_heads, head_dim]]);
        let mut block = layout.block(slot + tokens).unwrap();
        block.store(&layout, 1, slot, [&keys, &values]);
        let mut found = [vec![f32::NAN; tokens * head_dim], vec![f32::NAN; tokens * head_dim]];
        for head in 0..kv_heads {
            let [found_keys, found_values] = &mut found;
            let slots = slot..slot + tokens;
            block.read(&layout, [1, head], slots.clone(), [found_keys, found_values]);
            // A larger block holds the same.
            for room in ROOMS {
                let wide = layout.widened(&block, room).unwrap();
                let mut again =
                    [vec![f32::NAN; tokens * head_dim], vec![f32::NAN; tokens * head_dim]];
                let [keys, values] = &mut again;
                wide.read(&layout, [1, head], slots.clone(), [keys, values]);
                assert_eq!((again, wide.room()), (found.clone(), room));
            }
            for (expected, found) in [&keys, &values].into_iter().zip(&found) {
                let expected = expected.chunks(of_token).map(|token| &token[head * head_dim..]);
                for (vector, found) in expected.zip(found.chunks(head_dim)) {
                    let groups = vector[..head_dim].chunks(32).zip(found.chunks(32));
                    for (channels, found) in groups {
                        let largest = channels.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                        // What is beyond 127 times the largest f16 becomes that.
                        let largest = largest.min(127.0 * 65504.0);
                        for (channel, found) in channels.iter().zip(found) {
                            let channel = channel.clamp(-largest, largest);
                            assert!(
                                (channel - found).abs() <= largest * 0.0041,
                                "{channel} {found}"
                            );
                        }
                    }
                }
            }
        }
    }
}
