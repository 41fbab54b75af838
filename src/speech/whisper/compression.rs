//! How much ids repeat themselves.

use miniz_oxide::deflate::core::deflate_flags::TDEFL_FORCE_ALL_STATIC_BLOCKS;
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, compress_to_output, create_comp_flags_from_zip_params,
};

/// How much smaller zlib makes ids, each in as many bytes as the vocabulary needs, the lowest first
/// (`_retrieve_compression_ratio`). 0 of no ids.
///
/// miniz compresses here. What it makes may be a few bytes longer or shorter than what zlib makes.
#[must_use]
pub fn compression_ratio(ids: &[u32], vocab: usize) -> f64 {
    let width = ((vocab.max(1) as f64).log2() / 8.0) as usize + 1;
    let bytes: Vec<u8> =
        ids.iter().flat_map(|id| u64::from(*id).to_le_bytes().into_iter().take(width)).collect();
    // zlib takes the shorter kind of code. miniz takes that of many bytes where there are 48.
    let length = compressed(&bytes, 0).min(compressed(&bytes, TDEFL_FORCE_ALL_STATIC_BLOCKS));
    bytes.len() as f64 / length as f64
}

/// The length of these bytes, compressed.
fn compressed(bytes: &[u8], flags: u32) -> usize {
    let flags = create_comp_flags_from_zip_params(LEVEL, ZLIB_WINDOW, 0) | flags;
    let mut length = 0;
    compress_to_output(&mut CompressorOxide::new(flags), bytes, TDEFLFlush::Finish, |part| {
        length += part.len();
        true
    });
    length
}

/// zlib's default.
const LEVEL: i32 = 6;

/// zlib's default, which writes its header.
const ZLIB_WINDOW: i32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths are those of Python's zlib 1.2.13, which miniz may miss by little.
    #[test]
    fn ratios_are_those_of_zlib() {
        let hello: Vec<u32> = [31373; 8].into_iter().chain([50257]).collect();
        let ramp: Vec<u32> = (0..40).collect();
        let cycle: Vec<u32> = (0..200).map(|place| place % 7 + 1000).collect();
        for (ids, vocab, expected) in [
            (&hello, 51865, 18.0 / 14.0),
            (&ramp, 51865, 80.0 / 63.0),
            (&cycle, 51865, 400.0 / 28.0),
            (&ramp, 200, 40.0 / 48.0),
        ] {
            let ratio = compression_ratio(ids, vocab);
            assert!((ratio / expected - 1.0).abs() < 0.1, "{ratio}, not {expected}");
        }
        assert_eq!(compression_ratio(&[], 100), 0.0);
    }
}
