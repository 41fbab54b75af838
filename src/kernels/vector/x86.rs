//! Vectors of AVX-512 and AVX2.

use std::arch::asm;
use std::arch::x86_64::*;

use half::f16;

use super::Vector;

macro_rules! vector {
    (
        $(#[$meta:meta])* $name:ident, $floats:ty, $lanes:literal,
        $load:ident, $widen:ident($halves:ident), $store:ident, $all:ident, $add:ident, $multiply_add:path
    ) => {
        $(#[$meta])*
        pub(in crate::kernels) struct $name;

        impl Vector for $name {
            type Floats = $floats;
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn load(from: *const f32) -> $floats {
                // SAFETY: the caller's promise, here and below.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn widen(from: *const f16) -> $floats {
                // SAFETY: as above.
                unsafe { $widen($halves(from.cast())) }
            }

            #[inline(always)]
            unsafe fn store(x: $floats, to: *mut f32) {
                // SAFETY: as above.
                unsafe { $store(to, x) };
            }

            #[inline(always)]
            unsafe fn all(x: f32) -> $floats {
                // SAFETY: as above.
                unsafe { $all(x) }
            }

            #[inline(always)]
            unsafe fn add(a: $floats, b: $floats) -> $floats {
                // SAFETY: as above.
                unsafe { $add(a, b) }
            }

            #[inline(always)]
            unsafe fn multiply_add(a: $floats, b: $floats, c: $floats) -> $floats {
                // SAFETY: as above.
                unsafe { $multiply_add(a, b, c) }
            }

            #[inline(always)]
            fn fetch(at: *const f32) {
                // SAFETY: it reads nothing, and every x86-64 has it.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
            }
        }
    };
}

vector!(
    /// AVX-512.
    Wide, __m512, 16, _mm512_loadu_ps, _mm512_cvtph_ps(_mm256_loadu_si256),
    _mm512_storeu_ps, _mm512_set1_ps, _mm512_add_ps,
    _mm512_fmadd_ps
);
vector!(
    /// AVX2 with FMA.
    Narrow, __m256, 8, _mm256_loadu_ps, _mm256_cvtph_ps(_mm_loadu_si128),
    _mm256_storeu_ps, _mm256_set1_ps, _mm256_add_ps,
    _mm256_fmadd_ps
);
vector!(
    /// AVX-512 with AVX512-BF16: of what is multiplied and added, each number is the bits of two of
    /// bf16, which are multiplied each with its like and added to the same sum.
    WidePairs, __m512, 16, _mm512_loadu_ps, _mm512_cvtph_ps(_mm256_loadu_si256),
    _mm512_storeu_ps, _mm512_set1_ps, _mm512_add_ps,
    pairs_of_16
);
vector!(
    /// As [`WidePairs`], half as wide.
    NarrowPairs, __m256, 8, _mm256_loadu_ps, _mm256_cvtph_ps(_mm_loadu_si128),
    _mm256_storeu_ps, _mm256_set1_ps, _mm256_add_ps,
    pairs_of_8
);

// The intrinsics would have to be called from functions that are compiled for AVX512-BF16, of which
// there would have to be copies of those for AVX-512.
macro_rules! pairs {
    ($name:ident, $floats:ty, $register:ident, $feature:literal) => {
        #[inline]
        #[target_feature(enable = $feature)]
        unsafe fn $name(a: $floats, b: $floats, mut c: $floats) -> $floats {
            // SAFETY: the processor has the instruction (the caller's promise).
            unsafe {
                asm!(
                    "vdpbf16ps {c}, {a}, {b}",
                    a = in($register) a,
                    b = in($register) b,
                    c = inout($register) c,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
            c
        }
    };
}

pairs!(pairs_of_16, __m512, zmm_reg, "avx512f");
pairs!(pairs_of_8, __m256, ymm_reg, "avx512f,avx512vl");
