//! Numbers that tell texts and files apart, the same in every build: FNV-1a of 64 bits.

/// Goes on from `start`, which is 0 at the beginning.
pub(crate) fn fingerprint(start: u64, bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(start ^ 0xcbf2_9ce4_8422_2325, mix)
}

/// As [`fingerprint`], eight bytes at a time: of data of megabytes. Whatever byte is another, the number is another.
pub(crate) fn checksum(start: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mix = |hash: u64, word: &[u8; 8]| {
        (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x0100_0000_01b3)
    };
    fingerprint(words.iter().fold(start, mix), rest)
}
