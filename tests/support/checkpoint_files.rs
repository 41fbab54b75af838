//! Small safetensors and GGUF files, honest or not, byte by byte.
#![allow(dead_code, unreachable_pub, reason = "no user of this module uses all of it")]

use std::path::Path;

use tempfile::TempDir;

/// A folder for files that live for a moment: in memory where the system offers that, because a
/// disk may take milliseconds to create each of hundreds of files.
pub fn scratch() -> TempDir {
    match Path::new("/dev/shm") {
        memory if memory.is_dir() => tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()),
        _ => tempfile::tempdir(),
    }
    .unwrap()
}

/// A safetensors file of tensors `(name, dtype, shape, bytes)`.
pub fn safetensors(tensors: &[(&str, &str, &[usize], &[u8])]) -> Vec<u8> {
    let mut data = Vec::new();
    let entries: Vec<String> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let start = data.len();
            data.extend_from_slice(bytes);
            let end = data.len();
            format!(
                r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
            )
        })
        .collect();
    with_header(&format!("{{{}}}", entries.join(",")), &data)
}

/// A safetensors file of that header.
pub fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A tensor in a GGUF file's directory; `shape` is in PyTorch's order.
#[derive(Clone, Debug)]
pub struct GgufEntry {
    pub name: &'static str,
    pub shape: Vec<u64>,
    pub ggml_type: u32,
    pub offset: u64,
}

/// A GGUF file as its writer says it is: nothing is computed or checked.
#[derive(Clone, Debug)]
pub struct GgufBytes {
    pub version: u32,
    pub tensor_count: u64,
    pub metadata_count: u64,
    /// Key, type and value, encoded.
    pub metadata: Vec<u8>,
    pub tensors: Vec<GgufEntry>,
    pub data: Vec<u8>,
}

impl GgufBytes {
    /// `a.weight` of shape `(2, 3)` in f32, `b.weight` of shape `(1, 32)` in `Q8_0` blocks, and
    /// some metadata of every kind.
    pub fn honest() -> Self {
        let mut data = f32_bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        data.resize(32, 0);
        data.extend([0x00, 0x38]);
        data.extend(1..=32);
        Self {
            version: 3,
            tensor_count: 2,
            metadata_count: 3,
            metadata: [
                entry("general.architecture", 8, &text("none")),
                entry("none.context_length", 4, &512_u32.to_le_bytes()),
                entry("none.list", 9, &array(8, 2, &[text("a"), text("b")].concat())),
            ]
            .concat(),
            tensors: vec![
                GgufEntry { name: "a.weight", shape: vec![2, 3], ggml_type: 0, offset: 0 },
                GgufEntry { name: "b.weight", shape: vec![1, 32], ggml_type: 8, offset: 32 },
            ],
            data,
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensor_count.to_le_bytes());
        bytes.extend(self.metadata_count.to_le_bytes());
        bytes.extend(&self.metadata);
        for tensor in &self.tensors {
            bytes.extend(text(tensor.name));
            bytes.extend((tensor.shape.len() as u32).to_le_bytes());
            tensor.shape.iter().rev().for_each(|length| bytes.extend(length.to_le_bytes()));
            bytes.extend(tensor.ggml_type.to_le_bytes());
            bytes.extend(tensor.offset.to_le_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }
}

pub fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// An array's type, claimed length and values.
pub fn array(kind: u32, length: u64, values: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &length.to_le_bytes(), values].concat()
}

/// A metadata entry.
pub fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(key), &kind.to_le_bytes()[..], value].concat()
}
