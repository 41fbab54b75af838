//! The element types of GGUF files.

/// How one of ggml's element types lies in a file: blocks of `weights` numbers in `bytes` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GgmlType {
    /// ggml's number for it, `enum ggml_type` in `ggml.h`.
    pub number: u32,
    pub name: &'static str,
    /// Numbers in a block; a row is a whole number of blocks.
    pub weights: usize,
    /// Bytes of a block.
    pub bytes: usize,
}

impl GgmlType {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        TYPES.iter().copied().find(|kind| kind.number == number)
    }

    /// The type of that name, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        TYPES.iter().copied().find(|kind| kind.name.eq_ignore_ascii_case(name))
    }

    /// The bytes of a tensor; `None` where its rows are no whole blocks or it is impossibly large.
    pub(crate) fn length(self, shape: &[usize]) -> Option<usize> {
        let elements =
            shape.iter().try_fold(1_usize, |elements, &length| elements.checked_mul(length))?;
        let row = shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(self.weights) {
            return None;
        }
        (elements / self.weights).checked_mul(self.bytes)
    }
}

const fn kind(number: u32, name: &'static str, weights: usize, bytes: usize) -> GgmlType {
    GgmlType { number, name, weights, bytes }
}

/// `GGML_QUANT_SIZES` of gguf-py 0.19.0, but for Q8_1, which no file holds.
const TYPES: &[GgmlType] = &[
    kind(0, "F32", 1, 4),
    kind(1, "F16", 1, 2),
    kind(2, "Q4_0", 32, 18),
    kind(3, "Q4_1", 32, 20),
    kind(6, "Q5_0", 32, 22),
    kind(7, "Q5_1", 32, 24),
    kind(8, "Q8_0", 32, 34),
    kind(10, "Q2_K", 256, 84),
    kind(11, "Q3_K", 256, 110),
    kind(12, "Q4_K", 256, 144),
    kind(13, "Q5_K", 256, 176),
    kind(14, "Q6_K", 256, 210),
    kind(15, "Q8_K", 256, 292),
    kind(16, "IQ2_XXS", 256, 66),
    kind(17, "IQ2_XS", 256, 74),
    kind(18, "IQ3_XXS", 256, 98),
    kind(19, "IQ1_S", 256, 50),
    kind(20, "IQ4_NL", 32, 18),
    kind(21, "IQ3_S", 256, 110),
    kind(22, "IQ2_S", 256, 82),
    kind(23, "IQ4_XS", 256, 136),
    kind(24, "I8", 1, 1),
    kind(25, "I16", 1, 2),
    kind(26, "I32", 1, 4),
    kind(27, "I64", 1, 8),
    kind(28, "F64", 1, 8),
    kind(29, "IQ1_M", 256, 56),
    kind(30, "BF16", 1, 2),
    kind(34, "TQ1_0", 256, 54),
    kind(35, "TQ2_0", 256, 66),
    kind(39, "MXFP4", 32, 17),
    kind(40, "NVFP4", 64, 36),
    kind(41, "Q1_0", 128, 18),
];
