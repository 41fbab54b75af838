//! Damage to binary formats where it hurts: headers, directories, metadata, the program of a pickle.

use std::ops::Range;

use serde_json::{Value, json};

use crate::mutate;
use crate::random::Random;

/// The header, with its length made right again or not, or the numbers.
pub fn safetensors(random: &mut Random, file: &mut Vec<u8>) {
    let length = u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    match random.below(6) {
        0 => mutate::bytes(random, file, 0..8 + length),
        1 => nonsense(random, file, 8 + length),
        2 => file.truncate(random.below(file.len())),
        kind => {
            let header = &file[8..8 + length];
            let mut header: Value = serde_json::from_slice(header).expect("an honest header");
            match kind {
                3 => mutate::json(random, &mut header),
                _ => entry(random, &mut header),
            }
            let header = header.to_string().into_bytes();
            let length = header.len() as u64;
            *file = [&length.to_le_bytes()[..], &header, &file[8 + length_of(file)..]].concat();
        }
    }
}

/// Another type, another shape, another's place or name for a tensor: a header that can be read.
fn entry(random: &mut Random, header: &mut Value) {
    const TYPES: &[&str] = &["F64", "F32", "F16", "BF16", "I64", "I8", "U8", "F8_E4M3", "BOOL"];
    let Some(fields) = header.as_object_mut() else { return };
    let names: Vec<_> = fields.keys().filter(|name| *name != "__metadata__").cloned().collect();
    let (name, other) = (random.of(&names).clone(), random.of(&names).clone());
    match random.below(6) {
        0 => fields[&name]["dtype"] = json!(*random.of(TYPES)),
        1 => {
            if let Some(shape) = fields[&name]["shape"].as_array_mut() {
                match random.below(3) {
                    0 => shape.reverse(),
                    1 => shape.push(json!(1)),
                    _ => shape.insert(0, json!(1)),
                }
            }
        }
        2 => fields[&name]["data_offsets"] = fields[&other]["data_offsets"].clone(),
        3 => drop(fields.shift_remove(&name)),
        4 => {
            let (one, another) = (fields[&name].clone(), fields[&other].clone());
            fields[&name] = another;
            fields[&other] = one;
        }
        _ => {
            let one = fields.shift_remove(&name).unwrap_or_default();
            fields.insert(format!("model.{name}"), one);
        }
    }
}

fn length_of(file: &[u8]) -> usize {
    u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize
}

/// Numbers that are none, or huge, from `start` on.
fn nonsense(random: &mut Random, file: &mut [u8], start: usize) {
    for _ in 0..random.between(1, 64) {
        let at = start + random.below(file.len().saturating_sub(start + 4)) / 4 * 4;
        let number = *random.of(&[f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX, 1e-45, 1e30]);
        if let Some(place) = file.get_mut(at..at + 4) {
            place.copy_from_slice(&number.to_le_bytes());
        }
    }
}

/// A value of the metadata, a tensor of the directory, any byte of either, or the numbers.
pub fn gguf(random: &mut Random, file: &mut Vec<u8>) {
    let Some(layout) = GgufLayout::of(file) else { return mutate::bytes(random, file, 0..64) };
    match random.below(8) {
        0 => mutate::bytes(random, file, 0..24),
        1 => mutate::bytes(random, file, 0..layout.end),
        2 => mutate::bytes(random, file, layout.tensors..layout.end),
        3 => nonsense(random, file, layout.end),
        4 => file.truncate(random.below(file.len())),
        _ => {
            let value = random.of(&layout.values).clone();
            let other = random.of(&layout.values).clone();
            let replacement = match random.below(4) {
                // A number of any kind and any bits.
                0 => {
                    let (kind, width) =
                        *random.of(&[(0, 1), (4, 4), (5, 4), (6, 4), (10, 8), (12, 8)]);
                    let bits = *random.of(mutate::NUMBERS);
                    [u32::to_le_bytes(kind).as_slice(), &bits.to_le_bytes()[..width]].concat()
                }
                1 => {
                    let bits = random.of(&[f32::NAN, f32::INFINITY, -1.0, 0.0, 1e30]).to_le_bytes();
                    [&6_u32.to_le_bytes()[..], &bits].concat()
                }
                2 => file[other].to_vec(),
                // The same with a byte changed.
                _ => {
                    let mut same = file[value.clone()].to_vec();
                    let whole = 0..same.len().min(64);
                    mutate::bytes(random, &mut same, whole);
                    same
                }
            };
            let data = layout.end.next_multiple_of(ALIGNMENT);
            let numbers = file.split_off(data.min(file.len()));
            file.splice(value, replacement);
            // The numbers follow where they should, so that more than the metadata is read.
            file.truncate(file.len() - (data - layout.end));
            file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
            file.extend(numbers);
        }
    }
}

const ALIGNMENT: usize = 32;

/// Where things lie in the header of an honest file.
struct GgufLayout {
    /// The type and value of each entry of the metadata.
    values: Vec<Range<usize>>,
    tensors: usize,
    end: usize,
}

impl GgufLayout {
    fn of(file: &[u8]) -> Option<Self> {
        let mut at = 8;
        let tensors = u64_at(file, &mut at)?;
        let entries = u64_at(file, &mut at)?;
        let mut values = Vec::new();
        for _ in 0..entries {
            skip_text(file, &mut at)?;
            let start = at;
            let kind = u32_at(file, &mut at)?;
            skip_value(file, &mut at, kind)?;
            values.push(start..at);
        }
        let directory = at;
        for _ in 0..tensors {
            skip_text(file, &mut at)?;
            at += u32_at(file, &mut at)? as usize * 8 + 12;
        }
        Some(Self { values, tensors: directory, end: at })
    }
}

fn skip_value(file: &[u8], at: &mut usize, kind: u32) -> Option<()> {
    *at += match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        8 => return skip_text(file, at),
        _ => {
            let kind = u32_at(file, at)?;
            let length = u64_at(file, at)?;
            return (0..length).try_for_each(|_| skip_value(file, at, kind));
        }
    };
    Some(())
}

fn skip_text(file: &[u8], at: &mut usize) -> Option<()> {
    *at += u64_at(file, at)? as usize;
    Some(())
}

fn u32_at(file: &[u8], at: &mut usize) -> Option<u32> {
    let bytes = file.get(*at..*at + 4)?;
    *at += 4;
    bytes.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(file: &[u8], at: &mut usize) -> Option<u64> {
    let bytes = file.get(*at..*at + 8)?;
    *at += 8;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// The program of a checkpoint of torch, or any byte of its archive.
pub fn pickle(random: &mut Random, file: &mut Vec<u8>) {
    // Opcodes, among them those that build, repeat and call.
    const OPCODES: &[u8] =
        b"\x80(.}])tesubNqrhjXKJMGIUcR\x85\x86\x87QaFS0123lod\x8a\x8b\x8c\x93\x94";
    let start = file.windows(2).position(|pair| pair == b"\x80\x02").unwrap_or(0);
    let program = start..(start + 4000).min(file.len());
    match random.below(8) {
        0 => {
            let whole = 0..file.len();
            mutate::bytes(random, file, whole);
        }
        1 => mutate::bytes(random, file, program),
        2 => nonsense(random, file, program.end),
        _ => {
            for _ in 0..random.between(1, 4) {
                let at = program.start + random.below(program.len());
                match random.below(8) {
                    // Where the file is an archive, what follows is no longer where it should be.
                    0 => file.insert(at, *random.of(OPCODES)),
                    1..=3 => file[at] = random.byte(),
                    _ => file[at] = *random.of(OPCODES),
                }
            }
        }
    }
}
