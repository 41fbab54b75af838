//! Tensors on their way into a GGUF file.

use std::fmt;
use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use crate::error::{Error, Result};
use crate::source::ggml::GgmlType;
use crate::weights::convert;
use crate::weights::elements::{Elements, kind_of_blocks};
use crate::weights::names::HeadCounts;
use crate::weights::store::StoredTensor;
use crate::weights::view::{Found, Weights};

/// A tensor of a file that is to be written.
pub(crate) struct Outgoing<'a> {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: GgmlType,
    /// Made when its turn comes.
    pub(crate) bytes: Box<dyn Fn() -> Result<Vec<u8>> + 'a>,
}

impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.name, self.shape, self.kind.name)
    }
}

/// One of our tensors, which is all or a part of one that is to be written.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Our name for it, such as `layers.3.attn.q.weight`.
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) precision: &'static str,
    /// Those of its layer's attention.
    pub(crate) heads: Option<HeadCounts>,
    pub(crate) order: Order,
}

/// How the rows of a tensor follow one another in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As in the model.
    Same,
    /// Those of each of so many heads so that channels that are rotated together are neighbours.
    AdjacentPairs { heads: usize },
}

impl Weights {
    /// The bytes of a part of the model that these weights are of.
    pub(crate) fn bytes_of(&self, part: &Part) -> Result<Vec<u8>> {
        let scope = Self { heads: part.heads, ..self.clone() };
        let Found { tensor, plus, .. } = scope.stored(&part.name, &part.shape)?;
        let tensor = match part.order {
            Order::Same => tensor,
            Order::AdjacentPairs { heads } => {
                let whole = StoredTensor { pieces: vec![tensor.pieces.concat().into()], ..tensor };
                let rows = part.shape.first().copied().unwrap_or(0);
                let turned = whole.rows(&adjacent_pairs(rows, heads))?;
                StoredTensor { pieces: vec![turned.pieces.concat().into()], ..turned }
            }
        };
        let bytes = in_precision(&tensor, plus, part.precision);
        tensor.release();
        bytes
    }
}

/// The rows of a matrix whose heads' rows `i` and `i + head_dim / 2` are to become neighbours.
fn adjacent_pairs(rows: usize, heads: usize) -> Vec<Range<usize>> {
    let head = (rows / heads.max(1)).max(1);
    let row = |row: usize| {
        let (head_start, at) = (row / head * head, row % head);
        let from = head_start + at / 2 + at % 2 * (head / 2);
        from..from + 1
    };
    (0..rows).map(row).collect()
}

/// The tensor's elements, each plus `plus`, as they lie in a file.
pub(super) fn in_precision(
    stored: &StoredTensor<'_>,
    plus: f32,
    precision: &'static str,
) -> Result<Vec<u8>> {
    let is_there = match &stored.elements {
        Elements::Dequantized => precision == "f32",
        elements => elements.name() == precision,
    };
    if is_there && plus == 0.0 {
        return Ok(stored.pieces.concat());
    }
    if let Some(kind) = kind_of_blocks(precision) {
        return convert::quantized(stored, kind);
    }
    let dense = |dtype| -> Result<Tensor> {
        Ok(convert::dense(stored, dtype, plus, &Device::Cpu)?.flatten_all()?)
    };
    match precision {
        "f32" => Ok(dense(DType::F32)?
            .to_vec1::<f32>()?
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect()),
        "bf16" => {
            let values = dense(DType::BF16)?.to_vec1::<bf16>()?;
            Ok(values.into_iter().flat_map(bf16::to_le_bytes).collect())
        }
        "f16" => {
            let values = dense(DType::F16)?.to_vec1::<f16>()?;
            Ok(values.into_iter().flat_map(f16::to_le_bytes).collect())
        }
        _ => Err(Error::unsupported(format!("weights in {precision:?} cannot be saved"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_neighbours() {
        let rows: Vec<_> = adjacent_pairs(8, 2).into_iter().map(|range| range.start).collect();
        assert_eq!(rows, [0, 2, 1, 3, 4, 6, 5, 7]);
    }
}
