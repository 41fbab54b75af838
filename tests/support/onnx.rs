//! The nodes of an ONNX file and its values in f32: as much of it as voices are read by.
//!
//! Shared by tests through `#[path]`.
//! <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

use std::collections::HashMap;

/// A graph of nodes.
#[derive(Debug, Default)]
pub struct Graph {
    pub nodes: Vec<Node>,
    /// Weights and constants, by what nodes call them.
    pub values: HashMap<String, Values>,
}

/// What is computed at one place.
#[derive(Debug, Default)]
pub struct Node {
    pub name: String,
    /// `Conv`, `MatMul` …
    pub kind: String,
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// Settings that are lists of whole numbers.
    pub ints: HashMap<String, Vec<usize>>,
    constant: Option<Values>,
}

/// A tensor in f32.
#[derive(Debug, Clone, Default)]
pub struct Values {
    pub shape: Vec<usize>,
    pub numbers: Vec<f32>,
}

impl Node {
    /// The module that the node is of: its name without the last part, with dots.
    pub fn place(&self) -> String {
        let name = self.name.trim_matches('/');
        name.rsplit_once('/').map_or(name, |(place, _)| place).replace('/', ".")
    }

    /// The values that it takes in this place.
    pub fn values<'a>(&self, graph: &'a Graph, input: usize) -> Option<&'a Values> {
        graph.values.get(self.inputs.get(input)?)
    }
}

impl Graph {
    /// Reads a whole file. `None` where it is cut off.
    pub fn read(file: &[u8]) -> Option<Self> {
        let mut graph = Self::default();
        for field in fields(file) {
            let (7, Field::Bytes(bytes)) = field? else { continue };
            for field in fields(bytes) {
                match field? {
                    (1, Field::Bytes(bytes)) => graph.nodes.push(node(bytes)?),
                    (5, Field::Bytes(bytes)) => {
                        let (name, values) = tensor(bytes)?;
                        graph.values.extend(values.map(|values| (name, values)));
                    }
                    _ => {}
                }
            }
        }
        for node in &mut graph.nodes {
            if let (Some(values), Some(name)) = (node.constant.take(), node.outputs.first()) {
                graph.values.entry(name.clone()).or_insert(values);
            }
        }
        Some(graph)
    }
}

fn node(bytes: &[u8]) -> Option<Node> {
    let mut node = Node::default();
    for field in fields(bytes) {
        match field? {
            (1, Field::Bytes(bytes)) => node.inputs.push(text(bytes)),
            (2, Field::Bytes(bytes)) => node.outputs.push(text(bytes)),
            (3, Field::Bytes(bytes)) => node.name = text(bytes),
            (4, Field::Bytes(bytes)) => node.kind = text(bytes),
            (5, Field::Bytes(bytes)) => {
                let (mut name, mut ints) = (String::new(), Vec::new());
                for field in fields(bytes) {
                    match field? {
                        (1, Field::Bytes(bytes)) => name = text(bytes),
                        (5, Field::Bytes(bytes)) => node.constant = tensor(bytes)?.1,
                        (8, field) => ints.extend(numbers(field)?),
                        _ => {}
                    }
                }
                node.ints.insert(name, ints);
            }
            _ => {}
        }
    }
    Some(node)
}

/// The name, and the values where they are in f32.
fn tensor(bytes: &[u8]) -> Option<(String, Option<Values>)> {
    /// `FLOAT`.
    const F32: u64 = 1;
    let (mut name, mut kind, mut values) = (String::new(), 0, Values::default());
    for field in fields(bytes) {
        match field? {
            (1, field) => values.shape.extend(numbers(field)?),
            (2, Field::Number(number)) => kind = number,
            // Numbers one by one, or as they lie in memory.
            (4 | 9, Field::Bytes(bytes)) => {
                let number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
                values.numbers.extend(bytes.as_chunks().0.iter().map(number));
            }
            (8, Field::Bytes(bytes)) => name = text(bytes),
            _ => {}
        }
    }
    Some((name, (kind == F32).then_some(values)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One whole number, or many in one field.
fn numbers(field: Field<'_>) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    match field {
        Field::Number(number) => found.push(number as usize),
        Field::Bytes(mut bytes) => {
            while !bytes.is_empty() {
                found.push(varint(&mut bytes)? as usize);
            }
        }
    }
    Some(found)
}

/// What a field of a message holds.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers; `None` where it is cut off.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u64, Field<'_>)>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let field = field(&mut bytes);
        if field.is_none() {
            bytes = &[];
        }
        Some(field)
    })
}

fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let key = varint(bytes)?;
    let field = match key & 7 {
        0 => Field::Number(varint(bytes)?),
        1 => Field::Bytes(bytes.split_off(..8)?),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Field::Bytes(bytes.split_off(..length)?)
        }
        5 => Field::Bytes(bytes.split_off(..4)?),
        _ => return None,
    };
    Some((key >> 3, field))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
