//! What this processor can do.

use std::sync::OnceLock;

use crate::warning::warn;

/// The environment variable that names the best set of instructions to use: for comparing processors,
/// and engines at equal instructions.
const LIMIT: &str = "SCONCE_CPU";

/// A set of instructions that kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    /// x86-64 with AVX-512 and its products of four bytes (VNNI): servers since 2019 (Intel) and all
    /// since 2022 (AMD).
    Avx512,
    /// [`Self::Avx2`] and products of four bytes (AVX-VNNI): since 2021 (Intel) and 2024 (AMD).
    AvxVnni,
    /// x86-64 with AVX2, FMA and F16C: since 2013 (Intel) and 2015 (AMD).
    Avx2,
    /// Arm with [`Self::NeonDot`] and products of 8-bit matrices: most since 2021.
    NeonI8mm,
    /// Arm with NEON and dot products of 8-bit numbers: most since 2018.
    NeonDot,
    /// Any 64-bit Arm.
    Neon,
    /// What the compiler makes of plain Rust.
    Scalar,
}

impl Tier {
    /// From best to worst, whatever processor they are for.
    const ALL: [Self; 7] = [
        Self::Avx512,
        Self::AvxVnni,
        Self::Avx2,
        Self::NeonI8mm,
        Self::NeonDot,
        Self::Neon,
        Self::Scalar,
    ];

    /// The best this processor has, or the best of those that [`LIMIT`] leaves.
    pub(super) fn best() -> Self {
        static BEST: OnceLock<Tier> = OnceLock::new();
        *BEST.get_or_init(|| {
            let asked = std::env::var_os(LIMIT).filter(|name| !name.is_empty());
            let (tier, warning) = Self::limited(asked.map(|name| name.to_string_lossy().into()));
            if let Some(warning) = warning {
                warn(&warning);
            }
            tier
        })
    }

    /// The first tier of this processor from the named one on, and a warning if that is another.
    fn limited(name: Option<String>) -> (Self, Option<String>) {
        let best = Self::ALL.into_iter().find(|tier| tier.is_available()).unwrap_or(Self::Scalar);
        let Some(name) = name else { return (best, None) };
        let asked = Self::ALL.iter().position(|tier| tier.name() == name.to_lowercase());
        let (tier, problem) = match asked {
            Some(asked) => {
                let left = Self::ALL[asked..].iter().copied();
                let tier = left.clone().find(|tier| tier.is_available()).unwrap_or(Self::Scalar);
                if tier == Self::ALL[asked] {
                    return (tier, None);
                }
                (tier, "which this processor does not have".to_owned())
            }
            None => (best, format!("which is none of {}", Self::ALL.map(Self::name).join(", "))),
        };
        (tier, Some(format!("{LIMIT} is {name:?}, {problem}: {} is used", tier.name())))
    }

    /// What [`LIMIT`] calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::AvxVnni => "avxvnni",
            Self::Avx2 => "avx2",
            Self::NeonI8mm => "i8mm",
            Self::NeonDot => "dotprod",
            Self::Neon => "neon",
            Self::Scalar => "scalar",
        }
    }

    /// All this processor has and [`LIMIT`] leaves, the best first: what is made for kernels, as bytes raised by
    /// 128, is made for these alone.
    #[cfg(test)]
    pub(super) fn available() -> impl Iterator<Item = Self> {
        let left = Self::ALL.into_iter().skip_while(|tier| *tier != Self::best());
        left.filter(|tier| tier.is_available())
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512vnni")
                    && Self::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => {
                std::arch::is_x86_feature_detected!("avxvnni") && Self::Avx2.is_available()
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("fma")
                    && std::arch::is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "aarch64")]
            Self::NeonI8mm => {
                std::arch::is_aarch64_feature_detected!("i8mm") && Self::NeonDot.is_available()
            }
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            Self::Scalar => true,
            _ => false,
        }
    }
}

/// A function in plain Rust, compiled once for each tier, which becomes its first argument: loops
/// over elements need no more to be vectorized. What it calls must be `#[inline(always)]`. `FMA` says
/// whether products are added in one step.
macro_rules! tiered {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(unsafe_code, reason = "instructions that the tier says are there")]
        $vis fn $name(tier: crate::kernels::tier::Tier, $($argument: $type),*) {
            #[inline(always)]
            fn plain<const FMA: bool>($($argument: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn avx512($($argument: $type),*) {
                plain::<true>($($argument),*);
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2($($argument: $type),*) {
                plain::<true>($($argument),*);
            }
            #[cfg(target_arch = "x86_64")]
            use crate::kernels::tier::Tier;
            match tier {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the tier says that the processor has these instructions.
                Tier::Avx512 => unsafe { avx512($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                Tier::AvxVnni | Tier::Avx2 => unsafe { avx2($($argument),*) },
                _ => plain::<{ cfg!(target_arch = "aarch64") }>($($argument),*),
            }
        }
    };
}

pub(super) use tiered;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_a_tier_and_anything_else_is_said() {
        let limited = |name: &str| Tier::limited(Some(name.to_owned()));
        let best = Tier::ALL.into_iter().find(|tier| tier.is_available()).unwrap();
        assert_eq!(Tier::limited(None), (best, None));
        for tier in Tier::available() {
            assert_eq!(limited(tier.name()), (tier, None));
        }
        assert_eq!(limited("Scalar"), (Tier::Scalar, None));
        for absent in Tier::ALL.into_iter().filter(|tier| !tier.is_available()) {
            let (tier, warning) = limited(absent.name());
            let warning = warning.unwrap();
            assert!(tier.is_available());
            assert!(warning.contains(absent.name()) && warning.contains(tier.name()), "{warning}");
        }
        let (tier, warning) = limited("avx3");
        assert_eq!(tier, best);
        assert!(warning.unwrap().contains("\"avx3\", which is none of avx512, avxvnni, avx2"));
    }
}
