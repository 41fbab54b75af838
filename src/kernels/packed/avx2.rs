//! Products of packed weights with AVX2.
//!
//! Unsigned quants of `b` bits times activations of 8 bits make sums of pairs below
//! `2 * 127 * (2^b - 1)`, so that eight (4 bits), four (5 bits) or two (6 bits) of them fit 16 bits
//! and are added before they are widened. Signed quants are made unsigned by giving their sign to
//! the activations: two products of at most `128 * 127` fit.

use std::arch::x86_64::*;

use crate::kernels::activations::Activations;
use crate::kernels::packed::layout::{BlockFormat, Layout, Meaning, ROWS};

/// 32 columns of eight rows: `scale * (quants · factors) + minimum`.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    quants: [__m256i; 8],
    /// Of each half, in 16 bits, twice per row; only where there are some.
    factors: [__m256i; 2],
    scale: __m256,
    /// Of each half; only the first where both are one.
    minimum: [__m256; 2],
}

/// A format, known while compiling.
trait Format {
    const LAYOUT: Layout;
    /// Whether the halves of a piece have their own scales.
    const HALVES: bool = matches!(Self::LAYOUT.meaning, Meaning::Factors(_) | Meaning::Nibbles);
    const FACTORS: bool = !matches!(Self::LAYOUT.meaning, Meaning::Offset(_) | Meaning::Minimum);
    const SIGNED: bool = Self::LAYOUT.low_bits == 8;
    /// Vectors of products that fit 16 bits together.
    const TOGETHER: usize = match Self::LAYOUT.low_bits + Self::LAYOUT.high_bits {
        2..=4 if Self::HALVES => 4,
        2..=4 => 8,
        5 => 4,
        6 => 2,
        _ => 1,
    };
}

macro_rules! formats {
    ($($name:ident),*) => {
        mod formats {
            $(pub(super) struct $name;)*
        }
        $(impl Format for formats::$name {
            const LAYOUT: Layout = BlockFormat::$name.layout();
        })*

        /// Multiplies eight rows with all activations; `write` gets the sums of one row of
        /// activations. `pieces` is scratch.
        #[target_feature(enable = "avx2,fma,f16c")]
        pub(super) fn multiply(
            format: BlockFormat,
            group: &[u8],
            x: &Activations,
            pieces: &mut Vec<Piece>,
            write: &mut impl FnMut(usize, &[f32; ROWS]),
        ) {
            match format {
                $(BlockFormat::$name => multiply_as::<formats::$name>(group, x, pieces, write),)*
            }
        }
    };
}

formats!(Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0);

#[target_feature(enable = "avx2,fma,f16c")]
fn multiply_as<F: Format>(
    group: &[u8],
    x: &Activations,
    pieces: &mut Vec<Piece>,
    write: &mut impl FnMut(usize, &[f32; ROWS]),
) {
    match x.rows {
        1 => return straight::<F, 1>(group, x, write),
        2 => return straight::<F, 2>(group, x, write),
        3 => return straight::<F, 3>(group, x, write),
        4 => return straight::<F, 4>(group, x, write),
        _ => {}
    }
    pieces.clear();
    for block in group.chunks_exact(F::LAYOUT.block()) {
        pieces.extend((0..F::LAYOUT.pieces).map(|piece| unpack::<F>(block, piece)));
    }
    let mut row = 0;
    while row < x.rows {
        let sums: &mut dyn FnMut(usize, &[f32; ROWS]) = &mut |i, sums| write(row + i, sums);
        row += match x.rows - row {
            1 => unpacked::<F, 1>(pieces, x, row, sums),
            2 => unpacked::<F, 2>(pieces, x, row, sums),
            3 => unpacked::<F, 3>(pieces, x, row, sums),
            _ => unpacked::<F, 4>(pieces, x, row, sums),
        };
    }
}

/// Multiplies a few rows while unpacking.
#[target_feature(enable = "avx2,fma,f16c")]
fn straight<F: Format, const M: usize>(
    group: &[u8],
    x: &Activations,
    write: &mut impl FnMut(usize, &[f32; ROWS]),
) {
    let mut sums = [_mm256_setzero_ps(); M];
    for (number, block) in group.chunks_exact(F::LAYOUT.block()).enumerate() {
        for piece in 0..F::LAYOUT.pieces {
            let at = number * F::LAYOUT.pieces + piece;
            add::<F, M>(&unpack::<F>(block, piece), x, 0, at, &mut sums);
        }
    }
    for (i, sums) in sums.into_iter().enumerate() {
        write(i, &array(sums));
    }
}

/// Multiplies `M` rows from `row`.
#[target_feature(enable = "avx2,fma,f16c")]
fn unpacked<F: Format, const M: usize>(
    pieces: &[Piece],
    x: &Activations,
    row: usize,
    write: &mut dyn FnMut(usize, &[f32; ROWS]),
) -> usize {
    let mut sums = [_mm256_setzero_ps(); M];
    for (at, piece) in pieces.iter().enumerate() {
        add::<F, M>(piece, x, row, at, &mut sums);
    }
    for (i, sums) in sums.into_iter().enumerate() {
        write(i, &array(sums));
    }
    M
}

/// Adds the products of piece number `at` with `M` rows of activations.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn add<F: Format, const M: usize>(
    piece: &Piece,
    x: &Activations,
    row: usize,
    at: usize,
    sums: &mut [__m256; M],
) {
    debug_assert!(row + M <= x.rows && at * 32 + 32 <= x.columns);
    let ones = _mm256_set1_epi16(1);
    let values = x.values.as_ptr().wrapping_add(row * x.columns + at * 32);
    let groups = x.groups.as_ptr().wrapping_add(row * (x.columns / 32) + at);
    let mut totals = [_mm256_setzero_si256(); M];
    let mut word = 0;
    while word < 8 {
        let factor = match (F::FACTORS, F::HALVES) {
            (false, _) => ones,
            (true, false) => piece.factors[0],
            (true, true) => piece.factors[word / 4],
        };
        let mut pairs = [_mm256_setzero_si256(); M];
        for (step, j) in (word..word + F::TOGETHER).enumerate() {
            let quants = piece.quants[j];
            for (i, sum) in pairs.iter_mut().enumerate() {
                // SAFETY: the caller's rows and columns are there (asserted above), so these four
                // bytes are.
                let x = unsafe { values.add(i * x.columns + 4 * j).cast::<i32>().read_unaligned() };
                let x = _mm256_set1_epi32(x);
                let products = if F::SIGNED {
                    _mm256_maddubs_epi16(_mm256_abs_epi8(quants), _mm256_sign_epi8(x, quants))
                } else {
                    _mm256_maddubs_epi16(quants, x)
                };
                *sum = if step == 0 { products } else { _mm256_add_epi16(*sum, products) };
            }
        }
        for i in 0..M {
            let products = _mm256_madd_epi16(pairs[i], factor);
            totals[i] = if word == 0 { products } else { _mm256_add_epi32(totals[i], products) };
        }
        word += F::TOGETHER;
    }
    for i in 0..M {
        // SAFETY: as above; one group for 32 columns.
        let group = unsafe { &*groups.add(i * (x.columns / 32)) };
        let scale = _mm256_mul_ps(piece.scale, _mm256_set1_ps(group.scale));
        sums[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(totals[i]), scale, sums[i]);
        if F::HALVES {
            for half in 0..2 {
                let sum = _mm256_set1_ps(group.halves[half]);
                sums[i] = _mm256_fmadd_ps(piece.minimum[half], sum, sums[i]);
            }
        } else if !F::SIGNED {
            sums[i] = _mm256_fmadd_ps(piece.minimum[0], _mm256_set1_ps(group.sum), sums[i]);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<F: Format>(block: &[u8], piece: usize) -> Piece {
    let layout = F::LAYOUT;
    assert!(block.len() >= layout.block() && piece < layout.pieces);
    let start = block.as_ptr().wrapping_add(layout.head() + piece * layout.piece());
    let (low, high) = layout.bits();
    // SAFETY: the block is as long as its layout says (asserted above), and only parts of the
    // layout are asked for.
    let vector = |at: usize, number: usize| unsafe {
        _mm256_loadu_si256(start.add(at + 32 * number).cast())
    };
    let quants: [__m256i; 8] = std::array::from_fn(|j| {
        let quants = match layout.low_bits {
            2 => _mm256_and_si256(right(vector(low, j % 2), j / 2 * 2), _mm256_set1_epi8(3)),
            4 => _mm256_and_si256(right(vector(low, j % 4), j / 4 * 4), _mm256_set1_epi8(15)),
            _ => vector(low, j),
        };
        match layout.high_bits {
            0 => quants,
            1 => {
                let bits = aligned(vector(high, 0), j, layout.low_bits);
                let bit = _mm256_set1_epi8(1 << layout.low_bits);
                _mm256_or_si256(quants, _mm256_and_si256(bits, bit))
            }
            _ => {
                let bits = aligned(vector(high, j / 4), j % 4 * 2, layout.low_bits);
                let both = _mm256_set1_epi8(0x30);
                _mm256_or_si256(quants, _mm256_and_si256(bits, both))
            }
        }
    });
    // SAFETY: as above.
    let halves = |number: usize| unsafe {
        _mm256_cvtph_ps(_mm_loadu_si128(block.as_ptr().add(16 * number).cast()))
    };
    // SAFETY: as above.
    let bytes = |number: usize| unsafe { _mm_loadl_epi64(start.add(8 * number).cast()) };
    let zero = _mm256_setzero_si256();
    let unused = _mm256_setzero_ps();
    let d = halves(0);
    let negative = |x| _mm256_sub_ps(_mm256_setzero_ps(), x);
    let (factors, minimum) = match layout.meaning {
        Meaning::Offset(offset) => {
            ([zero; 2], [_mm256_mul_ps(d, _mm256_set1_ps(-f32::from(offset))), unused])
        }
        Meaning::Minimum => ([zero; 2], [halves(1), unused]),
        Meaning::Factors(offset) => {
            let wide = [0, 1].map(|half| _mm256_cvtepi8_epi32(bytes(half)));
            let offset = _mm256_mul_ps(d, _mm256_set1_ps(-f32::from(offset)));
            let minimum = wide.map(|factor| _mm256_mul_ps(offset, _mm256_cvtepi32_ps(factor)));
            (wide.map(|wide| twice(wide)), minimum)
        }
        Meaning::FactorAndMinimum => {
            let factor = _mm256_cvtepu8_epi32(bytes(0));
            let minimum = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes(1)));
            ([twice(factor), zero], [negative(_mm256_mul_ps(halves(1), minimum)), unused])
        }
        Meaning::Nibbles => {
            let wide = [0, 1].map(|half| _mm256_cvtepu8_epi32(bytes(half)));
            let minimum = wide.map(|wide| {
                let minimum = _mm256_cvtepi32_ps(_mm256_srli_epi32::<4>(wide));
                negative(_mm256_mul_ps(halves(1), minimum))
            });
            let low = _mm256_set1_epi32(15);
            (wide.map(|wide| twice(_mm256_and_si256(wide, low))), minimum)
        }
    };
    Piece { quants, factors, scale: d, minimum }
}

/// A number in the low half of each 32 bits, in both halves.
#[inline]
#[target_feature(enable = "avx2")]
fn twice(wide: __m256i) -> __m256i {
    _mm256_or_si256(
        _mm256_and_si256(wide, _mm256_set1_epi32(0xffff)),
        _mm256_slli_epi32::<16>(wide),
    )
}

/// Shifts right, across bytes: what comes in from the byte above is to be masked.
#[inline]
#[target_feature(enable = "avx2")]
fn right(x: __m256i, bits: usize) -> __m256i {
    match bits {
        0 => x,
        1 => _mm256_srli_epi16::<1>(x),
        2 => _mm256_srli_epi16::<2>(x),
        3 => _mm256_srli_epi16::<3>(x),
        4 => _mm256_srli_epi16::<4>(x),
        5 => _mm256_srli_epi16::<5>(x),
        _ => _mm256_srli_epi16::<6>(x),
    }
}

/// Moves bit `from` to bit `to`, across bytes as [`right`].
#[inline]
#[target_feature(enable = "avx2")]
fn aligned(x: __m256i, from: usize, to: usize) -> __m256i {
    if from >= to {
        return right(x, from - to);
    }
    match to - from {
        1 => _mm256_slli_epi16::<1>(x),
        2 => _mm256_slli_epi16::<2>(x),
        3 => _mm256_slli_epi16::<3>(x),
        _ => _mm256_slli_epi16::<4>(x),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn array(x: __m256) -> [f32; ROWS] {
    let mut out = [0.0; ROWS];
    // SAFETY: eight floats are one vector.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), x) };
    out
}
