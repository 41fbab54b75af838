//! Caches in files: safetensors, with what their rows are made of in the metadata.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use half::f16;
use safetensors::tensor::View;
use safetensors::{Dtype, SafeTensors, serialize_to_file};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernels::cached::{Block, Layout, TOKENS};
use crate::nn::cache::rows::{CacheLayer, Kept, Row, Table};
use crate::source::mapped::MappedFile;

/// In the metadata: the version of the format, and a [`Header`] in JSON.
const VERSION: (&str, &str) = ("sconce_kv_cache", "1");
const HEADER: &str = "header";

#[derive(Serialize, Deserialize)]
struct Header {
    block_tokens: usize,
    dtype: String,
    layers: Vec<CacheLayer>,
    rows: Vec<RowHeader>,
}

#[derive(Serialize, Deserialize)]
struct RowHeader {
    computed_at: [usize; 2],
    /// For each group the numbers of the row's blocks.
    tables: Vec<Vec<Option<usize>>>,
}

/// What a tensor of the file is made of.
#[derive(Clone, Copy)]
enum Numbers<'a> {
    F16(&'a [f16]),
    F32(&'a [f32]),
    I8(&'a [i8]),
    U32(&'a [u32]),
}

struct Named<'a>(Numbers<'a>, [usize; 1]);

impl View for Named<'_> {
    fn dtype(&self) -> Dtype {
        match self.0 {
            Numbers::F16(_) => Dtype::F16,
            Numbers::F32(_) => Dtype::F32,
            Numbers::I8(_) => Dtype::I8,
            Numbers::U32(_) => Dtype::U32,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(match self.0 {
            Numbers::F16(numbers) => numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
            Numbers::F32(numbers) => numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
            Numbers::I8(numbers) => numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
            Numbers::U32(numbers) => numbers.iter().flat_map(|n| n.to_le_bytes()).collect(),
        })
    }

    fn data_len(&self) -> usize {
        self.1[0] * self.dtype().bitsize() / 8
    }
}

fn row_name(row: usize) -> String {
    format!("row.{row}")
}

fn block_name(group: usize, block: usize) -> String {
    format!("group.{group}.block.{block}")
}

fn scales_name(group: usize, block: usize) -> String {
    format!("{}.scales", block_name(group, block))
}

/// Writes rows to a file, which takes its place when it is whole; blocks that they share once.
pub(super) fn save(kept: &Kept, rows: &[Row], path: &Path) -> Result<()> {
    let mut tensors = Vec::new();
    let mut push = |name: String, numbers, length| tensors.push((name, Named(numbers, [length])));
    let mut known = vec![HashMap::new(); kept.groups.len()];
    let mut headers = Vec::with_capacity(rows.len());
    for (number, row) in rows.iter().enumerate() {
        push(row_name(number), Numbers::U32(&row.ids), row.ids.len());
        let mut tables = vec![Vec::new(); kept.groups.len()];
        for (group, (table, known)) in row.tables.iter().zip(&mut known).enumerate() {
            for block in table {
                let next = known.len();
                let number =
                    block.as_ref().map(|block| *known.entry(&raw const **block).or_insert(next));
                tables[group].push(number);
                let Some(block) = block.as_ref().filter(|_| number == Some(next)) else { continue };
                let name = block_name(group, next);
                match &**block {
                    Block::F16(numbers) => push(name, Numbers::F16(numbers), numbers.len()),
                    Block::F32(numbers) => push(name, Numbers::F32(numbers), numbers.len()),
                    Block::Q8 { numbers, scales } => {
                        push(name, Numbers::I8(numbers), numbers.len());
                        push(scales_name(group, next), Numbers::F16(scales), scales.len());
                    }
                }
            }
        }
        headers.push(RowHeader { computed_at: row.computed_at, tables });
    }
    let header = Header {
        block_tokens: TOKENS,
        dtype: kept.dtype.as_str().to_owned(),
        layers: kept.layers.clone(),
        rows: headers,
    };
    let header = serde_json::to_string(&header).map_err(|error| Error::malformed(path, error))?;
    let entry = |(key, value): (&str, String)| (key.to_owned(), value);
    let metadata = [(VERSION.0, VERSION.1.to_owned()), (HEADER, header)].map(entry);
    let partial = path.with_extension("partial");
    let written = serialize_to_file(tensors, Some(HashMap::from(metadata)), &partial)
        .map_err(std::io::Error::other)
        .and_then(|()| fs::rename(&partial, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&partial);
        Error::write(path)(error)
    })
}

/// Reads rows from a file that was saved of a cache that keeps the same.
pub(super) fn load(kept: &Kept, path: &Path) -> Result<Vec<Row>> {
    let file = MappedFile::open(path)?;
    let malformed = |reason: &str| Error::malformed(path, reason);
    let unreadable = |error| {
        let reason = format!("is cut short or no file of a cache: {error}");
        Error::malformed(path, reason)
    };
    let tensors = SafeTensors::deserialize(file.bytes()).map_err(unreadable)?;
    let (_, metadata) = SafeTensors::read_metadata(file.bytes()).map_err(unreadable)?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    if metadata.get(VERSION.0).map(String::as_str) != Some(VERSION.1) {
        return Err(malformed(
            "is no file of a cache, or of another version of sconce; make it anew",
        ));
    }
    let header = metadata.get(HEADER).map(String::as_str).unwrap_or_default();
    let header: Header =
        serde_json::from_str(header).map_err(|error| Error::malformed(path, error))?;
    let alike = header.block_tokens == TOKENS
        && header.dtype == kept.dtype.as_str()
        && header.layers == kept.layers;
    if !alike {
        return Err(malformed("is of another model, or keeps keys and values in another dtype"));
    }
    let lacking = |name: &str| Error::malformed(path, format!("has no {name} of the right size"));
    let bytes = |name: &str, dtype: Dtype| {
        let tensor = tensors.tensor(name).ok().filter(|tensor| tensor.dtype() == dtype);
        tensor.map(|tensor| tensor.data()).ok_or_else(|| lacking(name))
    };
    let block = |group: usize, layout: &Layout, number: usize| {
        let name = block_name(group, number);
        let mut block =
            layout.block().ok_or_else(|| malformed("takes more memory than there is"))?;
        let filled = match &mut block {
            Block::F16(to) => fill(to, bytes(&name, Dtype::F16)?, f16::from_le_bytes),
            Block::F32(to) => fill(to, bytes(&name, Dtype::F32)?, f32::from_le_bytes),
            Block::Q8 { numbers, scales } => {
                let of_scales = bytes(&scales_name(group, number), Dtype::F16)?;
                fill(numbers, bytes(&name, Dtype::I8)?, i8::from_le_bytes)
                    && fill(scales, of_scales, f16::from_le_bytes)
            }
        };
        if filled { Ok(Arc::new(block)) } else { Err(lacking(&name)) }
    };
    let mut read = HashMap::new();
    let mut rows = Vec::new();
    for (number, header) in header.rows.into_iter().enumerate() {
        let stored = bytes(&row_name(number), Dtype::U32)?;
        let mut ids = vec![0; stored.len() / 4];
        fill(&mut ids, stored, u32::from_le_bytes);
        let blocks = ids.len().div_ceil(TOKENS);
        let whole = |table: &Vec<Option<usize>>| table.len() == blocks;
        if header.tables.len() != kept.groups.len() || !header.tables.iter().all(whole) {
            return Err(malformed("has rows of other lengths than their blocks"));
        }
        let mut tables = Vec::with_capacity(header.tables.len());
        for (group, table) in header.tables.iter().enumerate() {
            let layout = &kept.groups[group].layout;
            let mut entry = |number: &Option<usize>| {
                let Some(number) = *number else { return Ok(None) };
                if let Some(block) = read.get(&(group, number)) {
                    return Ok(Some(Arc::clone(block)));
                }
                let block = block(group, layout, number)?;
                read.insert((group, number), Arc::clone(&block));
                Ok::<_, Error>(Some(block))
            };
            tables.push(table.iter().map(&mut entry).collect::<Result<Table>>()?);
        }
        let row = Row { ids, new: 0, computed_at: header.computed_at, tables };
        if !row.can_go_back(row.length(), kept) {
            return Err(malformed("lacks blocks that tokens to come attend to"));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// `false` where there are not as many numbers.
fn fill<T, const BYTES: usize>(to: &mut [T], from: &[u8], read: fn([u8; BYTES]) -> T) -> bool {
    let (numbers, rest) = from.as_chunks::<BYTES>();
    to.iter_mut().zip(numbers).for_each(|(to, number)| *to = read(*number));
    to.len() == numbers.len() && rest.is_empty()
}
