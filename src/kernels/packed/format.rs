//! ggml's block formats: their sizes and what their numbers mean, also as types, so that what a format is
//! decides nothing at run time.

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

    /// Whether quants are all there is to 8 bits with a sign.
    pub(super) const fn signed(self) -> bool {
        matches!(self, Self::IQ4NL | Self::Q8_0)
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

    pub(super) const fn factors(self) -> usize {
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

/// A format, known while compiling.
pub(super) trait Format {
    const FORMAT: BlockFormat;
    const LAYOUT: Layout = Self::FORMAT.layout();
    /// Whether the halves of a piece have their own factors.
    const HALVES: bool = matches!(Self::LAYOUT.meaning, Meaning::Factors(_) | Meaning::Nibbles);
    const FACTORS: bool = Self::HALVES || matches!(Self::LAYOUT.meaning, Meaning::FactorAndMinimum);
    #[cfg(target_arch = "x86_64")]
    const SIGNED: bool = Self::FORMAT.signed();
}

macro_rules! formats {
    ($($name:ident)*) => {
        $(pub(super) struct $name;

        impl Format for $name {
            const FORMAT: BlockFormat = BlockFormat::$name;
        })*
    };
}
formats!(IQ4NL Q2K Q3K Q4_0 Q4_1 Q4K Q5_0 Q5_1 Q5K Q6K Q8_0);

/// The work for a format, with its type under the given name.
macro_rules! with_format {
    ($format:expr, $type:ident => $work:expr) => {
        with_format!($format, $type => $work; IQ4NL Q2K Q3K Q4_0 Q4_1 Q4K Q5_0 Q5_1 Q5K Q6K Q8_0)
    };
    ($format:expr, $type:ident => $work:expr; $($name:ident)*) => {
        match $format {
            $(crate::kernels::packed::format::BlockFormat::$name => {
                type $type = crate::kernels::packed::format::$name;
                $work
            })*
        }
    };
}
pub(super) use with_format;
