//! Keys and values as a cache keeps them: in blocks of [`TOKENS`] tokens.
//!
//! In a block each head of each layer has its keys, `(head_dim, TOKENS)`, and then its values,
//! `(TOKENS, head_dim)` with rows filled up to eights: scores and sums of values are products with
//! these matrices as they lie.
//!
//! In 8 bits, 32 channels of a vector, or fewer at its end, have a scale in f16, and each channel is
//! rounded to the nearest 127th of the largest.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::kernels::dense;
use crate::kernels::tier::{Tier, tiered};

/// Tokens of a block.
pub(crate) const TOKENS: usize = 64;
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
    numbers: usize,
    scales: usize,
}

#[derive(Debug, PartialEq, Eq)]
struct Layer {
    kv_heads: usize,
    head_dim: usize,
    /// Where its numbers and scales begin.
    number: usize,
    scale: usize,
}

/// Keys and values of so many tokens, in all layers of a [`Layout`].
#[derive(Debug, Clone)]
pub(crate) enum Block {
    F16(Vec<f16>),
    F32(Vec<f32>),
    Q8 { numbers: Vec<i8>, scales: Vec<f16> },
}

/// Keys and values of one head.
#[derive(Debug, Clone, Copy)]
pub(super) enum Head<'a> {
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

    /// Bytes of a block.
    pub(crate) fn bytes(&self) -> usize {
        match self.kind {
            Kind::F16 => self.numbers.saturating_mul(2),
            Kind::F32 => self.numbers.saturating_mul(4),
            Kind::Q8 => self.numbers.saturating_add(self.scales.saturating_mul(2)),
        }
    }

    /// A block of zeros; `None` where there is no memory for one.
    pub(crate) fn block(&self) -> Option<Block> {
        fn zeros<T: Clone + Default>(count: usize) -> Option<Vec<T>> {
            let mut zeros = Vec::new();
            zeros.try_reserve_exact(count).ok()?;
            zeros.resize(count, T::default());
            Some(zeros)
        }
        Some(match self.kind {
            Kind::F16 => Block::F16(zeros(self.numbers)?),
            Kind::F32 => Block::F32(zeros(self.numbers)?),
            Kind::Q8 => Block::Q8 { numbers: zeros(self.numbers)?, scales: zeros(self.scales)? },
        })
    }

    /// Where the numbers and the scales of a head are.
    fn head(&self, layer: usize, head: usize) -> [Range<usize>; 2] {
        let Layer { head_dim, number, scale, .. } = self.layers[layer];
        let range = |start: usize, each: usize| start + head * each..start + (head + 1) * each;
        [range(number, numbers(head_dim)), range(scale, scales(head_dim))]
    }
}

/// The channels of a value, filled up to eights.
pub(super) fn width(head_dim: usize) -> usize {
    head_dim.next_multiple_of(8)
}

/// Numbers of a head: keys, then values.
fn numbers(head_dim: usize) -> usize {
    TOKENS.saturating_mul(head_dim.saturating_add(head_dim.saturating_add(7) / 8 * 8))
}

/// Scales of a head: of keys, then of values.
fn scales(head_dim: usize) -> usize {
    2 * TOKENS * head_dim.div_ceil(SCALED)
}

impl Block {
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
        let places = |head: usize| layout.head(layer, head);
        let shape = [kv_heads, head_dim, width(head_dim)];
        match self {
            Self::F16(to) => {
                let [keys, values] = vectors.map(halves);
                put(slot, [&keys, &values], shape, to, |head| places(head)[0].clone());
            }
            Self::F32(to) => put(slot, vectors, shape, to, |head| places(head)[0].clone()),
            Self::Q8 { numbers, scales } => {
                let [keys, values] = vectors.map(|vectors| rounded(vectors, head_dim));
                let (to, vectors) = (numbers, [&*keys.0, &*values.0]);
                put(slot, vectors, shape, to, |head| places(head)[0].clone());
                let count = head_dim.div_ceil(SCALED);
                let (to, vectors) = (scales, [&*keys.1, &*values.1]);
                put(slot, vectors, [kv_heads, count, count], to, |head| places(head)[1].clone());
            }
        }
    }

    pub(super) fn head(&self, layout: &Layout, layer: usize, head: usize) -> Head<'_> {
        let [of_numbers, of_scales] = layout.head(layer, head);
        match self {
            Self::F16(numbers) => Head::F16(&numbers[of_numbers]),
            Self::F32(numbers) => Head::F32(&numbers[of_numbers]),
            Self::Q8 { numbers, scales } => {
                Head::Q8 { numbers: &numbers[of_numbers], scales: &scales[of_scales] }
            }
        }
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
            let channels = keys[slot..].iter().step_by(TOKENS);
            to.iter_mut().zip(channels).for_each(|(to, channel)| *to = *channel);
        }
        let values = head.values(Tier::best(), head_dim, slots, &mut room);
        let values = values.chunks_exact(width.max(1));
        for (value, to) in values.zip(values_to.chunks_exact_mut(head_dim.max(1))) {
            to.copy_from_slice(&value[..head_dim]);
        }
    }
}

/// Writes keys and values, `(tokens, kv_heads, channels)`, to where `place` says that each head is: keys
/// as columns from a slot on, values as rows of `width`.
fn put<T: Copy>(
    slot: usize,
    vectors: [&[T]; 2],
    [kv_heads, channels, width]: [usize; 3],
    to: &mut [T],
    place: impl Fn(usize) -> Range<usize>,
) {
    for head in 0..kv_heads {
        let (keys, values) = to[place(head)].split_at_mut(channels * TOKENS);
        let [from_keys, from_values] = vectors.map(|vectors| {
            let tokens = vectors.chunks_exact(kv_heads * channels);
            tokens.map(move |token| &token[head * channels..][..channels])
        });
        for (slot, key) in (slot..TOKENS).zip(from_keys) {
            let column = keys[slot..].iter_mut().step_by(TOKENS);
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
    /// Its keys as f32, `(head_dim, TOKENS)`: where they lie, if they do so already, or in `room`.
    pub(super) fn keys<'b>(self, tier: Tier, head_dim: usize, room: &'b mut Vec<f32>) -> &'b [f32]
    where
        'a: 'b,
    {
        let length = head_dim * TOKENS;
        room.resize(length, 0.0);
        match self {
            Self::F16(numbers) => dense::widen(tier, &numbers[..length], room),
            Self::F32(numbers) => return &numbers[..length],
            Self::Q8 { numbers, scales } => widen_keys(tier, &numbers[..length], scales, room),
        }
        room
    }

    /// Its values in some slots as f32, `(slots, width)`: where they lie, if they do so already, or in
    /// `room`.
    pub(super) fn values<'b>(
        self,
        tier: Tier,
        head_dim: usize,
        slots: Range<usize>,
        room: &'b mut Vec<f32>,
    ) -> &'b [f32]
    where
        'a: 'b,
    {
        let (keys, width) = (head_dim * TOKENS, width(head_dim));
        let range = keys + slots.start * width..keys + slots.end * width;
        room.resize(range.len(), 0.0);
        match self {
            Self::F16(numbers) => dense::widen(tier, &numbers[range], room),
            Self::F32(numbers) => return &numbers[range],
            Self::Q8 { numbers, scales } => {
                let count = head_dim.div_ceil(SCALED);
                let scales = &scales[count * TOKENS..][slots.start * count..slots.end * count];
                widen_values(tier, &numbers[range], scales, width, room);
            }
        }
        room
    }
}

tiered! {
    fn widen_keys(numbers: &[i8], scales: &[f16], out: &mut [f32]) {
        let groups = out.chunks_mut(SCALED * TOKENS).zip(numbers.chunks(SCALED * TOKENS));
        for ((out, numbers), scales) in groups.zip(scales.as_chunks::<TOKENS>().0) {
            let scales = scales.map(f16::to_f32);
            let channels = numbers.as_chunks::<TOKENS>().0;
            for (out, numbers) in out.as_chunks_mut::<TOKENS>().0.iter_mut().zip(channels) {
                for ((out, number), scale) in out.iter_mut().zip(numbers).zip(&scales) {
                    *out = scale * f32::from(*number);
                }
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
        let mut block = layout.block().unwrap();
        block.store(&layout, 1, slot, [&keys, &values]);
        let mut found = [vec![f32::NAN; tokens * head_dim], vec![f32::NAN; tokens * head_dim]];
        for head in 0..kv_heads {
            let [found_keys, found_values] = &mut found;
            let slots = slot..slot + tokens;
            block.read(&layout, [1, head], slots, [found_keys, found_values]);
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
