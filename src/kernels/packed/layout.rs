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

/// A block format of ggml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockFormat {
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

/// Rows packed together.
pub(super) const ROWS: usize = 8;

impl BlockFormat {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 10] = [
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

    /// Bytes of one row's block in a file.
    #[cfg(test)]
    pub(crate) const fn stored_bytes(self) -> usize {
        self.layout().stored
    }
}

impl Layout {
    pub(super) const fn head(self) -> usize {
        match self.meaning {
            Meaning::Offset(_) | Meaning::Factors(_) => 2 * ROWS,
            _ => 4 * ROWS,
        }
    }

    const fn factors(self) -> usize {
        match self.meaning {
            Meaning::Offset(_) | Meaning::Minimum => 0,
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

/// Writes a row's piece into the packed block of its eight rows.
pub(super) fn write(layout: Layout, block: &mut [u8], piece: usize, row: usize, from: &RowPiece) {
    let mut put = |at: usize, word: u32| {
        for (byte, more) in block[at..at + 4].iter_mut().zip(word.to_le_bytes()) {
            *byte |= more;
        }
    };
    let start = layout.head() + piece * layout.piece();
    let (low, high) = layout.bits();
    for (j, word) in from.words.iter().enumerate() {
        let vector = |number: usize| start + number * 4 * ROWS + 4 * row;
        match layout.low_bits {
            2 => put(vector(j % 2) + low, (word & (3 * FOURS)) << (j / 2 * 2)),
            4 => put(vector(j % 4) + low, (word & (15 * FOURS)) << (j / 4 * 4)),
            _ => put(vector(j) + low, *word),
        }
        let rest = word >> layout.low_bits.min(7);
        match layout.high_bits {
            0 => {}
            1 => put(vector(0) + high, (rest & FOURS) << j),
            _ => put(vector(j / 4) + high, (rest & (3 * FOURS)) << (j % 4 * 2)),
        }
    }
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
pub(super) fn decode(format: BlockFormat, block: &[u8], piece: usize) -> RowPiece {
    let half = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
    let nibbles = |at: usize| -> [u8; 32] {
        std::array::from_fn(|i| block[at + i % 16] >> (i / 16 * 4) & 15)
    };
    let fifth = |at: usize, mut quants: [u8; 32]| -> [u8; 32] {
        for (i, quant) in quants.iter_mut().enumerate() {
            *quant |= (block[at + i / 8] >> (i % 8) & 1) << 4;
        }
        quants
    };
    let twos = |at: usize| -> [u8; 32] {
        std::array::from_fn(|i| block[at + 32 * (piece / 4) + i] >> (piece % 4 * 2) & 3)
    };
    let fours = |at: usize| -> [u8; 32] {
        std::array::from_fn(|i| block[at + 32 * (piece / 2) + i] >> (piece % 2 * 4) & 15)
    };
    let (quants, head, factors) = match format {
        BlockFormat::Q4_0 => (nibbles(2), [half(0), 0], [0; 2]),
        BlockFormat::Q4_1 => (nibbles(4), [half(0), half(2)], [0; 2]),
        BlockFormat::Q5_0 => (fifth(2, nibbles(6)), [half(0), 0], [0; 2]),
        BlockFormat::Q5_1 => (fifth(4, nibbles(8)), [half(0), half(2)], [0; 2]),
        BlockFormat::Q8_0 => (std::array::from_fn(|i| block[2 + i]), [half(0), 0], [0; 2]),
        BlockFormat::Q2K => {
            (twos(16), [half(80), half(82)], [block[2 * piece], block[2 * piece + 1]])
        }
        BlockFormat::Q3K => {
            let mut quants = twos(32);
            for (i, quant) in quants.iter_mut().enumerate() {
                *quant |= (block[i] >> piece & 1) << 2;
            }
            let scale = |i: usize| {
                let low = block[96 + i % 8] >> (i / 8 * 4) & 15;
                let high = block[104 + i % 4] >> (i / 4 * 2) & 3;
                (low | high << 4).wrapping_sub(32)
            };
            (quants, [half(108), 0], [scale(2 * piece), scale(2 * piece + 1)])
        }
        BlockFormat::Q4K => (fours(16), [half(0), half(2)], six_bits(&block[4..16], piece)),
        BlockFormat::Q5K => {
            let mut quants = fours(48);
            for (i, quant) in quants.iter_mut().enumerate() {
                *quant |= (block[16 + i] >> piece & 1) << 4;
            }
            (quants, [half(0), half(2)], six_bits(&block[4..16], piece))
        }
        BlockFormat::Q6K => {
            let (part, quarter) = (piece / 4, piece % 4);
            let quants = std::array::from_fn(|i| {
                let low = block[64 * part + 32 * (quarter % 2) + i] >> (quarter / 2 * 4) & 15;
                let high = block[128 + 32 * part + i] >> (quarter * 2) & 3;
                low | high << 4
            });
            (quants, [half(208), 0], [block[192 + 2 * piece], block[192 + 2 * piece + 1]])
        }
    };
    let words = std::array::from_fn(|j| {
        u32::from_le_bytes([quants[4 * j], quants[4 * j + 1], quants[4 * j + 2], quants[4 * j + 3]])
    });
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
