//! Blocks of 256 weights: scales of 16 or 32 weights are themselves quantized.

use std::ops::Range;

use crate::kernels::quantize::affine::Affine;
use crate::kernels::quantize::bytes::{nibbles, put};
use crate::kernels::quantize::lanes::LANES;
use crate::kernels::quantize::search::{self, NOTHING, Refined, Symmetric, nearest, side_by_side};
use crate::kernels::tier::tiered;

tiered! {
    /// Sixteen times four bits of scale and of minimum, two bits for a weight.
    pub(super) fn q2_k(x: &[f32], out: &mut [u8]) {
        for (x, out) in batches::<16, 84>(x, out) {
            let stored = Affine::new::<FMA>(&side_by_side(x), 3, 15.0);
            for (first, x, out) in blocks::<16, 84>(x, out) {
                write_q2_k(x, &stored, first, out);
            }
        }
    }
}

tiered! {
    /// Sixteen times six bits of scale, three bits for a weight.
    pub(super) fn q3_k(x: &[f32], out: &mut [u8]) {
        for (x, out) in batches::<16, 110>(x, out) {
            let found = search::refined(&side_by_side(x), 4);
            for (first, x, out) in blocks::<16, 110>(x, out) {
                write_q3_k(x, &found, first, out);
            }
        }
    }
}

tiered! {
    /// Eight times six bits of scale and of minimum, four bits for a weight.
    pub(super) fn q4_k(x: &[f32], out: &mut [u8]) {
        for (x, out) in batches::<32, 144>(x, out) {
            let stored = Affine::new::<FMA>(&side_by_side(x), 15, 63.0);
            for (first, x, out) in blocks::<32, 144>(x, out) {
                write_q4_k(x, &stored, first, out);
            }
        }
    }
}

tiered! {
    /// Eight times six bits of scale and of minimum, five bits for a weight.
    pub(super) fn q5_k(x: &[f32], out: &mut [u8]) {
        for (x, out) in batches::<32, 176>(x, out) {
            let stored = Affine::new::<FMA>(&side_by_side(x), 31, 63.0);
            for (first, x, out) in blocks::<32, 176>(x, out) {
                write_q5_k(x, &stored, first, out);
            }
        }
    }
}

tiered! {
    /// Sixteen times eight bits of scale, six bits for a weight.
    pub(super) fn q6_k(x: &[f32], out: &mut [u8]) {
        for (x, out) in batches::<16, 210>(x, out) {
            let found = search::symmetric(&side_by_side(x), 32);
            for (first, x, out) in blocks::<16, 210>(x, out) {
                write_q6_k(x, &found, first, out);
            }
        }
    }
}

/// As many blocks as fill the lanes with groups of `COUNT` weights, and where they go. No closure takes
/// them: it would be compiled for no tier.
#[inline(always)]
fn batches<'a, const COUNT: usize, const BYTES: usize>(
    x: &'a [f32],
    out: &'a mut [u8],
) -> impl Iterator<Item = (&'a [f32], &'a mut [u8])> {
    let together = LANES * COUNT / 256;
    x.chunks(256 * together).zip(out.chunks_mut(BYTES * together))
}

/// The blocks of a batch, with the lane of the first group of each.
#[inline(always)]
fn blocks<'a, const COUNT: usize, const BYTES: usize>(
    x: &'a [f32],
    out: &'a mut [u8],
) -> impl Iterator<Item = (usize, &'a [f32; 256], &'a mut [u8; BYTES])> {
    let blocks = x.as_chunks::<256>().0.iter().zip(out.as_chunks_mut::<BYTES>().0);
    (0..).step_by(256 / COUNT).zip(blocks).map(|(first, (x, out))| (first, x, out))
}

#[inline(always)]
fn write_q2_k(x: &[f32; 256], stored: &Affine<16>, first: usize, out: &mut [u8; 84]) {
    let Affine { scales, mins, .. } = stored;
    for (i, out) in out[..16].iter_mut().enumerate() {
        *out = scales.codes[first + i] | mins.codes[first + i] << 4;
    }
    quarters(&stored.codes(x, first), &mut out[16..80]);
    scales.put_unit(first, &mut out[80..]);
    mins.put_unit(first, &mut out[82..]);
}

#[inline(always)]
fn write_q3_k(x: &[f32; 256], found: &Refined, first: usize, out: &mut [u8; 110]) {
    let scales: [f32; 16] = std::array::from_fn(|i| found.scale.get(first + i));
    let extreme = search::extreme(&scales);
    let inverse = if extreme == 0.0 { 0.0 } else { -32.0 / extreme };
    let d = put(out, 108, if extreme == 0.0 { 0.0 } else { 1.0 / inverse });
    out[..108].fill(0);
    let mut codes = [0; 256];
    for (i, (x, codes)) in x.chunks(16).zip(codes.chunks_mut(16)).enumerate() {
        // All scales zero are stored as the code 0, not 32.
        let scale = if extreme == 0.0 { -32 } else { nearest(inverse * scales[i]).clamp(-32, 31) };
        let code = (scale + 32) as u8;
        out[96 + i % 8] |= (code & 15) << (i / 8 * 4);
        out[104 + i % 4] |= code >> 4 << (i / 4 * 2);
        round(x, d * scale as f32, -4..4, codes, |at| found.code(first + i, at));
    }
    fill_bits(&codes, 2, &mut out[..32]);
    quarters(&codes, &mut out[32..96]);
}

#[inline(always)]
fn write_q4_k(x: &[f32; 256], stored: &Affine<32>, first: usize, out: &mut [u8; 144]) {
    write_eighths(stored, first, out);
    halves(&stored.codes(x, first), &mut out[16..]);
}

#[inline(always)]
fn write_q5_k(x: &[f32; 256], stored: &Affine<32>, first: usize, out: &mut [u8; 176]) {
    write_eighths(stored, first, out);
    let codes = stored.codes(x, first);
    out[16..48].fill(0);
    fill_bits(&codes, 4, &mut out[16..48]);
    halves(&codes, &mut out[48..]);
}

#[inline(always)]
fn write_q6_k(x: &[f32; 256], found: &Symmetric, first: usize, out: &mut [u8; 210]) {
    let scales: [f32; 16] = std::array::from_fn(|i| found.scale.get(first + i));
    let extreme = search::extreme(&scales);
    out.fill(0);
    if extreme.abs() < NOTHING {
        return;
    }
    let inverse = -128.0 / extreme;
    let d = put(out, 208, 1.0 / inverse);
    let mut codes = [0; 256];
    for (i, (x, codes)) in x.chunks(16).zip(codes.chunks_mut(16)).enumerate() {
        let scale = nearest(inverse * scales[i]).min(127);
        out[192 + i] = scale as i8 as u8;
        round(x, d * scale as f32, -32..32, codes, |at| found.code(first + i, x[at]));
    }
    let (low, high) = out.split_at_mut(128);
    for (codes, low) in codes.chunks(128).zip(low.chunks_mut(64)) {
        nibbles(codes, low);
    }
    quarters(&codes.map(|code| code >> 4), &mut high[..64]);
}

/// Scales and minima of a block's groups of 32, into the first 16 bytes.
#[inline(always)]
fn write_eighths(stored: &Affine<32>, first: usize, out: &mut [u8]) {
    stored.scales.put_unit(first, out);
    stored.mins.put_unit(first, &mut out[2..]);
    for i in 0..8 {
        let (scale, min) = (stored.scales.codes[first + i], stored.mins.codes[first + i]);
        if i < 4 {
            out[4 + i] = scale;
            out[8 + i] = min;
        } else {
            out[8 + i] = scale & 15 | (min & 15) << 4;
            out[i] |= scale >> 4 << 6;
            out[4 + i] |= min >> 4 << 6;
        }
    }
}

/// Codes in `range`, counted from its start, for a scale as it was stored; where it is nothing, those of
/// the search stay.
#[inline(always)]
fn round(x: &[f32], scale: f32, range: Range<i32>, codes: &mut [u8], found: impl Fn(usize) -> i32) {
    if scale == 0.0 {
        for (at, code) in codes.iter_mut().enumerate() {
            *code = (found(at) - range.start) as u8;
        }
        return;
    }
    for (code, &x) in codes.iter_mut().zip(x) {
        let nearest = nearest(x / scale).clamp(range.start, range.end - 1);
        *code = (nearest - range.start) as u8;
    }
}

/// The lowest four bits of each: of every 64 codes the first 32 below the others.
#[inline(always)]
fn halves(codes: &[u8; 256], out: &mut [u8]) {
    for (codes, out) in codes.chunks(64).zip(out.chunks_mut(32)) {
        nibbles(codes, out);
    }
}

/// A bit each, the one after `shift` others: of every 32 codes those in the same place together.
#[inline(always)]
fn fill_bits(codes: &[u8; 256], shift: usize, out: &mut [u8]) {
    for (bit, codes) in codes.chunks(32).enumerate() {
        for (out, code) in out.iter_mut().zip(codes) {
            *out |= (code >> shift & 1) << bit;
        }
    }
}

/// The lowest two bits of each: of every 128 codes four times 32 above one another.
#[inline(always)]
fn quarters(codes: &[u8; 256], out: &mut [u8]) {
    for (codes, out) in codes.chunks(128).zip(out.chunks_mut(32)) {
        for (i, out) in out.iter_mut().enumerate() {
            let [a, b, c, d] = [0, 32, 64, 96].map(|from| codes[from + i] & 3);
            *out = a | b << 2 | c << 4 | d << 6;
        }
    }
}
