//! A number that tells texts apart, the same in every build: FNV-1a of 64 bits.

/// Goes on from `start`, which is 0 at the beginning.
pub(crate) fn fingerprint(start: u64, bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(start ^ 0xcbf2_9ce4_8422_2325, mix)
}
