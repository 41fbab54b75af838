//! Vectors of two widths.

use std::arch::x86_64::*;

/// What products are made with. Methods are inlined into functions that enable their features.
pub(super) trait Vector {
    type Ints: Copy;
    type Floats: Copy;
    /// Numbers of 32 bits.
    const LANES: usize;

    /// # Safety
    ///
    /// As all methods: the processor must have the instructions, and pointers must point to as many
    /// numbers as a vector has.
    unsafe fn ints(from: *const i32) -> Self::Ints;
    /// The same four bytes in all lanes.
    unsafe fn word(from: *const u8) -> Self::Ints;
    /// Adds four products to each lane.
    unsafe fn dot(sums: Self::Ints, unsigned: Self::Ints, signed: Self::Ints) -> Self::Ints;
    unsafe fn floats(from: *const f32) -> Self::Floats;
    unsafe fn all(x: f32) -> Self::Floats;
    unsafe fn convert(x: Self::Ints) -> Self::Floats;
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    unsafe fn multiply_add(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    unsafe fn store(x: Self::Floats, to: *mut f32);
}

/// AVX-512 with VNNI.
pub(super) struct Wide;

impl Vector for Wide {
    type Ints = __m512i;
    type Floats = __m512;
    const LANES: usize = 16;

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
    unsafe fn floats(from: *const f32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn all(x: f32) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_set1_ps(x) }
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

    #[inline(always)]
    unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn store(x: __m512, to: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(to, x) };
    }
}

/// AVX2 with AVX-VNNI.
pub(super) struct Narrow;

impl Vector for Narrow {
    type Ints = __m256i;
    type Floats = __m256;
    const LANES: usize = 8;

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
    unsafe fn floats(from: *const f32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn all(x: f32) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_set1_ps(x) }
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

    #[inline(always)]
    unsafe fn multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn store(x: __m256, to: *mut f32) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(to, x) };
    }
}
