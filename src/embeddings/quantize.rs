//! Embeddings in fewer bits, as `quantize_embeddings` of sentence-transformers makes them.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::fields::choices;

choices! {
    /// The element type of embeddings, by the names of sentence-transformers.
    EmbeddingPrecision, "precision" {
        /// Signs, eight to a byte, minus 128.
        Binary = "binary",
        /// As they are.
        Float32 = "float32",
        /// 256 steps between the least and greatest value of each dimension, minus 128.
        Int8 = "int8",
        /// Signs, eight to a byte, the first in the highest bit.
        Ubinary = "ubinary",
        /// 256 steps between the least and greatest value of each dimension.
        Uint8 = "uint8",
    }
}

/// Embeddings in the precision that was asked for. As JSON lists of numbers, as Python's; these do not say which
/// precision they have, so nothing is read from them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum QuantizedEmbeddings {
    /// `float32`.
    Float(Vec<Vec<f32>>),
    /// `int8`, `binary`.
    Signed(Vec<Vec<i8>>),
    /// `uint8`, `ubinary`.
    Unsigned(Vec<Vec<u8>>),
}

/// The least and greatest value of each dimension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranges {
    /// The least.
    pub least: Vec<f32>,
    /// The greatest.
    pub greatest: Vec<f32>,
}

impl Ranges {
    /// Of embeddings to calibrate by; more than a hundred give stable steps.
    ///
    /// # Errors
    ///
    /// When there are none, or they differ in length.
    pub fn of(embeddings: &[Vec<f32>]) -> Result<Self> {
        let Some(first) = embeddings.first() else {
            return Err(Error::input("no embeddings to calibrate by"));
        };
        let (mut least, mut greatest) = (first.clone(), first.clone());
        for embedding in embeddings {
            same_length(embedding, least.len())?;
            least.iter_mut().zip(embedding).for_each(|(least, x)| *least = least.min(*x));
            greatest.iter_mut().zip(embedding).for_each(|(most, x)| *most = most.max(*x));
        }
        Ok(Self { least, greatest })
    }
}

impl EmbeddingPrecision {
    /// `ranges` are used by `int8` and `uint8`; `None`: the embeddings' own.
    ///
    /// # Errors
    ///
    /// When embeddings and ranges differ in length.
    pub fn quantize(
        self,
        embeddings: &[Vec<f32>],
        ranges: Option<&Ranges>,
    ) -> Result<QuantizedEmbeddings> {
        let steps = || -> Result<Vec<Vec<f32>>> {
            let own = if ranges.is_none() && !embeddings.is_empty() {
                Some(Ranges::of(embeddings)?)
            } else {
                None
            };
            let Some(ranges) = ranges.or(own.as_ref()) else { return Ok(Vec::new()) };
            embeddings.iter().map(|embedding| in_steps(embedding, ranges)).collect()
        };
        Ok(match self {
            Self::Float32 => QuantizedEmbeddings::Float(embeddings.to_vec()),
            Self::Uint8 => QuantizedEmbeddings::Unsigned(mapped(&steps()?, |step| *step as u8)),
            Self::Int8 => {
                QuantizedEmbeddings::Signed(mapped(&steps()?, |step| (*step - 128.0) as i8))
            }
            Self::Ubinary => QuantizedEmbeddings::Unsigned(signs(embeddings)),
            Self::Binary => QuantizedEmbeddings::Signed(mapped(&signs(embeddings), |byte| {
                byte.wrapping_sub(128) as i8
            })),
        })
    }
}

fn in_steps(embedding: &[f32], ranges: &Ranges) -> Result<Vec<f32>> {
    same_length(embedding, ranges.least.len())?;
    same_length(embedding, ranges.greatest.len())?;
    let ends = ranges.least.iter().zip(&ranges.greatest);
    let in_steps = |(x, (least, greatest)): (&f32, (&f32, &f32))| {
        let step = (greatest - least) / 255.0;
        let step = if step == 0.0 { 1.0 } else { step };
        ((x - least) / step).floor().clamp(0.0, 255.0)
    };
    Ok(embedding.iter().zip(ends).map(in_steps).collect())
}

fn signs(embeddings: &[Vec<f32>]) -> Vec<Vec<u8>> {
    let byte = |chunk: &[f32]| {
        chunk.iter().enumerate().fold(0, |byte, (at, x)| byte | (u8::from(*x > 0.0) << (7 - at)))
    };
    embeddings.iter().map(|embedding| embedding.chunks(8).map(byte).collect()).collect()
}

fn mapped<A, B>(rows: &[Vec<A>], map: impl Fn(&A) -> B) -> Vec<Vec<B>> {
    rows.iter().map(|row| row.iter().map(&map).collect()).collect()
}

fn same_length(embedding: &[f32], expected: usize) -> Result<()> {
    if embedding.len() == expected {
        return Ok(());
    }
    let found = embedding.len();
    Err(Error::input(format!("an embedding of {found} numbers beside others of {expected}")))
}
