//! Numbers in blocks.

/// The number at a byte of a block.
pub(super) fn half(block: &[u8], at: usize) -> f32 {
    half::f16::from_bits(short(block, at)).to_f32()
}

pub(super) fn short(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}
