//! Many rows of activations with VNNI: each instruction adds four products to 32 bits.
//!
//! Quants are signed and activations unsigned, 128 too large. Weights are unpacked once for all
//! activations, the rows of several groups side by side, with factors as part of the scales. Sums
//! start at what the 128 make too much, negated.

mod integers;

use std::arch::x86_64::*;
use std::ops::Range;

use crate::kernels::activations::{Activations, Group};
use crate::kernels::packed::avx2::pieces::{Target, words};
use crate::kernels::packed::avx2::unpack::{self, signed, unpack};
use crate::kernels::packed::format::{BlockFormat, Format, Meaning, ROWS, with_format};
use crate::kernels::tier::Tier;
use crate::kernels::vector::{Narrow, Wide};
use integers::Integers;

/// Pieces that are unpacked at a time: so many, with the activations that pass by, stay in the first
/// cache.
const PIECES: usize = 24;

/// Bytes of activations that pass by at a time: they stay in the second cache until the next weights
/// come. Weights are unpacked again for the next ones.
const PASSING: usize = 384 << 10;

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

/// Multiplies groups of eight rows with some rows of activations.
///
/// # Safety
///
/// As of [`super::multiply_many`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn multiply(
    tier: Tier,
    format: BlockFormat,
    groups: &[u8],
    x: &Activations,
    rows: Range<usize>,
    target: Target<'_>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        with_format!(format, F => match tier {
            Tier::Avx512 => multiply_as::<F, 4>(groups, x, rows, target),
            _ => multiply_as::<F, 2>(groups, x, rows, target),
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
    rows: Range<usize>,
    target: Target<'_>,
) {
    let (size, pieces) = (F::LAYOUT.block(), F::LAYOUT.pieces);
    let blocks = x.columns / (pieces * 32);
    assert!(x.columns.is_multiple_of(pieces * 32) && x.raised.len() == x.values.len());
    assert_eq!(groups.len(), target.rows.div_ceil(ROWS) * blocks * size);
    let (ints, floats) = ([_mm256_setzero_si256(); G], [_mm256_setzero_ps(); G]);
    let half = Half { correction: ints, scale: floats, minimum: floats };
    let zeros = Piece { quants: [ints; 8], halves: [half; 2] };
    let mut unpacked = vec![zeros; blocks.min(PIECES / pieces) * pieces];
    let of_row = x.columns.min(PIECES * 32) / 32 * (32 + size_of::<Group>());
    let chunk = (PASSING / of_row).next_multiple_of(6);
    for first in rows.clone().step_by(chunk) {
        let passing = first..rows.end.min(first + chunk);
        for (number, together) in groups.chunks(G * blocks * size).enumerate() {
            let target = target.part(number * G * ROWS, G * ROWS);
            for start in (0..blocks).step_by(PIECES / pieces) {
                let count = (blocks - start).min(PIECES / pieces);
                // What is unpacked next: the same rows, or those behind them, which may be beyond these groups: this
                // thread or another takes them next.
                let next = number * G * blocks * size
                    + match start + count < blocks {
                        true => (start + count) * size,
                        false => together.len(),
                    };
                let ahead = Ahead {
                    first: groups.as_ptr().wrapping_add(next),
                    stride: blocks * size,
                    lines: (count * size).div_ceil(LINE),
                };
                for (number, group) in together.chunks_exact(blocks * size).enumerate() {
                    let blocks = group[start * size..].chunks_exact(size);
                    for (block, unpacked) in blocks.zip(unpacked.chunks_exact_mut(pieces)) {
                        for (piece, unpacked) in unpacked.iter_mut().enumerate() {
                            unpacked.put::<F>(number, &signed::<F>(unpack::<F>(block, piece)));
                        }
                    }
                }
                let work = Work {
                    pieces: &unpacked[..count * pieces],
                    start: start * pieces,
                    x,
                    rows: passing.clone(),
                    target,
                    ahead,
                };
                // SAFETY: the caller's promise.
                unsafe {
                    match (const { F::HALVES }, const { minima::<F>() }) {
                        (false, false) => work.run::<false, false>(),
                        (false, true) => work.run::<false, true>(),
                        (true, false) => work.run::<true, false>(),
                        (true, true) => work.run::<true, true>(),
                    }
                }
            }
        }
    }
}

/// Whether pieces of signed quants have minima.
const fn minima<F: Format>() -> bool {
    !matches!(F::LAYOUT.meaning, Meaning::Factors(_) | Meaning::Offset(_) | Meaning::Table)
}

impl<const G: usize> Piece<G> {
    /// Sets the rows of group `number`. Those of groups that are not there stay what they are: nobody
    /// asks for their products.
    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn put<F: Format>(&mut self, number: usize, piece: &unpack::Piece) {
        for (out, quants) in self.quants.iter_mut().zip(piece.quants) {
            out[number] = quants;
        }
        let [first, second] = corrections(piece);
        let corrections = match F::HALVES {
            true => [first, second],
            false => [_mm256_add_epi32(first, second), _mm256_setzero_si256()],
        };
        let halves = if F::HALVES { 2 } else { 1 };
        for (half, out) in self.halves.iter_mut().take(halves).enumerate() {
            out.correction[number] = corrections[half];
            out.scale[number] = match F::FACTORS {
                true => _mm256_mul_ps(piece.scale, _mm256_cvtepi32_ps(piece.factors[half])),
                false => piece.scale,
            };
            if const { minima::<F>() } {
                out.minimum[number] = piece.minimum[half];
            }
        }
    }
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

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Weights that are unpacked next. They come from memory while others are multiplied: with few rows of activations,
/// unpacking waited for them most of the time.
#[derive(Clone, Copy)]
struct Ahead {
    /// Of the first group.
    first: *const u8,
    /// Bytes from one group's to the next's.
    stride: usize,
    /// Of each group.
    lines: usize,
}

impl Ahead {
    /// Has the lines of one turn fetched, of `G` groups: `share` lines in each turn.
    #[inline(always)]
    fn fetch<const G: usize>(self, turn: usize, share: usize) {
        for line in turn * share..((turn + 1) * share).min(G * self.lines) {
            let at = self.first.wrapping_add(line % G * self.stride + line / G * LINE);
            // SAFETY: it reads nothing, and every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
        }
    }
}

/// Pieces and activations that are to be multiplied.
struct Work<'a, const G: usize> {
    pieces: &'a [Piece<G>],
    /// The first piece's number in its rows.
    start: usize,
    x: &'a Activations,
    /// Of activations.
    rows: Range<usize>,
    target: Target<'a>,
    ahead: Ahead,
}

impl<const G: usize> Work<'_, G> {
    /// Rows of activations that are multiplied at once, at most.
    const HIGH: usize = if G == 4 { 6 } else { 3 };

    /// # Safety
    ///
    /// As of [`multiply_as`].
    unsafe fn run<const HALVES: bool, const MINIMA: bool>(&self) {
        // SAFETY: the caller's promise.
        unsafe {
            match G {
                4 => self.wide::<HALVES, MINIMA>(),
                _ => self.narrow::<HALVES, MINIMA>(),
            }
        }
    }

    /// The rows that are multiplied at once: about as many each time, as few give the processor too little to do.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let Range { start, end } = self.rows;
        let blocks = (end - start).div_ceil(Self::HIGH);
        let border = move |block: usize| start + block * (end - start) / blocks;
        (0..blocks).map(move |block| border(block)..border(block + 1))
    }

    /// # Safety
    ///
    /// As of [`Self::run`].
    #[target_feature(enable = "avx512f,avx512vnni")]
    unsafe fn wide<const HALVES: bool, const MINIMA: bool>(&self) {
        for (block, rows) in self.blocks().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                match rows.len() {
                    1 => self.multiply::<Wide, HALVES, MINIMA, 1>(rows.start, block),
                    2 => self.multiply::<Wide, HALVES, MINIMA, 2>(rows.start, block),
                    3 => self.multiply::<Wide, HALVES, MINIMA, 3>(rows.start, block),
                    4 => self.multiply::<Wide, HALVES, MINIMA, 4>(rows.start, block),
                    5 => self.multiply::<Wide, HALVES, MINIMA, 5>(rows.start, block),
                    _ => self.multiply::<Wide, HALVES, MINIMA, 6>(rows.start, block),
                }
            }
        }
    }

    /// # Safety
    ///
    /// As of [`Self::run`].
    #[target_feature(enable = "avx2,fma,avxvnni")]
    unsafe fn narrow<const HALVES: bool, const MINIMA: bool>(&self) {
        for (block, rows) in self.blocks().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                match rows.len() {
                    1 => self.multiply::<Narrow, HALVES, MINIMA, 1>(rows.start, block),
                    2 => self.multiply::<Narrow, HALVES, MINIMA, 2>(rows.start, block),
                    _ => self.multiply::<Narrow, HALVES, MINIMA, 3>(rows.start, block),
                }
            }
        }
    }

    /// Multiplies `M` rows of activations from `row`, which are [`Self::blocks`]' of this number.
    ///
    /// # Safety
    ///
    /// As of [`Self::run`], and the processor must have the vector's instructions.
    #[inline(always)]
    unsafe fn multiply<V: Integers, const HALVES: bool, const MINIMA: bool, const M: usize>(
        &self,
        row: usize,
        block: usize,
    ) {
        let Self { pieces, start, x, target, .. } = self;
        let (start, target) = (*start, *target);
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
            let whole = target.rows == 2 * V::LANES;
            if start > 0 || target.bias.is_some() {
                for (i, sums) in sums.iter_mut().enumerate() {
                    let mut before = [0.0; 32];
                    let mut from = match target.bias {
                        Some(bias) if start == 0 => bias.as_ptr(),
                        _ => target.out.add((row + i) * target.stride),
                    };
                    if !whole {
                        from.copy_to_nonoverlapping(before.as_mut_ptr(), target.rows);
                        from = before.as_ptr();
                    }
                    *sums = [V::load(from), V::load(from.add(V::LANES))];
                }
            }
            let turn = block * pieces.len();
            let turns = self.rows.len().div_ceil(Self::HIGH) * pieces.len();
            let share = (G * self.ahead.lines).div_ceil(turns);
            for (at, piece) in pieces.iter().enumerate() {
                self.ahead.fetch::<G>(turn + at, share);
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
                            let scale =
                                V::load(half.scale.as_ptr().cast::<f32>().add(n * V::LANES));
                            for i in 0..M {
                                let scale = V::multiply(scale, V::all((*groups[i].add(at)).scale));
                                let total = V::convert(totals[i][n]);
                                sums[i][n] = V::multiply_add(total, scale, sums[i][n]);
                            }
                            if MINIMA {
                                let minima = half.minimum.as_ptr().cast::<f32>();
                                let minimum = V::load(minima.add(n * V::LANES));
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
                if whole {
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
    }
}
