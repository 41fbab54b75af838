//! A model's tensors under the names of GGUF files.

use crate::error::{Error, Result};
use crate::models::decoder::{DecoderConfig, Family};
use crate::models::save::metadata::Factors;
use crate::source::ggml::GgmlType;
use crate::weights::names::{HeadCounts, How, NameTable, Resolved, Rule};
use crate::weights::{Inventory, Item, Order, Outgoing, Part, Role, Weights};

/// All that the inventory lists, fused and stacked as the architecture has it.
pub(super) fn of<'a>(
    weights: &'a Weights,
    inventory: &Inventory,
    config: &DecoderConfig,
    family: &Family,
) -> Result<Vec<Outgoing<'a>>> {
    let table = family.gguf.name_table();
    // The only change of pairing that there is: halves to neighbours.
    let reordered = family.hf.pairing != family.gguf.pairing;
    let names = |name: &str| table.resolve(name, |name| (family.gguf.holds)(config, name));
    named(weights, inventory, names, |item, name| part(item, name, config, reordered))
}

/// All that the inventory lists, by a table that renames and does no more.
pub(super) fn renamed<'a>(
    weights: &'a Weights,
    inventory: &Inventory,
    names: &'static [Rule],
) -> Result<Vec<Outgoing<'a>>> {
    let table = NameTable { base: names, own: &[] };
    let part = |item: &Item, name: String| Part {
        name,
        shape: item.shape.clone(),
        precision: precision(item),
        heads: None,
        order: Order::Same,
    };
    named(weights, inventory, |name| table.resolve(name, |_| false), part)
}

fn named<'a>(
    weights: &'a Weights,
    inventory: &Inventory,
    names: impl Fn(&str) -> Resolved,
    part: impl Fn(&Item, String) -> Part,
) -> Result<Vec<Outgoing<'a>>> {
    let mut groups: Vec<(String, Vec<(How, Part)>)> = Vec::new();
    for item in inventory.items() {
        let name = match item.role {
            Role::Tensor => item.name.clone(),
            Role::Embedding | Role::Linear => format!("{}.weight", item.name),
        };
        let Resolved { name: theirs, how, .. } = names(&name);
        if theirs == name {
            return Err(Error::unsupported(format!("GGUF files have no name for {name:?}")));
        }
        let part = (how, part(item, name));
        match groups.iter_mut().find(|(name, _)| *name == theirs) {
            Some((_, parts)) => parts.push(part),
            None => groups.push((theirs, vec![part])),
        }
    }
    groups.into_iter().map(|(name, parts)| group(weights, name, parts)).collect()
}

/// Tensors of numbers.
pub(super) fn factors(factors: Factors) -> Result<Vec<Outgoing<'static>>> {
    let tensor = |(name, values): (&str, Vec<f32>)| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Ok(Outgoing {
            name: name.to_owned(),
            shape: vec![values.len()],
            kind: kind("f32")?,
            bytes: Box::new(move || Ok(bytes.clone())),
        })
    };
    factors.into_iter().map(tensor).collect()
}

fn part(item: &Item, name: String, config: &DecoderConfig, reordered: bool) -> Part {
    let mut segments = name.split('.');
    let layer = match (segments.next(), segments.next().map(str::parse::<usize>)) {
        (Some("layers"), Some(Ok(number))) => config.layers.get(number),
        _ => None,
    };
    let heads = layer.map(|layer| HeadCounts {
        heads: layer.attention.heads,
        kv_heads: layer.attention.kv_heads,
        head_dim: layer.attention.head_dim,
    });
    let order = match (reordered, heads, segments.next(), segments.next()) {
        (true, Some(HeadCounts { heads, .. }), Some("attn"), Some("q")) => {
            Order::AdjacentPairs { heads }
        }
        (true, Some(HeadCounts { kv_heads, .. }), Some("attn"), Some("k")) => {
            Order::AdjacentPairs { heads: kv_heads }
        }
        _ => Order::Same,
    };
    Part { name, shape: item.shape.clone(), precision: precision(item), heads, order }
}

/// ggml adds and multiplies by f32 only.
fn precision(item: &Item) -> &'static str {
    if item.role == Role::Tensor { "f32" } else { item.precision }
}

/// One tensor of one or more of ours.
fn group<'a>(
    weights: &'a Weights,
    name: String,
    mut parts: Vec<(How, Part)>,
) -> Result<Outgoing<'a>> {
    parts.sort_by_key(|(how, _)| match how {
        How::Rows(part, _) => *part as usize,
        How::Expert(number) => *number,
        How::PlusOne | How::Whole => 0,
    });
    let (first_how, first) = &parts[0];
    let precision = first.precision;
    let mut shape = first.shape.clone();
    if let Some((_, other)) = parts.iter().find(|(_, part)| part.precision != precision) {
        return Err(Error::unsupported(format!(
            "{:?} is {precision} and {:?} {}, and {name:?} holds both",
            first.name, other.name, other.precision
        )));
    }
    match first_how {
        How::Expert(_) => shape.insert(0, parts.len()),
        How::Rows(..) => {
            shape[0] = parts.iter().filter_map(|(_, part)| part.shape.first()).sum();
        }
        How::PlusOne | How::Whole if parts.len() == 1 => {}
        How::PlusOne | How::Whole => {
            return Err(Error::unsupported(format!("{} tensors called {name:?}", parts.len())));
        }
    }
    let bytes = move || {
        let mut all = Vec::new();
        for (_, part) in &parts {
            all.append(&mut weights.bytes_of(part)?);
        }
        Ok(all)
    };
    Ok(Outgoing { name, shape, kind: kind(precision)?, bytes: Box::new(bytes) })
}

fn kind(precision: &str) -> Result<GgmlType> {
    GgmlType::named(precision)
        .ok_or_else(|| Error::unsupported(format!("GGUF files have no type {precision:?}")))
}
