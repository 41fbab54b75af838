//! What this processor can do.

use std::sync::OnceLock;

/// A set of instructions that kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    /// x86-64 with AVX2, FMA and F16C: since 2013 (Intel) and 2015 (AMD).
    Avx2,
    /// What the compiler makes of plain Rust.
    Scalar,
}

impl Tier {
    /// The best this processor has.
    pub(super) fn best() -> Self {
        static BEST: OnceLock<Tier> = OnceLock::new();
        *BEST.get_or_init(|| {
            #[cfg(target_arch = "x86_64")]
            if std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
                && std::arch::is_x86_feature_detected!("f16c")
            {
                return Self::Avx2;
            }
            Self::Scalar
        })
    }
}

/// A function in plain Rust, compiled once for each tier, which becomes its first argument: loops
/// over elements need no more to be vectorized. What it calls must be `#[inline(always)]`.
macro_rules! tiered {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[expect(unsafe_code, reason = "instructions that the tier says are there")]
        $vis fn $name(tier: crate::kernels::tier::Tier, $($argument: $type),*) {
            #[inline(always)]
            fn plain($($argument: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($argument: $type),*) {
                plain($($argument),*);
            }
            match tier {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the tier says that the processor has these instructions.
                crate::kernels::tier::Tier::Avx2 => unsafe { avx2($($argument),*) },
                _ => plain($($argument),*),
            }
        }
    };
}

pub(super) use tiered;
