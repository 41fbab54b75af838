//! IQ1, IQ2 and IQ3: groups of four or eight numbers are entries of a codebook, times signs, times
//! a scale.

use crate::weights::blocks::bytes::{half, short};
use crate::weights::blocks::grids;

/// Per 32 weights four bytes of entries, then four times seven bits of signs and four of scale.
pub(super) fn iq2_xxs(block: &[u8; 66], out: &mut [f32; 256]) {
    let d = half(block, 0);
    for (part, out) in block[2..].as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        let [entries @ .., a, b, c, e] = part;
        let word = u32::from_le_bytes([*a, *b, *c, *e]);
        let scale = d * (0.5 + (word >> 28) as f32) * 0.25;
        for (i, (&entry, out)) in entries.iter().zip(out.as_chunks_mut().0).enumerate() {
            let signs = grids::SIGNS[(word >> (7 * i)) as usize & 0x7f];
            twos(grids::IQ2_XXS[usize::from(entry)], signs, scale, out);
        }
    }
}

/// Nine bits of entry and seven of signs for eight weights, four of scale for sixteen.
pub(super) fn iq2_xs(block: &[u8; 74], out: &mut [f32; 256]) {
    let d = half(block, 0);
    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let word = short(block, 2 + 2 * i);
        let scale = d * (0.5 + nibble(&block[66..], i / 2)) * 0.25;
        let signs = grids::SIGNS[usize::from(word >> 9)];
        twos(grids::IQ2_XS[usize::from(word & 0x1ff)], signs, scale, out);
    }
}

/// Ten bits of entry and eight of signs for eight weights, four of scale for sixteen.
pub(super) fn iq2_s(block: &[u8; 82], out: &mut [f32; 256]) {
    let d = half(block, 0);
    let (low, signs, high, scales) = (&block[2..34], &block[34..66], &block[66..74], &block[74..]);
    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let high = usize::from(high[i / 4] >> (2 * (i % 4)) & 3);
        let scale = d * (0.5 + nibble(scales, i / 2)) * 0.25;
        twos(grids::IQ2_S[high << 8 | usize::from(low[i])], signs[i], scale, out);
    }
}

/// Eight bits of entry for four weights; then per 32 weights four times seven bits of signs and
/// four of scale.
pub(super) fn iq3_xxs(block: &[u8; 98], out: &mut [f32; 256]) {
    const NUMBERS: [f32; 8] = [4.0, 12.0, 20.0, 28.0, 36.0, 44.0, 52.0, 62.0];
    let d = half(block, 0);
    let words = block[66..].as_chunks::<4>().0;
    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let word = u32::from_le_bytes(words[i / 4]);
        let scale = d * (0.5 + (word >> 28) as f32) * 0.5;
        let signs = grids::SIGNS[(word >> (7 * (i % 4))) as usize & 0x7f];
        let entries = [2 * i, 2 * i + 1].map(|at| grids::IQ3_XXS[usize::from(block[2 + at])]);
        fours(entries, &NUMBERS, signs, scale, out);
    }
}

/// Nine bits of entry for four weights, eight of signs for eight, four of scale for 32.
pub(super) fn iq3_s(block: &[u8; 110], out: &mut [f32; 256]) {
    const NUMBERS: [f32; 8] = [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0];
    let d = half(block, 0);
    let (low, high, signs) = (&block[2..66], &block[66..74], &block[74..106]);
    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let scale = d * (1.0 + 2.0 * nibble(&block[106..], i / 4));
        let entries = [2 * i, 2 * i + 1].map(|at| {
            let high = usize::from(high[at / 8] >> (at % 8) & 1);
            grids::IQ3_S[high << 8 | usize::from(low[at])]
        });
        fours(entries, &NUMBERS, signs[i], scale, out);
    }
}

/// Eleven bits of entry for eight weights; for 32 a shift of ±1/8 and three bits of scale.
pub(super) fn iq1_s(block: &[u8; 50], out: &mut [f32; 256]) {
    let d = half(block, 0);
    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let word = short(block, 34 + i / 4 * 2);
        let scale = d * f32::from(2 * (word >> 12 & 7) + 1);
        let high = word >> (3 * (i % 4)) & 7;
        ones(high << 8 | u16::from(block[2 + i]), word & 0x8000 != 0, scale, out);
    }
}

/// Eleven bits of entry and a shift of ±1/8 for eight weights, three bits of scale for sixteen.
/// The scale of the whole block is spread over the upper four bits of the scales' four words.
pub(super) fn iq1_m(block: &[u8; 56], out: &mut [f32; 256]) {
    let word = |i| short(block, 48 + 2 * i);
    let bits = (0..4).fold(0, |bits, i| bits | (word(i) & 0xf000) >> (12 - 4 * i));
    let d = half::f16::from_bits(bits).to_f32();
    for (i, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let scale = d * f32::from(2 * (word(i / 8) >> (3 * (i / 2 % 4)) & 7) + 1);
        let high = u16::from(block[32 + i / 2] >> (4 * (i % 2)));
        ones((high & 7) << 8 | u16::from(block[i]), high & 8 != 0, scale, out);
    }
}

fn ones(entry: u16, down: bool, scale: f32, out: &mut [f32; 8]) {
    let shift = if down { -0.125 } else { 0.125 };
    let entry = grids::IQ1_S[usize::from(entry)];
    for (i, out) in out.iter_mut().enumerate() {
        *out = scale * (f32::from(entry >> (2 * i) & 3) - 1.0 + shift);
    }
}

fn twos(entry: u16, signs: u8, scale: f32, out: &mut [f32; 8]) {
    const NUMBERS: [f32; 4] = [8.0, 25.0, 43.0, 0.0];
    for (i, out) in out.iter_mut().enumerate() {
        *out = signed(scale * NUMBERS[usize::from(entry >> (2 * i) & 3)], signs >> i);
    }
}

fn fours(entries: [u16; 2], numbers: &[f32; 8], signs: u8, scale: f32, out: &mut [f32; 8]) {
    for (i, out) in out.iter_mut().enumerate() {
        let number = numbers[usize::from(entries[i / 4] >> (4 * (i % 4)) & 7)];
        *out = signed(scale * number, signs >> i);
    }
}

fn signed(value: f32, sign: u8) -> f32 {
    if sign & 1 == 0 { value } else { -value }
}

/// Number `i` of those that lie two in a byte, the lower one first.
fn nibble(bytes: &[u8], i: usize) -> f32 {
    f32::from(bytes[i / 2] >> (4 * (i % 2)) & 15)
}
