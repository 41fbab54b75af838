//! Block formats as types, so that what a format is decides nothing at run time.

use crate::kernels::packed::layout::{BlockFormat, Layout, Meaning};

/// A format, known while compiling.
pub(super) trait Format {
    const FORMAT: BlockFormat;
    const LAYOUT: Layout = Self::FORMAT.layout();
    /// Whether the halves of a piece have their own factors.
    const HALVES: bool = matches!(Self::LAYOUT.meaning, Meaning::Factors(_) | Meaning::Nibbles);
    const FACTORS: bool = Self::HALVES || matches!(Self::LAYOUT.meaning, Meaning::FactorAndMinimum);
    /// Whether quants are all there is to 8 bits with a sign.
    #[cfg(target_arch = "x86_64")]
    const SIGNED: bool =
        matches!(Self::LAYOUT.meaning, Meaning::Table) || Self::LAYOUT.low_bits == 8;
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
            $(crate::kernels::packed::layout::BlockFormat::$name => {
                type $type = crate::kernels::packed::format::$name;
                $work
            })*
        }
    };
}
pub(super) use with_format;
