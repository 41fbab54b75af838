//! Integers in vectors of two widths.

use std::arch::x86_64::*;

use crate::kernels::vector::{Narrow, Vector, Wide};

/// What quants are multiplied with.
pub(super) trait Integers: Vector {
    type Ints: Copy;

    /// # Safety
    ///
    /// As all methods: the processor must have the instructions, and pointers must point to as many
    /// numbers as a vector has.
    unsafe fn ints(from: *const i32) -> Self::Ints;
    /// The same four bytes in all lanes.
    unsafe fn word(from: *const u8) -> Self::Ints;
    /// Adds four products to each lane.
    unsafe fn dot(sums: Self::Ints, unsigned: Self::Ints, signed: Self::Ints) -> Self::Ints;
    unsafe fn convert(x: Self::Ints) -> Self::Floats;
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats;
}

/// With VNNI.
impl Integers for Wide {
    type Ints = __m512i;

    #[inline(always)]
    unsafe fn ints(from: *const i32) -> __m512i {
        // SAFETY: the caller's promise, here and below.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn word(from: *const u8) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m512i, unsigned: __m512i, signed: __m512i) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_dpbusd_epi32(sums, unsigned, signed) }
    }

    #[inline(always)]
    unsafe fn convert(x: __m512i) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_cvtepi32_ps(x) }
    }

    #[inline(always)]
    unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(a, b) }
    }
}

/// With AVX-VNNI.
impl Integers for Narrow {
    type Ints = __m256i;

    #[inline(always)]
    unsafe fn ints(from: *const i32) -> __m256i {
        // SAFETY: the caller's promise, here and below.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn word(from: *const u8) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m256i, unsigned: __m256i, signed: __m256i) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_dpbusd_avx_epi32(sums, unsigned, signed) }
    }

    #[inline(always)]
    unsafe fn convert(x: __m256i) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_cvtepi32_ps(x) }
    }

    #[inline(always)]
    unsafe fn multiply(a: __m256, b: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_mul_ps(a, b) }
    }
}
