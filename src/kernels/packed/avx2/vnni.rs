//! Many rows of activations with VNNI: each instruction adds four products to 32 bits.
//!
//! As with AVX2 ([`many`](super::many)), quants are signed and activations unsigned, 128 too large,
//! and weights are unpacked once for all activations; here the rows of several groups lie side by
//! side, and factors are part of the scales. Sums start at what the 128 make too much, negated.

mod vector;

use std::arch::x86_64::*;

use crate::kernels::activations::Activations;
use crate::kernels::packed::avx2::unpack::{self, signed, unpack};
use crate::kernels::packed::avx2::{Minima, minima, words};
use crate::kernels::packed::format::{Format, with_format};
use crate::kernels::packed::layout::{BlockFormat, ROWS};
use crate::kernels::tier::Tier;
use vector::{Narrow, Vector, Wide};

/// Where products go.
#[derive(Clone, Copy)]
pub(in crate::kernels::packed) struct Target<'a> {
    /// Of the first row of activations with the first of weights.
    pub(in crate::kernels::packed) out: *mut f32,
    /// From one row of activations to the next.
    pub(in crate::kernels::packed) stride: usize,
    /// Of weights.
    pub(in crate::kernels::packed) rows: usize,
    /// One number for each row of weights.
    pub(in crate::kernels::packed) bias: Option<&'a [f32]>,
}

/// Groups of which rows lie side by side in two vectors.
pub(in crate::kernels::packed) const fn together(tier: Tier) -> usize {
    match tier {
        Tier::Avx512 => 4,
        Tier::AvxVnni => 2,
        _ => 1,
    }
}

/// Pieces that are unpacked at a time: so many, with the activations that pass by, stay in the first
/// cache.
const PIECES: usize = 24;

/// 32 columns of `G` groups of eight rows.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Piece<const G: usize> {
    quants: [[__m256i; G]; 8],
    /// Only the first where both are one.
    halves: [Half<G>; 2],
}

/// `scale * (quants · activations + correction) + minimum`, for 16 columns.
#[derive(Clone, Copy)]
#[repr(C)]
struct Half<const G: usize> {
    /// The quants' products with -128.
    correction: [__m256i; G],
    scale: [__m256; G],
    minimum: [__m256; G],
}

/// Multiplies groups of eight rows with all activations.
///
/// # Safety
///
/// The processor must have the tier's instructions, groups be whole and as many as the target's rows
/// take, and the target be the caller's alone.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in crate::kernels::packed) unsafe fn multiply(
    tier: Tier,
    format: BlockFormat,
    groups: &[u8],
    x: &Activations,
    target: Target<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        with_format!(format, F => match tier {
            Tier::Avx512 => multiply_as::<F, 4>(groups, x, target),
            _ => multiply_as::<F, 2>(groups, x, target),
        });
    }
}

/// # Safety
///
/// As of [`multiply`]; four groups together take AVX-512.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn multiply_as<F: Format, const G: usize>(
    groups: &[u8],
    x: &Activations,
    target: Target<'_>,
) {
    let (size, pieces) = (F::LAYOUT.block(), F::LAYOUT.pieces);
    let blocks = x.columns / (pieces * 32);
    assert!(x.columns.is_multiple_of(pieces * 32) && x.raised.len() == x.values.len());
    assert_eq!(groups.len(), target.rows.div_ceil(ROWS) * blocks * size);
    let mut unpacked: Vec<Piece<G>> = Vec::with_capacity(blocks * pieces);
    for (number, groups) in groups.chunks(G * blocks * size).enumerate() {
        let first = number * G * ROWS;
        let target = Target {
            out: target.out.wrapping_add(first),
            rows: (target.rows - first).min(G * ROWS),
            bias: target.bias.map(|bias| &bias[first..]),
            ..target
        };
        for start in (0..blocks).step_by(PIECES / pieces) {
            unpacked.clear();
            for block in start..blocks.min(start + PIECES / pieces) {
                for piece in 0..pieces {
                    unpacked.push(side_by_side::<F, G>(groups, blocks * size, block * size, piece));
                }
            }
            let start = start * pieces;
            // SAFETY: the caller's promise.
            unsafe {
                match (const { F::HALVES }, const { minima::<F>() }) {
                    (false, Minima::None) => all::<false, false, G>(&unpacked, x, start, target),
                    (false, _) => all::<false, true, G>(&unpacked, x, start, target),
                    (true, Minima::None) => all::<true, false, G>(&unpacked, x, start, target),
                    (true, _) => all::<true, true, G>(&unpacked, x, start, target),
                }
            }
        }
    }
}

/// A piece of up to `G` groups of `stride` bytes, of each from the block at `at`. What is not there
/// is zeros.
#[target_feature(enable = "avx2,fma,f16c")]
fn side_by_side<F: Format, const G: usize>(
    groups: &[u8],
    stride: usize,
    at: usize,
    piece: usize,
) -> Piece<G> {
    let (ints, floats) = ([_mm256_setzero_si256(); G], [_mm256_setzero_ps(); G]);
    let half = Half { correction: ints, scale: floats, minimum: floats };
    let mut out = Piece { quants: [ints; 8], halves: [half; 2] };
    for (number, group) in groups.chunks_exact(stride).enumerate() {
        let piece = signed::<F>(unpack::<F>(&group[at..at + F::LAYOUT.block()], piece));
        let corrections = corrections(&piece);
        for (out, quants) in out.quants.iter_mut().zip(piece.quants) {
            out[number] = quants;
        }
        for (half, out) in out.halves.iter_mut().enumerate() {
            out.scale[number] = match F::FACTORS {
                true => _mm256_mul_ps(piece.scale, _mm256_cvtepi32_ps(piece.factors[half])),
                false => piece.scale,
            };
            out.minimum[number] = piece.minimum[half];
            out.correction[number] = match F::HALVES {
                true => corrections[half],
                false => _mm256_add_epi32(corrections[0], corrections[1]),
            };
        }
    }
    out
}

/// The products of -128 with each half of a piece.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn corrections(piece: &unpack::Piece) -> [__m256i; 2] {
    let mut sums = [_mm256_setzero_si256(); 2];
    words!(WORD {
        let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(-128), piece.quants[WORD]);
        let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(-1));
        sums[WORD / 4] = _mm256_add_epi32(sums[WORD / 4], fours);
    });
    sums
}

/// Multiplies pieces, of which the first is number `start` of its rows, with all activations.
///
/// # Safety
///
/// As of [`multiply_as`].
#[inline]
unsafe fn all<const HALVES: bool, const MINIMA: bool, const G: usize>(
    pieces: &[Piece<G>],
    x: &Activations,
    start: usize,
    target: Target<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match G {
            4 => all_wide::<HALVES, MINIMA, G>(pieces, x, start, target),
            _ => all_narrow::<HALVES, MINIMA, G>(pieces, x, start, target),
        }
    }
}

/// # Safety
///
/// As of [`all`].
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn all_wide<const HALVES: bool, const MINIMA: bool, const G: usize>(
    pieces: &[Piece<G>],
    x: &Activations,
    start: usize,
    target: Target<'_>,
) {
    let mut row = 0;
    while row < x.rows {
        // SAFETY: the caller's promise.
        row += unsafe {
            match x.rows - row {
                1 => rows::<Wide, HALVES, MINIMA, G, 1>(pieces, x, row, start, target),
                2 => rows::<Wide, HALVES, MINIMA, G, 2>(pieces, x, row, start, target),
                3 => rows::<Wide, HALVES, MINIMA, G, 3>(pieces, x, row, start, target),
                4 => rows::<Wide, HALVES, MINIMA, G, 4>(pieces, x, row, start, target),
                5 => rows::<Wide, HALVES, MINIMA, G, 5>(pieces, x, row, start, target),
                _ => rows::<Wide, HALVES, MINIMA, G, 6>(pieces, x, row, start, target),
            }
        };
    }
}

/// # Safety
///
/// As of [`all`].
#[target_feature(enable = "avx2,fma,avxvnni")]
unsafe fn all_narrow<const HALVES: bool, const MINIMA: bool, const G: usize>(
    pieces: &[Piece<G>],
    x: &Activations,
    start: usize,
    target: Target<'_>,
) {
    let mut row = 0;
    while row < x.rows {
        // SAFETY: the caller's promise.
        row += unsafe {
            match x.rows - row {
                1 => rows::<Narrow, HALVES, MINIMA, G, 1>(pieces, x, row, start, target),
                2 => rows::<Narrow, HALVES, MINIMA, G, 2>(pieces, x, row, start, target),
                _ => rows::<Narrow, HALVES, MINIMA, G, 3>(pieces, x, row, start, target),
            }
        };
    }
}

/// Multiplies `M` rows of activations from `row`; the number of them.
///
/// # Safety
///
/// As of [`all`].
#[inline(always)]
unsafe fn rows<
    V: Vector,
    const HALVES: bool,
    const MINIMA: bool,
    const G: usize,
    const M: usize,
>(
    pieces: &[Piece<G>],
    x: &Activations,
    row: usize,
    start: usize,
    target: Target<'_>,
) -> usize {
    assert!(row + M <= x.rows && (start + pieces.len()) * 32 <= x.columns);
    // SAFETY: rows and columns are there (asserted above); vectors of a piece are two.
    unsafe {
        // The compiler must not know how rows lie, or it adds strides in the loop.
        let mut raised = [std::ptr::null(); M];
        let mut groups = [std::ptr::null(); M];
        for i in 0..M {
            let at = (row + i) * x.columns + start * 32;
            raised[i] = std::hint::black_box(x.raised.as_ptr().add(at));
            groups[i] = std::hint::black_box(x.groups.as_ptr().add(at / 32));
        }
        let mut sums = [[V::all(0.0); 2]; M];
        if start > 0 || target.bias.is_some() {
            for (i, sums) in sums.iter_mut().enumerate() {
                let mut before = [0.0; 32];
                let from = match target.bias {
                    Some(bias) if start == 0 => bias.as_ptr(),
                    _ => target.out.add((row + i) * target.stride),
                };
                from.copy_to_nonoverlapping(before.as_mut_ptr(), target.rows);
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = V::floats(before.as_ptr().add(n * V::LANES));
                }
            }
        }
        for (at, piece) in pieces.iter().enumerate() {
            let mut totals = [[V::ints(piece.halves[0].correction.as_ptr().cast()); 2]; M];
            macro_rules! begin {
                ($half:literal) => {
                    for n in 0..2 {
                        let corrections = piece.halves[$half].correction.as_ptr().cast::<i32>();
                        let correction = V::ints(corrections.add(n * V::LANES));
                        for totals in &mut totals {
                            totals[n] = correction;
                        }
                    }
                };
            }
            macro_rules! end {
                ($half:literal) => {
                    let half = &piece.halves[$half];
                    for n in 0..2 {
                        let scale = V::floats(half.scale.as_ptr().cast::<f32>().add(n * V::LANES));
                        for i in 0..M {
                            let scale = V::multiply(scale, V::all((*groups[i].add(at)).scale));
                            let total = V::convert(totals[i][n]);
                            sums[i][n] = V::multiply_add(total, scale, sums[i][n]);
                        }
                        if MINIMA {
                            let minima = half.minimum.as_ptr().cast::<f32>();
                            let minimum = V::floats(minima.add(n * V::LANES));
                            for i in 0..M {
                                let group = &*groups[i].add(at);
                                let sum = if HALVES { group.halves[$half] } else { group.sum };
                                sums[i][n] = V::multiply_add(minimum, V::all(sum), sums[i][n]);
                            }
                        }
                    }
                };
            }
            begin!(0);
            words!(WORD {
                if HALVES && WORD == 4 {
                    end!(0);
                    begin!(1);
                }
                let quants = piece.quants[WORD].as_ptr().cast::<i32>();
                let quants = [V::ints(quants), V::ints(quants.add(V::LANES))];
                for i in 0..M {
                    let x = V::word(raised[i].add(at * 32 + WORD * 4));
                    for n in 0..2 {
                        totals[i][n] = V::dot(totals[i][n], x, quants[n]);
                    }
                }
            });
            if HALVES {
                end!(1);
            } else {
                end!(0);
            }
        }
        for (i, sums) in sums.iter().enumerate() {
            let out = target.out.add((row + i) * target.stride);
            if target.rows == 2 * V::LANES {
                V::store(sums[0], out);
                V::store(sums[1], out.add(V::LANES));
            } else {
                let mut after = [0.0; 32];
                V::store(sums[0], after.as_mut_ptr());
                V::store(sums[1], after.as_mut_ptr().add(V::LANES));
                after.as_ptr().copy_to_nonoverlapping(out, target.rows);
            }
        }
    }
    M
}
