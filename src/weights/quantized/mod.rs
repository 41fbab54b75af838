//! Checkpoints that Python quantized: one weight is several tensors, which are combined while
//! loading.
//!
//! | `quant_method` | what a weight is stored as |
//! |---|---|
//! | `bitsandbytes` | 8 bits and a scale per row; or 4 bits (nf4, fp4), scales of blocks, which may be quantized again |
//! | `gptq` | 2, 3, 4 or 8 bits, scale and zero point of groups, which `g_idx` may shuffle |
//! | `awq` | 4 bits, scale and zero point of groups |
//! | `compressed-tensors` | 1 to 8 bits, scale and perhaps zero point of rows or groups, which `weight_g_idx` may shuffle; or as the next |
//! | `fp8`, `fbgemm_fp8` | 8-bit floats or integers, scales of the tensor, of rows or of blocks |
//!
//! Each becomes the numbers that the Python library computes in float32, which are then treated
//! like those of any checkpoint.

mod bitsandbytes;
mod compressed;
mod grouped;
mod parts;
mod scaled;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::source::{ModelFiles, json};
use crate::weights::store::{Store, StoredTensor};
use parts::{BLOCK, Parts, refused};

/// What `quantization_config` in config.json says, as far as the tensors themselves do not.
#[derive(Debug, Clone)]
pub(super) enum Scheme {
    Awq,
    BitsAndBytes,
    Compressed(Vec<compressed::Weights>),
    Gptq {
        bits: u32,
        /// Added to stored zero points: 1, but 0 in the format `gptq_v2`.
        zero_offset: u32,
    },
    /// None, too: 8-bit floats with scales need no config.
    Scaled {
        /// Rows and columns that share a scale, where scales are neither one nor one per row.
        block: [usize; 2],
    },
}

#[derive(Deserialize)]
struct Config {
    quantization_config: Option<Value>,
    /// What MLX writes, beside the same under the name that transformers has for it.
    quantization: Option<Value>,
}

#[derive(Deserialize)]
struct Fields {
    quant_method: Option<String>,
    #[serde(alias = "w_bit")]
    bits: Option<u32>,
    checkpoint_format: Option<String>,
    version: Option<String>,
    weight_block_size: Option<[usize; 2]>,
}

impl Scheme {
    /// Reads config.json, where there is one.
    pub(super) fn read(files: &ModelFiles) -> Result<Self> {
        let Some(path) = files.optional("config.json")? else {
            return Ok(Self::Scaled { block: BLOCK });
        };
        let config: Config = json::read(&path)?;
        if config.quantization.is_some_and(|fields| fields.get("group_size").is_some()) {
            return Err(Error::unsupported(format!(
                "{}: `quantization` says that the weights are MLX's, which are not read: take the model that they \
                 were made from, and quantize it while loading",
                path.display()
            )));
        }
        let Some(value) = config.quantization_config else {
            return Ok(Self::Scaled { block: BLOCK });
        };
        let fields: Fields = serde_json::from_value(value.clone())
            .map_err(|error| Error::malformed(&path, error))?;
        let refuse =
            |field: &str, value: &str, known: &str| Err(refused(&path, field, value, known));
        let bits = fields.bits.unwrap_or(4);
        match fields.quant_method.as_deref() {
            Some("bitsandbytes") => Ok(Self::BitsAndBytes),
            Some("gptq") => match (bits, fields.checkpoint_format.as_deref()) {
                (2 | 3 | 4 | 8, None | Some("gptq")) => Ok(Self::Gptq { bits, zero_offset: 1 }),
                (2 | 3 | 4 | 8, Some("gptq_v2")) => Ok(Self::Gptq { bits, zero_offset: 0 }),
                (2 | 3 | 4 | 8, Some(other)) => {
                    refuse("checkpoint_format", other, "gptq and gptq_v2")
                }
                _ => refuse("bits", &bits.to_string(), "2, 3, 4 and 8"),
            },
            Some("awq") => match (bits, fields.version.as_deref()) {
                (4, None) => Ok(Self::Awq),
                (4, Some(version)) if version.eq_ignore_ascii_case("gemm") => Ok(Self::Awq),
                (4, Some(version)) => refuse("version", version, "gemm"),
                _ => refuse("bits", &bits.to_string(), "4"),
            },
            Some("compressed-tensors") => compressed::read(&path, value).map(Self::Compressed),
            // What `save` writes: the tensors themselves tell.
            Some("sconce") => Ok(Self::Scaled { block: BLOCK }),
            Some("fp8" | "fbgemm_fp8") => {
                Ok(Self::Scaled { block: fields.weight_block_size.unwrap_or(BLOCK) })
            }
            method => refuse(
                "quant_method",
                method.unwrap_or("missing"),
                "bitsandbytes, gptq, awq, fp8, fbgemm_fp8 and compressed-tensors",
            ),
        }
    }

    /// Whether a weight of that name is there, in several tensors.
    pub(super) fn contains(&self, store: &Store, name: &str) -> bool {
        let packed = match self {
            Self::Awq | Self::Gptq { .. } => "qweight",
            Self::Compressed(_) => "weight_packed",
            Self::BitsAndBytes | Self::Scaled { .. } => return false,
        };
        name.strip_suffix("weight")
            .is_some_and(|module| store.contains(&format!("{module}{packed}")))
    }

    /// The weight of that name; `None` where it is not there or is one tensor, as it is.
    pub(super) fn assemble<'a>(
        &self,
        store: &'a Store,
        name: &str,
    ) -> Result<Option<StoredTensor<'a>>> {
        let Some(module) = name.strip_suffix("weight") else { return Ok(None) };
        let parts = Parts { store, module };
        match self {
            Self::Awq => grouped::awq(&parts),
            Self::BitsAndBytes => bitsandbytes::assemble(&parts),
            Self::Compressed(weights) => compressed::assemble(&parts, weights),
            Self::Gptq { bits, zero_offset } => grouped::gptq(&parts, *bits, *zero_offset),
            Self::Scaled { block } => scaled::assemble(&parts, &[*block]),
        }
    }
}
