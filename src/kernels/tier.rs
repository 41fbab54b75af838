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
