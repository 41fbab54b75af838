//! Blocks of 32 weights with one scale, and for some a minimum: rounded to the nearest.
#![expect(unsafe_code, reason = "casts that do not saturate")]

use crate::kernels::quantize::bytes::{nibbles, put};
use crate::kernels::reduce::across;
use crate::kernels::tier::tiered;

tiered! {
    pub(super) fn q4_0(x: &[f32], out: &mut [u8]) {
        for (x, out) in blocks::<18>(x, out) {
            let codes = signed::<8>(x, out);
            nibbles(&codes, &mut out[2..]);
        }
    }
}

tiered! {
    pub(super) fn q4_1(x: &[f32], out: &mut [u8]) {
        for (x, out) in blocks::<20>(x, out) {
            let codes = shifted::<15>(x, out);
            nibbles(&codes, &mut out[4..]);
        }
    }
}

tiered! {
    pub(super) fn q5_0(x: &[f32], out: &mut [u8]) {
        for (x, out) in blocks::<22>(x, out) {
            let codes = signed::<16>(x, out);
            fifths(&codes, &mut out[2..]);
        }
    }
}

tiered! {
    pub(super) fn q5_1(x: &[f32], out: &mut [u8]) {
        for (x, out) in blocks::<24>(x, out) {
            let codes = shifted::<31>(x, out);
            fifths(&codes, &mut out[4..]);
        }
    }
}

tiered! {
    pub(super) fn q8_0(x: &[f32], out: &mut [u8]) {
        for (x, out) in blocks::<34>(x, out) {
            let scale = largest_size(x) / 127.0;
            let inverse = inverse(scale);
            put(out, 0, scale);
            for (out, x) in out[2..].iter_mut().zip(x) {
                *out = whole((x * inverse).round(), -128, 127) as u8;
            }
        }
    }
}

#[inline(always)]
fn blocks<'a, const BYTES: usize>(
    x: &'a [f32],
    out: &'a mut [u8],
) -> impl Iterator<Item = (&'a [f32; 32], &'a mut [u8; BYTES])> {
    x.as_chunks().0.iter().zip(out.as_chunks_mut().0)
}

/// `x as i32` from `least` to `most`, which vectorizes.
#[inline(always)]
fn whole(x: f32, least: i16, most: i16) -> i32 {
    let (least, most) = (f32::from(least), f32::from(most));
    let x = if x.is_nan() { 0.0 } else { x };
    let x = if x > least { x } else { least };
    let x = if x < most { x } else { most };
    // SAFETY: it is a number, and between two that i32 has.
    unsafe { x.to_int_unchecked() }
}

#[inline(always)]
fn largest_size(x: &[f32; 32]) -> f32 {
    let mut sizes = *x;
    for size in &mut sizes {
        *size = size.abs();
    }
    across(sizes, |x, y| if y > x { y } else { x })
}

/// Codes from 0 to `2 * HALF - 1` around `HALF`; the largest weight becomes code 0.
#[inline(always)]
fn signed<const HALF: u8>(x: &[f32; 32], out: &mut [u8]) -> [u8; 32] {
    let half = f32::from(HALF);
    let size = largest_size(x);
    let is_there = |extreme: f32| x.iter().fold(false, |found, &x| found | (x == extreme));
    // Of two that are equal in size, the first.
    let extreme = match (is_there(size), is_there(-size)) {
        (true, false) => size,
        (false, true) => -size,
        _ => x.iter().copied().find(|x| x.abs() == size).unwrap_or(0.0),
    };
    let scale = extreme / -half;
    let inverse = inverse(scale);
    put(out, 0, scale);
    let mut codes = [0; 32];
    for (code, x) in codes.iter_mut().zip(x) {
        *code = whole(x * inverse + (half + 0.5), 0, 2 * i16::from(HALF) - 1) as u8;
    }
    codes
}

/// Codes from 0 to `MOST`, from the least weight to the largest.
#[inline(always)]
fn shifted<const MOST: u8>(x: &[f32; 32], out: &mut [u8]) -> [u8; 32] {
    let least = across(*x, |x, y| if y < x { y } else { x });
    let largest = across(*x, |x, y| if y > x { y } else { x });
    let scale = (largest - least) / f32::from(MOST);
    let inverse = inverse(scale);
    put(out, 0, scale);
    put(out, 2, least);
    let mut codes = [0; 32];
    for (code, x) in codes.iter_mut().zip(x) {
        *code = whole((x - least) * inverse + 0.5, 0, i16::from(MOST)) as u8;
    }
    codes
}

#[inline(always)]
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// Codes of five bits: all fifth bits, then the rest.
#[inline(always)]
fn fifths(codes: &[u8; 32], out: &mut [u8]) {
    let bits = codes.iter().enumerate().map(|(i, code)| u32::from(code >> 4) << i);
    let high = bits.fold(0, |high, bit| high | bit);
    out[..4].copy_from_slice(&high.to_le_bytes());
    nibbles(codes, &mut out[4..]);
}
