//! Blocks of 32 weights with one scale, and for some a minimum: rounded to the nearest.

use crate::weights::quantize::put;

pub(super) fn q4_0(x: &[f32; 32], out: &mut [u8; 18]) {
    let codes = signed::<8>(x, out);
    nibbles(&codes, &mut out[2..]);
}

pub(super) fn q5_0(x: &[f32; 32], out: &mut [u8; 22]) {
    let codes = signed::<16>(x, out);
    fifths(&codes, &mut out[2..]);
}

pub(super) fn q4_1(x: &[f32; 32], out: &mut [u8; 20]) {
    let codes = shifted::<15>(x, out);
    nibbles(&codes, &mut out[4..]);
}

pub(super) fn q5_1(x: &[f32; 32], out: &mut [u8; 24]) {
    let codes = shifted::<31>(x, out);
    fifths(&codes, &mut out[4..]);
}

pub(super) fn q8_0(x: &[f32; 32], out: &mut [u8; 34]) {
    let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let scale = largest / 127.0;
    let inverse = inverse(scale);
    put(out, 0, scale);
    for (out, x) in out[2..].iter_mut().zip(x) {
        *out = (x * inverse).round() as i8 as u8;
    }
}

/// Codes from 0 to `2 * HALF - 1` around `HALF`; the largest weight becomes code 0.
fn signed<const HALF: u8>(x: &[f32; 32], out: &mut [u8]) -> [u8; 32] {
    let half = f32::from(HALF);
    let mut largest = 0.0_f32;
    for &x in x {
        if x.abs() > largest.abs() {
            largest = x;
        }
    }
    let scale = largest / -half;
    let inverse = inverse(scale);
    put(out, 0, scale);
    x.map(|x| ((x * inverse + (half + 0.5)) as u8).min(2 * HALF - 1))
}

/// Codes from 0 to `MOST`, from the least weight to the largest.
fn shifted<const MOST: u8>(x: &[f32; 32], out: &mut [u8]) -> [u8; 32] {
    let least = x.iter().copied().fold(f32::MAX, f32::min);
    let largest = x.iter().copied().fold(f32::MIN, f32::max);
    let scale = (largest - least) / f32::from(MOST);
    let inverse = inverse(scale);
    put(out, 0, scale);
    put(out, 2, least);
    x.map(|x| (((x - least) * inverse + 0.5) as u8).min(MOST))
}

fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// Codes of four bits: the first half in the lower bits.
fn nibbles(codes: &[u8; 32], out: &mut [u8]) {
    for (i, out) in out.iter_mut().enumerate() {
        *out = codes[i] & 15 | codes[i + 16] << 4;
    }
}

/// Codes of five bits: all fifth bits, then the rest.
fn fifths(codes: &[u8; 32], out: &mut [u8]) {
    let high = codes.iter().rev().fold(0_u32, |bits, code| bits << 1 | u32::from(code >> 4));
    out[..4].copy_from_slice(&high.to_le_bytes());
    nibbles(&codes.map(|code| code & 15), &mut out[4..]);
}
