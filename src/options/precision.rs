//! In what precision weights and caches are held, by the names that programs give them.

use std::fmt;
use std::str::FromStr;

use candle_core::quantized::GgmlDType;

use crate::error::{Error, none_of};

/// A value that JSON holds as a text: what its `Display` writes, and all that its `FromStr` accepts.
macro_rules! as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use as_text;

/// A value that has a name, in texts and JSON.
macro_rules! named {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        as_text!($type);
    };
}

named!(CachePrecision);
named!(Precision);
named!(QuantLevel);

/// The precision of cached keys and values on the CPU. Arithmetic is in f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CachePrecision {
    /// Half the memory of f32 and, in long contexts, half the time. Rounds to 11 bits; larger
    /// numbers become 65,504.
    F16,
    /// Exact.
    F32,
    /// About a quarter of the memory of f32: 8 bits per channel and a scale for 32 channels. Rounds
    /// to 1/254 of the largest of the 32.
    Q8,
}

impl CachePrecision {
    /// `f16`, `f32` or `q8`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::Q8 => "q8",
        }
    }
}

impl FromStr for CachePrecision {
    type Err = Error;

    /// Accepts what [`Precision`] does for these, and `q8`, `q8_0`, `int8`, `8bit`; in any case.
    fn from_str(name: &str) -> Result<Self, Error> {
        match name.to_ascii_lowercase().as_str() {
            "q8" | "q8_0" | "int8" | "8bit" => return Ok(Self::Q8),
            _ => {}
        }
        match dtype(name) {
            Some(Precision::F16) => Ok(Self::F16),
            Some(Precision::F32) => Ok(Self::F32),
            _ => Err(Error::option("cache", none_of(name, &["f32", "f16", "q8"]))),
        }
    }
}

/// The dtype of dense weights, by its Hugging Face name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// Whatever the checkpoint holds: `auto` in transformers.
    AsStored,
    /// `bfloat16`: f32's range, 8 bits of precision. If asked for by name, matrices on the CPU are
    /// also multiplied in bf16 where the processor is faster that way (AMD since Zen 4):
    /// activations are then rounded, as in PyTorch.
    BF16,
    /// `float16`: 11 bits of precision, largest value 65,504.
    F16,
    /// `float32`.
    F32,
}

impl Precision {
    /// `auto`, `bf16`, `f16` or `f32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AsStored => "auto",
            Self::BF16 => "bf16",
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    /// Accepts what Hugging Face, torch and GGUF files call them, in any case: `auto`; `f32`,
    /// `fp32`, `float32`, `float`; `f16`, `fp16`, `float16`, `half`; `bf16`, `bfloat16`; each also
    /// with `torch.` before it.
    fn from_str(name: &str) -> Result<Self, Error> {
        dtype(name).ok_or_else(|| {
            Error::option(
                "dtype",
                match level(name) {
                    Some(level) => format!("{name:?} is a level, not a dtype: `quantize` {level}"),
                    None => none_of(name, &["auto", "f32", "f16", "bf16"]),
                },
            )
        })
    }
}

fn dtype(name: &str) -> Option<Precision> {
    let name = name.to_ascii_lowercase();
    Some(match name.strip_prefix("torch.").unwrap_or(&name) {
        "auto" => Precision::AsStored,
        "bf16" | "bfloat16" => Precision::BF16,
        "f16" | "fp16" | "float16" | "half" => Precision::F16,
        "f32" | "fp32" | "float32" | "float" => Precision::F32,
        _ => return None,
    })
}

/// The block formats worth choosing, from most to least faithful.
///
/// The names and layouts are ggml's. Bits per weight count the block's scales:
///
/// | level | bits per weight | weights per block |
/// |---|---|---|
/// | `Q8_0` | 8.5 | 32 |
/// | `Q6K` | 6.56 | 256 |
/// | `Q5_1`, `Q5K`, `Q5_0` | 6.0, 5.5, 5.5 | 32, 256, 32 |
/// | `Q4_1`, `Q4K`, `Q4_0` | 5.0, 4.5, 4.5 | 32, 256, 32 |
/// | `Q3K` | 3.44 | 256 |
/// | `Q2K` | 2.63 | 256 |
///
/// Python's `int8` and `int4` are names for `Q8_0` and `Q4K`, see its `FromStr`. Blocks are made
/// byte for byte as llama.cpp's `llama-quantize` makes them without an importance matrix, except
/// for `Q2K`, `Q4K` and `Q5K`, whose error is smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the table above")]
pub enum QuantLevel {
    Q8_0,
    Q6K,
    Q5_1,
    Q5K,
    Q5_0,
    Q4_1,
    Q4K,
    Q4_0,
    Q3K,
    Q2K,
}

impl QuantLevel {
    /// Every level, from most to least faithful.
    pub const ALL: &'static [Self] = &[
        Self::Q8_0,
        Self::Q6K,
        Self::Q5_1,
        Self::Q5K,
        Self::Q5_0,
        Self::Q4_1,
        Self::Q4K,
        Self::Q4_0,
        Self::Q3K,
        Self::Q2K,
    ];

    /// The level's name in the style of GGUF files, in lower case: `q8_0`, `q4_k`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Q8_0 => "q8_0",
            Self::Q6K => "q6_k",
            Self::Q5_1 => "q5_1",
            Self::Q5K => "q5_k",
            Self::Q5_0 => "q5_0",
            Self::Q4_1 => "q4_1",
            Self::Q4K => "q4_k",
            Self::Q4_0 => "q4_0",
            Self::Q3K => "q3_k",
            Self::Q2K => "q2_k",
        }
    }

    /// The ggml block type of this level.
    pub(crate) const fn ggml(self) -> GgmlDType {
        match self {
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q6K => GgmlDType::Q6K,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q5K => GgmlDType::Q5K,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q3K => GgmlDType::Q3K,
            Self::Q2K => GgmlDType::Q2K,
        }
    }
}

impl FromStr for QuantLevel {
    type Err = Error;

    /// Accepts a level's [`name`](Self::name) in any case, with or without underscores: `q4_k`,
    /// `Q4K`, `q8_0`, `q80`; llama.cpp's mixtures `q4_k_m`, `q3_k_s` and so on for the format of
    /// most of their weights, which is used for all weights here; and the names of Python's
    /// schemes, for the level that does the same job: `int8` and `8bit` are `Q8_0` (8 bits and a
    /// scale for 32 weights, where bitsandbytes has one for a row), `int4`, `4bit`, `nf4` and `fp4`
    /// are `Q4K` (4 bits, and a scale and a minimum for 32 weights, where `nf4` has a scale for
    /// 64).
    fn from_str(name: &str) -> Result<Self, Error> {
        level(name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|level| level.name()).collect();
            Error::option(
                "quantize",
                match dtype(name) {
                    Some(_) => {
                        format!("{name:?} is a dtype, not a level: set `dtype` to it instead")
                    }
                    None => none_of(name, &known),
                },
            )
        })
    }
}

fn level(name: &str) -> Option<QuantLevel> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('_', "");
    let name = plain(name);
    match name.as_str() {
        "int8" | "8bit" => return Some(QuantLevel::Q8_0),
        "int4" | "4bit" | "nf4" | "fp4" => return Some(QuantLevel::Q4K),
        _ => {}
    }
    let mixture = name.trim_end_matches(['x', 's', 'm', 'l']);
    let name = if mixture.ends_with('k') { mixture } else { &name };
    QuantLevel::ALL.iter().copied().find(|level| plain(level.name()) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_several_names() {
        let level = |name: &str| name.parse::<QuantLevel>().unwrap();
        for &each in QuantLevel::ALL {
            assert_eq!(level(each.name()), each);
            assert_eq!(level(&each.name().to_ascii_uppercase().replace('_', "")), each);
        }
        assert_eq!((level("int8"), level("8bit")), (QuantLevel::Q8_0, QuantLevel::Q8_0));
        assert_eq!((level("int4"), level("NF4")), (QuantLevel::Q4K, QuantLevel::Q4K));
        // What `llama-quantize` and those who publish its files call them.
        for (name, expected) in [
            ("q4_k_m", QuantLevel::Q4K),
            ("Q5_K_S", QuantLevel::Q5K),
            ("Q3_K_XL", QuantLevel::Q3K),
            ("Q6_K_L", QuantLevel::Q6K),
            ("Q2_K_S", QuantLevel::Q2K),
            ("fp4", QuantLevel::Q4K),
        ] {
            assert_eq!(level(name), expected, "{name}");
        }
        for name in ["int3", "q4_0_m", "q4", "", "s", "iq4_xs", "k"] {
            assert!(name.parse::<QuantLevel>().unwrap_err().is_caller_error(), "{name}");
        }
        let error = |name: &str| name.parse::<QuantLevel>().unwrap_err().to_string();
        assert!(error("q9_0").contains("did you mean"), "{}", error("q9_0"));
        assert!(error("fp16").contains("set `dtype`"), "{}", error("fp16"));
    }

    #[test]
    fn dtypes_have_several_names() {
        let dtype = |name: &str| name.parse::<Precision>().unwrap();
        for name in ["f16", "fp16", "FP16", "half", "float16", "torch.float16", "torch.half"] {
            assert_eq!(dtype(name), Precision::F16, "{name}");
            assert_eq!(name.parse::<CachePrecision>().unwrap(), CachePrecision::F16, "{name}");
        }
        for name in ["f32", "fp32", "float32", "float", "torch.float32"] {
            assert_eq!(dtype(name), Precision::F32, "{name}");
        }
        for name in ["bf16", "bfloat16", "BF16", "torch.bfloat16"] {
            assert_eq!(dtype(name), Precision::BF16, "{name}");
            assert!(name.parse::<CachePrecision>().is_err());
        }
        assert_eq!("int8".parse::<CachePrecision>().unwrap(), CachePrecision::Q8);
        let error = |name: &str| name.parse::<Precision>().unwrap_err().to_string();
        assert!(error("q4_k_m").contains("`quantize` q4_k"), "{}", error("q4_k_m"));
        assert!(error("flaot16").contains("is none of"), "{}", error("flaot16"));
    }
}
