//! Numbers as blocks hold them.

/// Stores a number as f16 and returns what was stored.
pub(super) fn put(out: &mut [u8], at: usize, value: f32) -> f32 {
    let half = half::f16::from_f32(value);
    out[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

/// The lowest four bits of each of twice as many codes: those of the first half below the others.
#[inline(always)]
pub(super) fn nibbles(codes: &[u8], out: &mut [u8]) {
    let (low, high) = codes.split_at(out.len());
    for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
        *out = low & 15 | high << 4;
    }
}
