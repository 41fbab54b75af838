//! Blocks of 256 weights: scales of 16 or 32 weights are themselves quantized.

use crate::weights::quantize::put;
use crate::weights::quantize::search::{self, Error, NOTHING, Steps, nearest};

/// Sixteen times four bits of scale and of minimum, two bits for a weight.
pub(super) fn q2_k(x: &[f32; 256], out: &mut [u8; 84]) {
    let steps = Steps { first: -0.5, count: 15, error: Error::Absolute };
    let mut codes = [0; 256];
    let mut scales = [(0.0, 0.0); 16];
    for ((x, codes), scale) in x.chunks(16).zip(codes.chunks_mut(16)).zip(&mut scales) {
        let weights: [f32; 16] = std::array::from_fn(|i| x[i].abs());
        *scale = search::shifted(x, &weights, 3, steps, codes);
    }
    let (largest, largest_min) = largest(&scales);
    // The order of ggml's divisions, which round.
    let inverse = |largest: f32| if largest > 0.0 { 15.0 / largest } else { 0.0 };
    let (scale_inverse, min_inverse) = (inverse(largest), inverse(largest_min));
    let d = put(out, 80, if largest > 0.0 { largest / 15.0 } else { 0.0 });
    let dmin = put(out, 82, if largest_min > 0.0 { largest_min / 15.0 } else { 0.0 });
    for (i, &(scale, min)) in scales.iter().enumerate() {
        let (scale, min) = (nearest(scale_inverse * scale), nearest(min_inverse * min));
        out[i] = (scale | min << 4) as u8;
        let (scale, min) = (d * scale as f32, dmin * min as f32);
        round_shifted(&x[16 * i..][..16], scale, min, 3, &mut codes[16 * i..][..16]);
    }
    quarters(&codes, &mut out[16..80]);
}

/// Sixteen times six bits of scale, three bits for a weight.
pub(super) fn q3_k(x: &[f32; 256], out: &mut [u8; 110]) {
    let mut codes = [0; 256];
    let mut scales = [0.0; 16];
    for ((x, codes), scale) in x.chunks(16).zip(codes.chunks_mut(16)).zip(&mut scales) {
        *scale = search::refined(x, 4, codes);
    }
    let extreme = search::extreme(&scales);
    let inverse = if extreme == 0.0 { 0.0 } else { -32.0 / extreme };
    let d = put(out, 108, if extreme == 0.0 { 0.0 } else { 1.0 / inverse });
    out[..108].fill(0);
    for (i, &scale) in scales.iter().enumerate() {
        // All scales zero are stored as the code 0, not 32.
        let scale = if extreme == 0.0 { -32 } else { nearest(inverse * scale).clamp(-32, 31) };
        let code = (scale + 32) as u8;
        out[96 + i % 8] |= (code & 15) << (i / 8 * 4);
        out[104 + i % 4] |= code >> 4 << (i / 4 * 2);
        let scale = d * scale as f32;
        round(&x[16 * i..][..16], scale, 4, &mut codes[16 * i..][..16]);
    }
    for (i, code) in codes.iter_mut().enumerate() {
        *code += 4;
        out[i % 32] |= ((*code >> 2) as u8) << (i / 32);
        *code &= 3;
    }
    quarters(&codes, &mut out[32..96]);
}

/// Eight times six bits of scale and of minimum, four bits for a weight.
pub(super) fn q4_k(x: &[f32; 256], out: &mut [u8; 144]) {
    let steps = Steps { first: -1.0, count: 20, error: Error::Squared };
    let codes = eighths(x, 15, steps, out);
    halves(&codes, &mut out[16..]);
}

/// Eight times six bits of scale and of minimum, five bits for a weight.
pub(super) fn q5_k(x: &[f32; 256], out: &mut [u8; 176]) {
    let steps = Steps { first: -0.5, count: 15, error: Error::Squared };
    let codes = eighths(x, 31, steps, out);
    out[16..48].fill(0);
    for (i, code) in codes.iter().enumerate() {
        out[16 + i % 32] |= ((code >> 4) as u8) << (i / 32);
    }
    halves(&codes.map(|code| code & 15), &mut out[48..]);
}

/// Sixteen times eight bits of scale, six bits for a weight.
pub(super) fn q6_k(x: &[f32; 256], out: &mut [u8; 210]) {
    let mut codes = [0; 256];
    let mut scales = [0.0; 16];
    for ((x, codes), scale) in x.chunks(16).zip(codes.chunks_mut(16)).zip(&mut scales) {
        *scale = search::symmetric(x, 32, codes);
    }
    let extreme = search::extreme(&scales);
    out.fill(0);
    if extreme.abs() < NOTHING {
        return;
    }
    let inverse = -128.0 / extreme;
    let d = put(out, 208, 1.0 / inverse);
    for (i, &scale) in scales.iter().enumerate() {
        let scale = nearest(inverse * scale).min(127);
        out[192 + i] = scale as i8 as u8;
        round(&x[16 * i..][..16], d * scale as f32, 32, &mut codes[16 * i..][..16]);
    }
    for (i, code) in codes.iter().enumerate() {
        let code = (code + 32) as u8;
        let (half, quarter, at) = (i / 128, i % 128 / 32, i % 32);
        out[64 * half + 32 * (quarter % 2) + at] |= (code & 15) << (quarter / 2 * 4);
        out[128 + 32 * half + at] |= code >> 4 << (2 * quarter);
    }
}

/// Scales and minima of 32 weights for codes from 0 to `most`, into the first 16 bytes.
fn eighths(x: &[f32; 256], most: i32, steps: Steps, out: &mut [u8]) -> [i32; 256] {
    let mut codes = [0; 256];
    let mut scales = [(0.0, 0.0); 8];
    for ((x, codes), scale) in x.chunks(32).zip(codes.chunks_mut(32)).zip(&mut scales) {
        let squares = x.iter().fold(0.0_f32, |sum, x| sum + x * x);
        let size = (squares / 32.0).sqrt();
        let weights: [f32; 32] = std::array::from_fn(|i| size + x[i].abs());
        *scale = search::shifted(x, &weights, most, steps, codes);
    }
    let (largest, largest_min) = largest(&scales);
    let inverse = |largest: f32| if largest > 0.0 { 63.0 / largest } else { 0.0 };
    let (scale_inverse, min_inverse) = (inverse(largest), inverse(largest_min));
    let d = put(out, 0, largest / 63.0);
    let dmin = put(out, 2, largest_min / 63.0);
    for (i, &(scale, min)) in scales.iter().enumerate() {
        // Through bytes, as ggml does it.
        let scale = (nearest(scale_inverse * scale) as u8).min(63);
        let min = (nearest(min_inverse * min) as u8).min(63);
        if i < 4 {
            out[4 + i] = scale;
            out[8 + i] = min;
        } else {
            out[8 + i] = scale & 15 | (min & 15) << 4;
            out[i] |= scale >> 4 << 6;
            out[4 + i] |= min >> 4 << 6;
        }
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        round_shifted(&x[32 * i..][..32], scale, min, most, &mut codes[32 * i..][..32]);
    }
    codes
}

/// The largest scale and the largest minimum, at least 0 (and not -0).
fn largest(scales: &[(f32, f32)]) -> (f32, f32) {
    let larger = |largest: f32, x: f32| if x > largest { x } else { largest };
    scales.iter().fold((0.0, 0.0), |(scale, min), &(s, m)| (larger(scale, s), larger(min, m)))
}

/// Codes for the scale as it was stored; where that is nothing, those of the search stay.
fn round(x: &[f32], scale: f32, half: i32, codes: &mut [i32]) {
    if scale != 0.0 {
        for (code, &x) in codes.iter_mut().zip(x) {
            *code = nearest(x / scale).clamp(-half, half - 1);
        }
    }
}

/// As [`round`], for codes from 0 to `most` that stand for `code * scale - min`.
fn round_shifted(x: &[f32], scale: f32, min: f32, most: i32, codes: &mut [i32]) {
    if scale != 0.0 {
        for (code, &x) in codes.iter_mut().zip(x) {
            *code = nearest((x + min) / scale).clamp(0, most);
        }
    }
}

/// Four bits each: of every 64 codes the first 32 below the others.
fn halves(codes: &[i32; 256], out: &mut [u8]) {
    for (codes, out) in codes.chunks(64).zip(out.chunks_mut(32)) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = (codes[i] | codes[i + 32] << 4) as u8;
        }
    }
}

/// Two bits each: of every 128 codes four times 32 above one another.
fn quarters(codes: &[i32; 256], out: &mut [u8]) {
    for (codes, out) in codes.chunks(128).zip(out.chunks_mut(32)) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = (codes[i] | codes[i + 32] << 2 | codes[i + 64] << 4 | codes[i + 96] << 6) as u8;
        }
    }
}
