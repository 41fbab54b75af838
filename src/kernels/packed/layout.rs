//! ggml's block formats and how eight of their rows are packed together.
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

use crate::kernels::packed::format::{Format, with_format};

/// A block format of ggml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockFormat {
    IQ4NL,
    Q2K,
    Q3K,
    Q4_0,
    Q4_1,
    Q4K,
    Q5_0,
    Q5_1,
    Q5K,
    Q6K,
    Q8_0,
}

/// What the numbers beside the quants mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// `d (q - offset)`, for Q8_0 with signed quants and no offset.
    Offset(u8),
    /// `d t`, with `t` from [`TABLE`].
    Table,
    /// `d q + m`.
    Minimum,
    /// `d a (q - offset)` for the first 16 columns, with `b` for the others; both signed.
    Factors(u8),
    /// `d a q - dmin b`.
    FactorAndMinimum,
    /// As before, but with the halves' own: low four bits of `a` and `b` for `a`, high for `b`.
    Nibbles,
}

/// How a format is packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) meaning: Meaning,
    /// Pieces in a block.
    pub(super) pieces: usize,
    /// Bytes of one row's block in ggml.
    pub(super) stored: usize,
    pub(super) low_bits: usize,
    pub(super) high_bits: usize,
}

/// What the quants of IQ4_NL stand for: `kvalues_iq4nl` of ggml's `ggml-common.h`.
pub(super) const TABLE: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Rows packed together.
pub(super) const ROWS: usize = 8;

impl BlockFormat {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 11] = [
        Self::IQ4NL,
        Self::Q2K,
        Self::Q3K,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q4K,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q5K,
        Self::Q6K,
        Self::Q8_0,
    ];

    pub(super) const fn layout(self) -> Layout {
        let (meaning, pieces, stored, low_bits, high_bits) = match self {
            Self::IQ4NL => (Meaning::Table, 1, 18, 4, 0),
            Self::Q2K => (Meaning::Nibbles, 8, 84, 2, 0),
            Self::Q3K => (Meaning::Factors(4), 8, 110, 2, 1),
            Self::Q4_0 => (Meaning::Offset(8), 1, 18, 4, 0),
            Self::Q4_1 => (Meaning::Minimum, 1, 20, 4, 0),
            Self::Q4K => (Meaning::FactorAndMinimum, 8, 144, 4, 0),
            Self::Q5_0 => (Meaning::Offset(16), 1, 22, 4, 1),
            Self::Q5_1 => (Meaning::Minimum, 1, 24, 4, 1),
            Self::Q5K => (Meaning::FactorAndMinimum, 8, 176, 4, 1),
            Self::Q6K => (Meaning::Factors(32), 8, 210, 4, 2),
            Self::Q8_0 => (Meaning::Offset(0), 1, 34, 8, 0),
        };
        Layout { meaning, pieces, stored, low_bits, high_bits }
    }

    /// Its name in the style of GGUF files, in lower case.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::IQ4NL => "iq4_nl",
            Self::Q2K => "q2_k",
            Self::Q3K => "q3_k",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q4K => "q4_k",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q5K => "q5_k",
            Self::Q6K => "q6_k",
            Self::Q8_0 => "q8_0",
        }
    }

    /// Columns of a block.
    pub(crate) const fn columns(self) -> usize {
        self.layout().pieces * 32
    }
}

impl Layout {
    pub(super) const fn head(self) -> usize {
        match self.meaning {
            Meaning::Offset(_) | Meaning::Factors(_) | Meaning::Table => 2 * ROWS,
            _ => 4 * ROWS,
        }
    }

    const fn factors(self) -> usize {
        match self.meaning {
            Meaning::Offset(_) | Meaning::Minimum | Meaning::Table => 0,
            _ => 2 * ROWS,
        }
    }

    /// Bytes of a piece of eight rows.
    pub(super) const fn piece(self) -> usize {
        self.factors() + (self.low_bits + self.high_bits) * 4 * ROWS
    }

    /// Bytes of a block of eight rows.
    pub(super) const fn block(self) -> usize {
        self.head() + self.pieces * self.piece()
    }

    /// Where the low and the high bits of a piece begin, from the piece's beginning.
    pub(super) const fn bits(self) -> (usize, usize) {
        (self.factors(), self.factors() + self.low_bits * 4 * ROWS)
    }
}

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

const FOURS: u32 = 0x0101_0101;

/// Packs up to eight rows, as they are stored, into their group; rows that are not there stay zeros.
pub(super) fn pack(format: BlockFormat, stored: &[&[u8]], group: &mut [u8]) {
    with_format!(format, F => pack_as::<F>(stored, group));
}

fn pack_as<F: Format>(stored: &[&[u8]], group: &mut [u8]) {
    let layout = F::LAYOUT;
    for (number, packed) in group.chunks_exact_mut(layout.block()).enumerate() {
        for piece in 0..layout.pieces {
            let mut decoded = [RowPiece::default(); ROWS];
            for (decoded, stored) in decoded.iter_mut().zip(stored) {
                let block = &stored[number * layout.stored..][..layout.stored];
                *decoded = decode(F::FORMAT, block, piece);
            }
            write(layout, packed, piece, &decoded);
        }
    }
}

/// Writes a piece of eight rows into their packed block.
#[inline(always)]
fn write(layout: Layout, block: &mut [u8], piece: usize, rows: &[RowPiece; ROWS]) {
    let start = layout.head() + piece * layout.piece();
    let (low, high) = layout.bits();
    // Word by word, so that eight rows are a vector.
    let words: [[u32; ROWS]; 8] =
        std::array::from_fn(|j| std::array::from_fn(|row| rows[row].words[j]));
    let mut put = |at: usize, vector: [u32; ROWS]| {
        let bytes = block[start + at..start + at + 4 * ROWS].as_chunks_mut::<4>().0;
        bytes.iter_mut().zip(vector).for_each(|(out, word)| *out = word.to_le_bytes());
    };
    for n in 0..layout.low_bits {
        match layout.low_bits {
            2 => put(low + 32 * n, joined::<2>(&words, n, 2, 0)),
            4 => put(low + 32 * n, joined::<4>(&words, n, 4, 0)),
            _ => put(low + 32 * n, words[n]),
        }
    }
    for n in 0..layout.high_bits {
        match layout.high_bits {
            1 => put(high, joined::<1>(&words, 0, 1, layout.low_bits)),
            _ => put(high + 32 * n, joined::<2>(&words, 4 * n, 1, layout.low_bits)),
        }
    }
    for (row, from) in rows.iter().enumerate() {
        if piece == 0 {
            for (number, value) in from.head.iter().take(layout.head() / (2 * ROWS)).enumerate() {
                let at = number * 2 * ROWS + 2 * row;
                block[at..at + 2].copy_from_slice(&value.to_le_bytes());
            }
        }
        if layout.factors() > 0 {
            block[start + row] = from.factors[0];
            block[start + ROWS + row] = from.factors[1];
        }
    }
}

/// `BITS` of each byte, from bit `shift` on, of as many words as they fill: from `first`, `step` apart.
#[inline(always)]
fn joined<const BITS: usize>(
    words: &[[u32; ROWS]; 8],
    first: usize,
    step: usize,
    shift: usize,
) -> [u32; ROWS] {
    let mut joined = [0; ROWS];
    for i in 0..8 / BITS {
        for (joined, word) in joined.iter_mut().zip(words[first + i * step]) {
            *joined |= (word >> shift & (((1 << BITS) - 1) * FOURS)) << (i * BITS);
        }
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

/// Reads a piece of a block as it is stored in a file; layouts as in ggml's `ggml-quants.c`.
#[inline(always)]
fn decode(format: BlockFormat, block: &[u8], piece: usize) -> RowPiece {
    let half = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
    let word =
        |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    // Bits of each of 32 bytes.
    let bits = |at: usize, shift: usize, mask: u32| -> [u32; 8] {
        std::array::from_fn(|j| word(at + 4 * j) >> shift & (mask * FOURS))
    };
    let nibbles = |at: usize| -> [u32; 8] {
        std::array::from_fn(|j| word(at + 4 * (j % 4)) >> (j / 4 * 4) & (15 * FOURS))
    };
    // With a fifth bit from 32 bits.
    let fifth = |at: usize, words: [u32; 8]| -> [u32; 8] {
        let high = word(at);
        // Multiplying puts bit i of four into byte i.
        std::array::from_fn(|j| {
            words[j] | ((high >> (4 * j) & 15).wrapping_mul(0x0020_4081) & FOURS) << 4
        })
    };
    let with = |low: [u32; 8], high: [u32; 8], shift: usize| -> [u32; 8] {
        std::array::from_fn(|j| low[j] | high[j] << shift)
    };
    let (words, head, factors) = match format {
        BlockFormat::IQ4NL | BlockFormat::Q4_0 => (nibbles(2), [half(0), 0], [0; 2]),
        BlockFormat::Q4_1 => (nibbles(4), [half(0), half(2)], [0; 2]),
        BlockFormat::Q5_0 => (fifth(2, nibbles(6)), [half(0), 0], [0; 2]),
        BlockFormat::Q5_1 => (fifth(4, nibbles(8)), [half(0), half(2)], [0; 2]),
        BlockFormat::Q8_0 => (std::array::from_fn(|j| word(2 + 4 * j)), [half(0), 0], [0; 2]),
        BlockFormat::Q2K => {
            let words = bits(16 + 32 * (piece / 4), piece % 4 * 2, 3);
            (words, [half(80), half(82)], [block[2 * piece], block[2 * piece + 1]])
        }
        BlockFormat::Q3K => {
            let low = bits(32 + 32 * (piece / 4), piece % 4 * 2, 3);
            let scale = |i: usize| {
                let low = block[96 + i % 8] >> (i / 8 * 4) & 15;
                let high = block[104 + i % 4] >> (i / 4 * 2) & 3;
                (low | high << 4).wrapping_sub(32)
            };
            let factors = [scale(2 * piece), scale(2 * piece + 1)];
            (with(low, bits(0, piece, 1), 2), [half(108), 0], factors)
        }
        BlockFormat::Q4K => {
            let words = bits(16 + 32 * (piece / 2), piece % 2 * 4, 15);
            (words, [half(0), half(2)], six_bits(&block[4..16], piece))
        }
        BlockFormat::Q5K => {
            let low = bits(48 + 32 * (piece / 2), piece % 2 * 4, 15);
            let words = with(low, bits(16, piece, 1), 4);
            (words, [half(0), half(2)], six_bits(&block[4..16], piece))
        }
        BlockFormat::Q6K => {
            let (part, quarter) = (piece / 4, piece % 4);
            let low = bits(64 * part + 32 * (quarter % 2), quarter / 2 * 4, 15);
            let words = with(low, bits(128 + 32 * part, quarter * 2, 3), 4);
            (words, [half(208), 0], [block[192 + 2 * piece], block[192 + 2 * piece + 1]])
        }
    };
    RowPiece { words, head, factors }
}

/// Scale and minimum of a piece from the twelve bytes of Q4_K and Q5_K.
fn six_bits(packed: &[u8], piece: usize) -> [u8; 2] {
    if piece < 4 {
        [packed[piece] & 63, packed[piece + 4] & 63]
    } else {
        let (low, high) = (packed[piece + 4], [packed[piece - 4], packed[piece]]);
        [low & 15 | high[0] >> 6 << 4, low >> 4 | high[1] >> 6 << 4]
    }
}
