//! From coefficients to samples: the accurate transform of whole numbers of libjpeg (`jidctint.c`), with products in fixed
//! point of 13 bits, and 2 bits more between its two passes.

/// A block of samples, into a plane whose rows are so long.
pub(super) fn transform(
    coefficients: &[i16; 64],
    quantization: &[u16; 64],
    out: &mut [u8],
    width: usize,
) {
    if coefficients[1..].iter().all(|&coefficient| coefficient == 0) {
        let first = i32::from(coefficients[0].wrapping_mul(quantization[0] as i16));
        let sample = sample(((first << PASS) + 16) >> 5);
        for row in out.chunks_mut(width).take(8) {
            row[..8].fill(sample);
        }
        return;
    }
    let mut between = [0_i64; 64];
    for column in 0..8 {
        let value = |row: usize| {
            let at = row * 8 + column;
            i64::from(coefficients[at].wrapping_mul(quantization[at] as i16))
        };
        let found = once([0, 1, 2, 3, 4, 5, 6, 7].map(value), BITS - PASS);
        for (row, value) in found.into_iter().enumerate() {
            between[row * 8 + column] = value.clamp(i64::from(i16::MIN), i64::from(i16::MAX));
        }
    }
    for (values, row) in between.as_chunks::<8>().0.iter().zip(out.chunks_mut(width)) {
        let found = once(*values, BITS + PASS + 3);
        for (sample_out, value) in row.iter_mut().zip(found) {
            *sample_out = sample(value as i32);
        }
    }
}

/// A sample of 0 to 255, from one around 0.
fn sample(value: i32) -> u8 {
    (value + 128).clamp(0, 255) as u8
}

/// One dimension: Loeffler, Ligtenberg and Moschytz, 1989, with 12 products.
fn once(values: [i64; 8], shift: u32) -> [i64; 8] {
    let [v0, v1, v2, v3, v4, v5, v6, v7] = values;
    let z = (v2 + v6) * 4433;
    let (low, high) = (z - v6 * 15137, z + v2 * 6270);
    let (sum, difference) = ((v0 + v4) << BITS, (v0 - v4) << BITS);
    let even = [sum + high, difference + low, difference - low, sum - high];

    let z5 = (v7 + v3 + v5 + v1) * 9633;
    let z3 = z5 - (v7 + v3) * 16069;
    let z4 = z5 - (v5 + v1) * 3196;
    let z1 = (v7 + v1) * -7373;
    let z2 = (v5 + v3) * -20995;
    let odd =
        [v1 * 12299 + z1 + z4, v3 * 25172 + z2 + z3, v5 * 16819 + z2 + z4, v7 * 2446 + z1 + z3];
    let rounded = |value: i64| (value + (1 << (shift - 1))) >> shift;
    let mut out = [0; 8];
    for at in 0..4 {
        out[at] = rounded(even[at] + odd[at]);
        out[7 - at] = rounded(even[at] - odd[at]);
    }
    out
}

/// Bits behind the point of products.
const BITS: u32 = 13;
/// Bits behind the point between the two passes.
const PASS: u32 = 2;
