//! compressed-tensors (<https://github.com/vllm-project/compressed-tensors>), which llm-compressor writes:
//! integers packed into 32-bit words, and the 8-bit numbers that [`scaled`] reads.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::weights::quantized::grouped::{element, group_of_each};
use crate::weights::quantized::parts::{BLOCK, Parts, matrix, misfit, raw, refused};
use crate::weights::quantized::scaled;
use crate::weights::store::StoredTensor;

/// The fields of `quantization_config` that cannot be inferred from the tensors.
#[derive(Deserialize)]
struct Config {
    format: Option<String>,
    #[serde(default)]
    config_groups: BTreeMap<String, Group>,
    sparsity_config: Option<Sparsity>,
    transform_config: Option<Map<String, Value>>,
}

/// Layers that were quantized in one way.
#[derive(Deserialize)]
struct Group {
    format: Option<String>,
    weights: Option<Weights>,
}

/// How weights are quantized; the shapes of a layer's tensors decide which entry it belongs to.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::weights) struct Weights {
    #[serde(default = "eight")]
    num_bits: u32,
    /// Columns that share a scale; -1 or none: all.
    group_size: Option<i64>,
    block_structure: Option<[usize; 2]>,
}

fn eight() -> u32 {
    8
}

#[derive(Deserialize)]
struct Sparsity {
    format: Option<String>,
}

/// The kinds of weights that the config in that file describes.
pub(super) fn read(path: &Path, config: Value) -> Result<Vec<Weights>> {
    let config: Config =
        serde_json::from_value(config).map_err(|error| Error::malformed(path, error))?;
    // Each group has a format of its own, then.
    let mixed = config.format.as_deref() == Some("mixed-precision");
    let all = (!mixed).then(|| ("format".to_owned(), &config.format));
    let each = config.config_groups.iter().filter(|(_, group)| mixed || group.format.is_some());
    let each = each.map(|(name, group)| (format!("config_groups.{name}.format"), &group.format));
    for (field, format) in all.into_iter().chain(each) {
        let format = format.as_deref().unwrap_or("missing");
        if !FORMATS.contains(&format) {
            return Err(refused(path, &field, format, &FORMATS.join(", ")));
        }
    }
    for (name, group) in &config.config_groups {
        if let Some(Weights { num_bits, .. }) = group.weights
            && !(1..=8).contains(&num_bits)
        {
            let field = format!("config_groups.{name}.weights.num_bits");
            return Err(refused(path, &field, &num_bits.to_string(), "1 to 8"));
        }
    }
    let sparse = config.sparsity_config.and_then(|sparsity| sparsity.format);
    if let Some(format) = sparse.filter(|format| format != "dense") {
        return Err(refused(path, "sparsity_config.format", &format, "dense"));
    }
    // Rotations, which activations would have to take part in.
    if let Some(transforms) = config.transform_config.filter(|map| !map.is_empty()) {
        let value = Value::Object(transforms).to_string();
        return Err(refused(path, "transform_config", &value, "models without"));
    }
    Ok(config.config_groups.into_values().filter_map(|group| group.weights).collect())
}

const FORMATS: [&str; 4] =
    ["pack-quantized", "float-quantized", "int-quantized", "naive-quantized"];

pub(super) fn assemble<'a>(
    parts: &Parts<'a, '_>,
    weights: &[Weights],
) -> Result<Option<StoredTensor<'a>>> {
    if parts.find("weight_packed").is_some() {
        return packed(parts, weights).map(Some);
    }
    let block = |weights: &Weights| match (weights.block_structure, weights.group_size) {
        (None, Some(size)) => Some([1, usize::try_from(size).ok()?]),
        (block, _) => block,
    };
    let blocks: Vec<_> = weights.iter().filter_map(block).chain([BLOCK]).collect();
    scaled::assemble(parts, &blocks)
}

/// `weight_packed: (rows, words)`, a stream of bits along each row, its integers made unsigned by half
/// their range; `weight_shape`, rows and columns; `weight_scale: (rows, groups)` or one for all;
/// `weight_zero_point: (words, groups)`, a stream down each column, or `(rows, groups)` in i8, as the
/// first versions wrote it; `weight_g_idx: (columns)`, each column's group, which versions before 0.20
/// knew. `PackedQuantizationCompressor.decompress`, in float32.
fn packed<'a>(parts: &Parts<'a, '_>, weights: &[Weights]) -> Result<StoredTensor<'a>> {
    let weight = parts.require("weight_packed")?;
    let (words, [rows, per_row]) = parts.words("weight_packed")?;
    let (shape, _) = parts.integers("weight_shape")?;
    let columns = match *shape.as_slice() {
        [height, columns] if usize::try_from(height) == Ok(rows) => usize::try_from(columns).ok(),
        _ => None,
    };
    // A word holds 32 at most.
    let Some(columns) = columns.filter(|columns| columns.div_ceil(32) <= per_row) else {
        return Err(misfit(&weight, &format!("does not hold weights of shape {shape:?}")));
    };
    let (scales, scales_shape) = parts.floats("weight_scale")?;
    let groups = match *scales_shape.as_slice() {
        [] | [1] => 1,
        [height] if height == rows => 1,
        [height, groups] if height == rows => groups,
        _ => 0,
    };
    let size = |weights: &Weights| match weights.group_size.map(usize::try_from) {
        Some(Ok(size)) => size.max(1),
        _ => columns.max(1),
    };
    let fits = |weights: &&Weights| {
        (columns * weights.num_bits as usize).div_ceil(32) == per_row
            && columns.div_ceil(size(weights)) == groups
    };
    let Some(found) = weights.iter().find(fits) else {
        let what = format!(
            "and weight_scale {scales_shape:?} fit {rows} x {columns} weights in none of config.json's config_groups"
        );
        return Err(misfit(&weight, &what));
    };
    let (bits, size) = (found.num_bits, size(found));
    let in_turn = || (0..columns).map(|column| column / size).collect();
    let group_of = match parts.find("weight_g_idx") {
        // Made and not used: all are -1.
        Some(_) if parts.integers("weight_g_idx")?.0.contains(&-1) => in_turn(),
        Some(_) => group_of_each(parts, "weight_g_idx", columns, groups)?,
        None => in_turn(),
    };
    let zeros = zeros(parts, bits, rows, groups)?;
    Ok(matrix(&weight, [rows, columns], |row, out| {
        let words = &words[row * per_row..][..per_row];
        let word = |number: usize| words.get(number).copied().unwrap_or(0);
        let scales = if scales.len() == 1 { &scales } else { &scales[row * groups..] };
        let zeros = &zeros[row * groups..];
        for (column, (value, &group)) in out.iter_mut().zip(&group_of).enumerate() {
            *value = scales[group] * (element(word, column, bits) as f32 - zeros[group]);
        }
    }))
}

/// What stands for zero in each row and group.
fn zeros(parts: &Parts<'_, '_>, bits: u32, rows: usize, groups: usize) -> Result<Vec<f32>> {
    let half = f32::from(1_u8 << (bits - 1));
    let Some(tensor) = parts.find("weight_zero_point") else {
        return Ok(vec![half; rows * groups]);
    };
    if tensor.shape == [rows, groups] && raw(&tensor, "I8", 1).is_some() {
        let (signed, _) = parts.integers("weight_zero_point")?;
        return Ok(signed.iter().map(|zero| *zero as f32 + half).collect());
    }
    let (words, shape) = parts.words("weight_zero_point")?;
    if shape != [(rows * bits as usize).div_ceil(32), groups] {
        return Err(misfit(&tensor, &format!("does not fit {rows} rows of {groups} groups")));
    }
    let zero = |at: usize| {
        let word = |number: usize| words.get(number * groups + at % groups).copied().unwrap_or(0);
        element(word, at / groups, bits) as f32
    };
    Ok((0..rows * groups).map(zero).collect())
}
