//! What packed quants stand for, one by one.

use half::f16;

use crate::kernels::packed::format::{Layout, Meaning, TABLE};
use crate::kernels::packed::layout::RowPiece;

/// What a piece of a row stands for: `scale * quant + minimum`, for each half.
pub(super) struct Values {
    words: [u32; 8],
    quants: Quants,
    pub(super) scale: [f32; 2],
    pub(super) minimum: [f32; 2],
}

impl Values {
    pub(super) fn new(layout: Layout, piece: &RowPiece) -> Self {
        let [d, m] = piece.head.map(|bits| f16::from_bits(bits).to_f32());
        let [a, b] = piece.factors;
        let (scale, minimum) = match layout.meaning {
            Meaning::Offset(offset) => ([d; 2], [-d * f32::from(offset); 2]),
            Meaning::Table => ([d; 2], [0.0; 2]),
            Meaning::Minimum => ([d; 2], [m; 2]),
            Meaning::Factors(offset) => {
                let scale = [a, b].map(|factor| d * f32::from(factor.cast_signed()));
                (scale, scale.map(|scale| -scale * f32::from(offset)))
            }
            Meaning::FactorAndMinimum => ([d * f32::from(a); 2], [-(m * f32::from(b)); 2]),
            Meaning::Nibbles => (
                [a, b].map(|factor| d * f32::from(factor & 15)),
                [a, b].map(|factor| -(m * f32::from(factor >> 4))),
            ),
        };
        let quants = match layout.meaning {
            Meaning::Table => Quants::Indexed,
            _ if layout.low_bits == 8 => Quants::Signed,
            _ => Quants::Unsigned,
        };
        Self { words: piece.words, quants, scale, minimum }
    }

    pub(super) fn quant(&self, column: usize) -> i32 {
        let byte = self.words[column / 4].to_le_bytes()[column % 4];
        match self.quants {
            Quants::Indexed => i32::from(TABLE[usize::from(byte)]),
            Quants::Signed => i32::from(byte.cast_signed()),
            Quants::Unsigned => i32::from(byte),
        }
    }
}

/// What the bytes of a piece stand for.
enum Quants {
    /// Indices into [`TABLE`].
    Indexed,
    Signed,
    Unsigned,
}
