//! How eight rows of blocks are packed together.
//!
//! A *piece* is 32 columns of a row. Its quants are bytes in eight words of four columns, so that
//! word `j` of eight rows fills a vector of 32 bytes, and a product of that vector with four
//! activations, repeated, leaves one sum per row: no row is ever summed across a vector.
//!
//! ```text
//! block of 8 rows = head: per row d (and m or dmin), f16, all d first
//!                   then each piece: factors: a of 8 rows, b of 8 rows, a byte each
//!                                    low bits, then high bits, of 8 words of 8 rows
//! ```

use crate::kernels::packed::format::{BlockFormat, Format, Layout, ROWS, with_format};

/// 32 columns of one row, in any format.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct RowPiece {
    /// Four columns each, the first in the lowest byte.
    pub(super) words: [u32; 8],
    /// `d`, and `m` or `dmin`.
    pub(super) head: [u16; 2],
    /// `a` and `b`.
    pub(super) factors: [u8; 2],
}

/// 32 columns of eight rows, in any format.
struct Piece {
    /// Four columns each, the first in the lowest byte.
    words: [Vector; 8],
    /// `d`, and `m` or `dmin`.
    head: [[u16; ROWS]; 2],
    /// `a` and `b`.
    factors: [[u8; ROWS]; 2],
}

/// A word of each of eight rows.
#[derive(Clone, Copy)]
struct Vector([u32; ROWS]);

impl Vector {
    /// Bits of each byte, after `shift` others.
    #[inline(always)]
    fn bits(mut self, shift: usize, mask: u32) -> Self {
        for word in &mut self.0 {
            *word = *word >> shift & (mask * FOURS);
        }
        self
    }

    /// With the bits of another, moved up.
    #[inline(always)]
    fn with(mut self, other: Self, shift: usize) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word |= other << shift;
        }
        self
    }
}

const FOURS: u32 = 0x0101_0101;

/// Packs up to eight rows, as they are stored, into their group; rows that are not there stay zeros.
/// Returns whether all scales and minima are finite.
pub(super) fn pack(format: BlockFormat, stored: &[&[u8]], group: &mut [u8]) -> bool {
    with_format!(format, F => pack_as::<F>(stored, group))
}

fn pack_as<F: Format>(stored: &[&[u8]], group: &mut [u8]) -> bool {
    /// As long as any block.
    const NO_ROW: [u8; 256] = [0; 256];
    /// All of an f16's, which infinity and NaN have.
    const EXPONENT: u16 = 0x7c00;
    let layout = F::LAYOUT;
    let mut finite = true;
    for (number, packed) in group.chunks_exact_mut(layout.block()).enumerate() {
        let mut blocks = [&NO_ROW[..layout.stored]; ROWS];
        for (block, stored) in blocks.iter_mut().zip(stored) {
            *block = &stored[number * layout.stored..][..layout.stored];
        }
        for piece in 0..layout.pieces {
            let decoded = decode(F::FORMAT, &blocks, piece);
            if piece == 0 {
                let heads = decoded.head.as_flattened().iter();
                finite = heads.fold(finite, |finite, bits| finite & (bits & EXPONENT != EXPONENT));
            }
            write(layout, packed, piece, &decoded);
        }
    }
    finite
}

/// Writes a piece of eight rows into their packed block.
#[inline(always)]
fn write(layout: Layout, block: &mut [u8], piece: usize, rows: &Piece) {
    let start = layout.head() + piece * layout.piece();
    let (low, high) = layout.bits();
    let words = &rows.words;
    let mut put = |at: usize, Vector(words): Vector| {
        let bytes = block[start + at..start + at + 4 * ROWS].as_chunks_mut::<4>().0;
        bytes.iter_mut().zip(words).for_each(|(out, word)| *out = word.to_le_bytes());
    };
    for n in 0..layout.low_bits {
        match layout.low_bits {
            2 => put(low + 32 * n, joined::<2>(words, n, 2, 0)),
            4 => put(low + 32 * n, joined::<4>(words, n, 4, 0)),
            _ => put(low + 32 * n, words[n]),
        }
    }
    for n in 0..layout.high_bits {
        match layout.high_bits {
            1 => put(high, joined::<1>(words, 0, 1, layout.low_bits)),
            _ => put(high + 32 * n, joined::<2>(words, 4 * n, 1, layout.low_bits)),
        }
    }
    if piece == 0 {
        let numbers = layout.head() / (2 * ROWS);
        for (number, of_rows) in rows.head.iter().take(numbers).enumerate() {
            let bytes = block[number * 2 * ROWS..][..2 * ROWS].as_chunks_mut::<2>().0;
            bytes.iter_mut().zip(of_rows).for_each(|(out, value)| *out = value.to_le_bytes());
        }
    }
    if layout.factors() > 0 {
        block[start..start + 2 * ROWS].copy_from_slice(rows.factors.as_flattened());
    }
}

/// `BITS` of each byte, from bit `shift` on, of as many words as they fill: from `first`, `step` apart.
#[inline(always)]
fn joined<const BITS: usize>(
    words: &[Vector; 8],
    first: usize,
    step: usize,
    shift: usize,
) -> Vector {
    let mut joined = Vector([0; ROWS]);
    for i in 0..8 / BITS {
        let bits = words[first + i * step].bits(shift, (1 << BITS) - 1);
        joined = joined.with(bits, i * BITS);
    }
    joined
}

/// Reads what [`write`] has written.
pub(super) fn read(layout: Layout, block: &[u8], piece: usize, row: usize) -> RowPiece {
    let word = |at: usize| {
        block[at..at + 4].iter().rev().fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
    };
    let start = layout.head() + piece * layout.piece();
    let (low, high) = layout.bits();
    let vector = |number: usize| start + number * 4 * ROWS + 4 * row;
    let words = std::array::from_fn(|j| {
        let low = match layout.low_bits {
            2 => word(vector(j % 2) + low) >> (j / 2 * 2) & (3 * FOURS),
            4 => word(vector(j % 4) + low) >> (j / 4 * 4) & (15 * FOURS),
            _ => word(vector(j) + low),
        };
        low | match layout.high_bits {
            0 => 0,
            1 => (word(vector(0) + high) >> j & FOURS) << layout.low_bits,
            _ => (word(vector(j / 4) + high) >> (j % 4 * 2) & (3 * FOURS)) << layout.low_bits,
        }
    });
    let head = |number: usize| {
        let at = number * 2 * ROWS + 2 * row;
        if at < layout.head() { u16::from_le_bytes([block[at], block[at + 1]]) } else { 0 }
    };
    let factor = |number: usize| match layout.factors() {
        0 => 0,
        _ => block[start + number * ROWS + row],
    };
    RowPiece { words, head: [head(0), head(1)], factors: [factor(0), factor(1)] }
}

/// Reads a piece of eight rows' blocks as they are stored in a file; layouts as in ggml's
/// `ggml-quants.c`.
#[inline(always)]
fn decode(format: BlockFormat, blocks: &[&[u8]; ROWS], piece: usize) -> Piece {
    let half = |at: usize| each(blocks, |block| u16::from_le_bytes([block[at], block[at + 1]]));
    let byte = |at: usize| each(blocks, |block| block[at]);
    // Bits of each of 32 bytes.
    let bits = |at: usize, shift: usize, mask: u32| -> [Vector; 8] {
        let mut words = transposed::<8>(blocks, at);
        for word in &mut words {
            *word = word.bits(shift, mask);
        }
        words
    };
    let nibbles = |at: usize| -> [Vector; 8] {
        let words = transposed::<4>(blocks, at);
        let mut nibbles = [Vector([0; ROWS]); 8];
        for (j, word) in words.into_iter().enumerate() {
            nibbles[j] = word.bits(0, 15);
            nibbles[j + 4] = word.bits(4, 15);
        }
        nibbles
    };
    let with = |mut low: [Vector; 8], high: [Vector; 8], shift: usize| -> [Vector; 8] {
        for (low, high) in low.iter_mut().zip(high) {
            *low = low.with(high, shift);
        }
        low
    };
    // With a fifth bit from 32 bits.
    let fifth = |at: usize, words: [Vector; 8]| -> [Vector; 8] {
        let [all] = transposed::<1>(blocks, at);
        let mut high = [Vector([0; ROWS]); 8];
        for (j, high) in high.iter_mut().enumerate() {
            // Multiplying puts bit i of four into byte i.
            *high =
                Vector(all.0.map(|all| (all >> (4 * j) & 15).wrapping_mul(0x0020_4081) & FOURS));
        }
        with(words, high, 4)
    };
    let none = [[0; ROWS]; 2];
    let (words, head, factors) = match format {
        BlockFormat::IQ4NL | BlockFormat::Q4_0 => (nibbles(2), [half(0), [0; ROWS]], none),
        BlockFormat::Q4_1 => (nibbles(4), [half(0), half(2)], none),
        BlockFormat::Q5_0 => (fifth(2, nibbles(6)), [half(0), [0; ROWS]], none),
        BlockFormat::Q5_1 => (fifth(4, nibbles(8)), [half(0), half(2)], none),
        BlockFormat::Q8_0 => (transposed(blocks, 2), [half(0), [0; ROWS]], none),
        BlockFormat::Q2K => {
            let words = bits(16 + 32 * (piece / 4), piece % 4 * 2, 3);
            (words, [half(80), half(82)], [byte(2 * piece), byte(2 * piece + 1)])
        }
        BlockFormat::Q3K => {
            let low = bits(32 + 32 * (piece / 4), piece % 4 * 2, 3);
            let scale = |i: usize| {
                each(blocks, |block| {
                    let low = block[96 + i % 8] >> (i / 8 * 4) & 15;
                    let high = block[104 + i % 4] >> (i / 4 * 2) & 3;
                    (low | high << 4).wrapping_sub(32)
                })
            };
            let factors = [scale(2 * piece), scale(2 * piece + 1)];
            (with(low, bits(0, piece, 1), 2), [half(108), [0; ROWS]], factors)
        }
        BlockFormat::Q4K => {
            let words = bits(16 + 32 * (piece / 2), piece % 2 * 4, 15);
            (words, [half(0), half(2)], six_bits(blocks, piece))
        }
        BlockFormat::Q5K => {
            let low = bits(48 + 32 * (piece / 2), piece % 2 * 4, 15);
            let words = with(low, bits(16, piece, 1), 4);
            (words, [half(0), half(2)], six_bits(blocks, piece))
        }
        BlockFormat::Q6K => {
            let (part, quarter) = (piece / 4, piece % 4);
            let low = bits(64 * part + 32 * (quarter % 2), quarter / 2 * 4, 15);
            let words = with(low, bits(128 + 32 * part, quarter * 2, 3), 4);
            (words, [half(208), [0; ROWS]], [byte(192 + 2 * piece), byte(193 + 2 * piece)])
        }
    };
    Piece { words, head, factors }
}

/// Words that lie in each row's block from `at` on, word by word.
#[inline(always)]
fn transposed<const WORDS: usize>(blocks: &[&[u8]; ROWS], at: usize) -> [Vector; WORDS] {
    let mut words = [Vector([0; ROWS]); WORDS];
    for (row, block) in blocks.iter().enumerate() {
        let bytes = block[at..at + 4 * WORDS].as_chunks::<4>().0;
        for (word, bytes) in words.iter_mut().zip(bytes) {
            word.0[row] = u32::from_le_bytes(*bytes);
        }
    }
    words
}

#[inline(always)]
fn each<T: Copy + Default>(blocks: &[&[u8]; ROWS], read: impl Fn(&[u8]) -> T) -> [T; ROWS] {
    let mut out = [T::default(); ROWS];
    for (out, block) in out.iter_mut().zip(blocks) {
        *out = read(block);
    }
    out
}

/// Scale and minimum of a piece from the twelve bytes of Q4_K and Q5_K.
#[inline(always)]
fn six_bits(blocks: &[&[u8]; ROWS], piece: usize) -> [[u8; ROWS]; 2] {
    let mut factors = [[0; ROWS]; 2];
    for (row, block) in blocks.iter().enumerate() {
        let packed = &block[4..16];
        let [scale, minimum] = if piece < 4 {
            [packed[piece] & 63, packed[piece + 4] & 63]
        } else {
            let (low, high) = (packed[piece + 4], [packed[piece - 4], packed[piece]]);
            [low & 15 | high[0] >> 6 << 4, low >> 4 | high[1] >> 6 << 4]
        };
        factors[0][row] = scale;
        factors[1][row] = minimum;
    }
    factors
}
