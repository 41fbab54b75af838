//! Types whose every weight is by itself one of a few numbers, times a scale.

use crate::weights::blocks::bytes::{half, short};

/// The sixteen numbers of IQ4_NL and IQ4_XS.
const FOUR_BITS: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

/// Twice the sixteen numbers of four-bit floats, E2M1.
/// <https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf>
const E2M1: [f32; 16] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0];

pub(super) fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    pairs(&block[2..], &FOUR_BITS, half(block, 0), out);
}

/// Six bits of scale for 32 weights, of which the lower four lie together.
pub(super) fn iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let d = half(block, 0);
    let high = short(block, 2);
    let codes = block[8..].chunks(16);
    for (i, (codes, out)) in codes.zip(out.chunks_mut(32)).enumerate() {
        let low = block[4 + i / 2] >> (4 * (i % 2)) & 15;
        let scale = u16::from(low) | (high >> (2 * i) & 3) << 4;
        pairs(codes, &FOUR_BITS, d * (f32::from(scale) - 32.0), out);
    }
}

/// The scale is a power of two.
pub(super) fn mxfp4(block: &[u8; 17], out: &mut [f32; 32]) {
    let scale = match u32::from(block[0]) {
        exponent @ 0..2 => 0x0020_0000 << exponent,
        exponent => (exponent - 1) << 23,
    };
    pairs(&block[1..], &E2M1, f32::from_bits(scale), out);
}

/// The scale of sixteen weights is an eight-bit float, E4M3 without sign.
pub(super) fn nvfp4(block: &[u8; 36], out: &mut [f32; 64]) {
    let (scales, codes) = block.split_at(4);
    for ((scale, codes), out) in scales.iter().zip(codes.chunks(8)).zip(out.chunks_mut(16)) {
        let mantissa = f32::from(scale & 7);
        let scale = match scale >> 3 & 15 {
            _ if *scale == 0x7f => 0.0,
            0 => mantissa / 512.0,
            exponent => (1.0 + mantissa / 8.0) * f32::from(exponent).exp2() / 128.0,
        };
        pairs(codes, &E2M1, scale * 0.5, out);
    }
}

/// Five or four digits of base three in a byte, as a fraction of 256; -1, 0 and 1.
pub(super) fn tq1_0(block: &[u8; 54], out: &mut [f32; 256]) {
    let d = half(block, 52);
    let digits = [(&block[..32], 5), (&block[32..48], 5), (&block[48..52], 4)];
    let digits = digits.into_iter().flat_map(|(bytes, digits)| {
        (0..digits).flat_map(move |digit| {
            let power = 3_u8.pow(digit);
            bytes.iter().map(move |byte| (u16::from(byte.wrapping_mul(power)) * 3) >> 8)
        })
    });
    for (digit, out) in digits.zip(out) {
        *out = d * (f32::from(digit) - 1.0);
    }
}

/// Two bits: -1, 0 and 1.
pub(super) fn tq2_0(block: &[u8; 66], out: &mut [f32; 256]) {
    let d = half(block, 64);
    for (bytes, out) in block[..64].chunks(32).zip(out.chunks_mut(128)) {
        for (shift, out) in out.chunks_mut(32).enumerate() {
            for (byte, out) in bytes.iter().zip(out) {
                *out = d * (f32::from(byte >> (2 * shift) & 3) - 1.0);
            }
        }
    }
}

/// The lower halves of all bytes, then the upper ones.
fn pairs(codes: &[u8], numbers: &[f32; 16], scale: f32, out: &mut [f32]) {
    let (low, high) = out.split_at_mut(codes.len());
    for ((code, low), high) in codes.iter().zip(low).zip(high) {
        *low = scale * numbers[usize::from(code & 15)];
        *high = scale * numbers[usize::from(code >> 4)];
    }
}
