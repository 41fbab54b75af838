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

use crate::error::{Error, Result, quoted};
use crate::fingerprint::{checksum, fingerprint};
use crate::kernels::cached::{self, Block, TOKENS};
use crate::nn::cache::rows::{CacheLayer, Kept, Row, Table};
use crate::nn::cache::store::Store;
use crate::source::mapped::MappedFile;

/// In the metadata: the version of the format, a [`Header`] in JSON, and a checksum of that and of all numbers.
const VERSION: (&str, &str) = ("sconce_kv_cache", "3");
const HEADER: &str = "header";
const CHECKSUM: &str = "checksum";

#[derive(Serialize, Deserialize)]
struct Header {
    block_tokens: usize,
    #[serde(flatten)]
    own: Part,
    sources: Option<SourcesHeader>,
}

/// Rows that keep the same.
#[derive(Serialize, Deserialize)]
struct Part {
    dtype: String,
    /// What tells the model from others.
    model: String,
    layers: Vec<CacheLayer>,
    rows: Vec<RowHeader>,
}

#[derive(Serialize, Deserialize)]
struct SourcesHeader {
    #[serde(flatten)]
    part: Part,
    of_rows: Vec<usize>,
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

/// What the names of tensors begin with: those of rows, and those of their sources.
const OWN: &str = "";
const SOURCES: &str = "source.";

fn row_name(part: &str, row: usize) -> String {
    format!("{part}row.{row}")
}

fn block_name(part: &str, group: usize, block: usize) -> String {
    format!("{part}group.{group}.block.{block}")
}

fn scales_name(part: &str, group: usize, block: usize) -> String {
    format!("{}.scales", block_name(part, group, block))
}

/// Writes rows to a file, which takes its place when it is whole; blocks that they share once. With them
/// go their sources, and the number of each row's.
pub(super) fn save(own: &Store, sources: Option<(&Store, &[usize])>, path: &Path) -> Result<()> {
    let mut tensors = Vec::new();
    let header = Header {
        block_tokens: TOKENS,
        own: part(OWN, own, &mut tensors),
        sources: sources.map(|(store, of_rows)| SourcesHeader {
            part: part(SOURCES, store, &mut tensors),
            of_rows: of_rows.to_vec(),
        }),
    };
    let header = serde_json::to_string(&header).map_err(|error| Error::malformed(path, error))?;
    tensors.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let data = tensors.iter().map(|(name, numbers)| (name.as_str(), numbers.data()));
    let sum = checksum_of(&header, data);
    let entry = |(key, value): (&str, String)| (key.to_owned(), value);
    let metadata =
        [(VERSION.0, VERSION.1.to_owned()), (HEADER, header), (CHECKSUM, sum)].map(entry);
    // A name that no other save has at the same time, of a file beside it say.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.partial", rand::random::<u64>()));
    let partial = path.with_file_name(name);
    let written = serialize_to_file(tensors, Some(HashMap::from(metadata)), &partial)
        .map_err(std::io::Error::other)
        .and_then(|()| fs::rename(&partial, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&partial);
        Error::write(path)(error)
    })
}

/// A number that is another where a byte of a file is: of its header, and of its tensors in the order of their names.
pub(super) fn checksum_of<'a>(
    header: &str,
    tensors: impl Iterator<Item = (&'a str, Cow<'a, [u8]>)>,
) -> String {
    let sum = tensors.fold(fingerprint(0, header.as_bytes()), |sum, (name, data)| {
        checksum(fingerprint(sum, name.as_bytes()), &data)
    });
    format!("{sum:016x}")
}

/// The tensors of rows, and what the header says of them.
fn part<'a>(part: &str, store: &'a Store, tensors: &mut Vec<(String, Named<'a>)>) -> Part {
    let Store { kept, rows, .. } = store;
    let mut push = |name: String, numbers, length| tensors.push((name, Named(numbers, [length])));
    let mut known = vec![HashMap::new(); kept.groups.len()];
    let mut headers = Vec::with_capacity(rows.len());
    for (number, row) in rows.iter().enumerate() {
        push(row_name(part, number), Numbers::U32(&row.ids), row.ids.len());
        let mut tables = vec![Vec::new(); kept.groups.len()];
        for (group, (table, known)) in row.tables.iter().zip(&mut known).enumerate() {
            for block in table {
                let next = known.len();
                let number =
                    block.as_ref().map(|block| *known.entry(&raw const **block).or_insert(next));
                tables[group].push(number);
                let Some(block) = block.as_ref().filter(|_| number == Some(next)) else { continue };
                let name = block_name(part, group, next);
                match block.kept() {
                    cached::Kept::F16(numbers) => push(name, Numbers::F16(numbers), numbers.len()),
                    cached::Kept::F32(numbers) => push(name, Numbers::F32(numbers), numbers.len()),
                    cached::Kept::Q8 { numbers, scales } => {
                        push(name, Numbers::I8(numbers), numbers.len());
                        push(scales_name(part, group, next), Numbers::F16(scales), scales.len());
                    }
                }
            }
        }
        headers.push(RowHeader { computed_at: row.computed_at, tables });
    }
    Part {
        dtype: kept.dtype.as_str().to_owned(),
        model: kept.model.clone(),
        layers: kept.layers.clone(),
        rows: headers,
    }
}

/// The rows of a file, their sources, and the number of each row's source.
pub(super) type Loaded = (Vec<Row>, Option<(Vec<Row>, Vec<usize>)>);

/// Reads rows from a file that was saved of a cache that keeps the same of them and of their sources.
pub(super) fn load(own: &Kept, of_sources: Option<&Kept>, path: &Path) -> Result<Loaded> {
    let file = MappedFile::open(path)?;
    let malformed = |reason: &str| Error::malformed(path, reason);
    let unreadable = |error| {
        let reason = format!("is cut short or no file of a cache: {error}");
        Error::malformed(path, reason)
    };
    let tensors = SafeTensors::deserialize(file.bytes()).map_err(unreadable)?;
    let (_, metadata) = SafeTensors::read_metadata(file.bytes()).map_err(unreadable)?;
    let metadata = metadata.metadata().clone().unwrap_or_default();
    match metadata.get(VERSION.0).map(String::as_str) {
        Some(version) if version == VERSION.1 => {}
        None => return Err(malformed("is no file of a cache")),
        Some(version) => {
            let (version, own) = (quoted(version), VERSION.1);
            let reason = format!(
                "is a cache in version {version} of the format, and this build reads {own}; save it anew"
            );
            return Err(malformed(&reason));
        }
    }
    let header = metadata.get(HEADER).map(String::as_str).unwrap_or_default();
    let mut data: Vec<_> = tensors.iter().map(|(name, tensor)| (name, tensor.data())).collect();
    data.sort_unstable();
    let data = data.into_iter().map(|(name, data)| (name, Cow::Borrowed(data)));
    if metadata.get(CHECKSUM) != Some(&checksum_of(header, data)) {
        return Err(malformed("is damaged: some bytes are not those that were saved"));
    }
    let header: Header =
        serde_json::from_str(header).map_err(|error| Error::malformed(path, error))?;
    let other = || {
        malformed(
            "is a cache of another model: of another config, or of weights of other shapes or formats",
        )
    };
    let part_is_of = |part: &Part, kept: &Kept| {
        if part.layers != kept.layers || part.model != kept.model {
            return Err(other());
        }
        if part.dtype != kept.dtype.as_str() || header.block_tokens != TOKENS {
            let (found, own) = (quoted(&part.dtype), kept.dtype.as_str());
            let reason = format!(
                "keeps keys and values in {found}, and this cache in {own}; `LoadOptions::cache` decides"
            );
            return Err(malformed(&reason));
        }
        Ok(())
    };
    part_is_of(&header.own, own)?;
    let sources = match (header.sources, of_sources) {
        (None, None) => None,
        (Some(SourcesHeader { part, of_rows }), Some(kept)) => {
            part_is_of(&part, kept)?;
            let of_each = of_rows.len() == header.own.rows.len();
            if !of_each || of_rows.iter().any(|&source| source >= part.rows.len()) {
                return Err(malformed("has rows of other sources than it holds"));
            }
            Some((Reader { path, tensors: &tensors, part: SOURCES, kept }.rows(part)?, of_rows))
        }
        _ => return Err(other()),
    };
    Ok((Reader { path, tensors: &tensors, part: OWN, kept: own }.rows(header.own)?, sources))
}

/// Reads the rows of one part of a file.
struct Reader<'a> {
    path: &'a Path,
    tensors: &'a SafeTensors<'a>,
    part: &'static str,
    kept: &'a Kept,
}

impl Reader<'_> {
    fn rows(&self, part: Part) -> Result<Vec<Row>> {
        let malformed = |reason: &str| Error::malformed(self.path, reason);
        let mut read = HashMap::new();
        let mut rows = Vec::new();
        for (number, header) in part.rows.into_iter().enumerate() {
            let stored = self.bytes(&row_name(self.part, number), Dtype::U32)?;
            let mut ids = vec![0; stored.len() / 4];
            fill(&mut ids, stored, u32::from_le_bytes);
            let blocks = ids.len().div_ceil(TOKENS);
            let whole = |table: &Vec<Option<usize>>| table.len() == blocks;
            if header.tables.len() != self.kept.groups.len() || !header.tables.iter().all(whole) {
                return Err(malformed("has rows of other lengths than their blocks"));
            }
            let mut tables = Vec::with_capacity(header.tables.len());
            for (group, table) in header.tables.iter().enumerate() {
                let mut entry = |(place, number): (usize, &Option<usize>)| {
                    let Some(number) = *number else { return Ok(None) };
                    let block = match read.get(&(group, number)) {
                        Some(block) => Arc::clone(block),
                        None => self.block(group, number)?,
                    };
                    if block.room() < TOKENS.min(ids.len() - place * TOKENS) {
                        return Err(malformed("has rows of other lengths than their blocks"));
                    }
                    read.insert((group, number), Arc::clone(&block));
                    Ok(Some(block))
                };
                tables.push(table.iter().enumerate().map(&mut entry).collect::<Result<Table>>()?);
            }
            let row = Row { ids, new: 0, computed_at: header.computed_at, tables };
            if !row.can_go_back(row.length(), self.kept) {
                return Err(malformed("lacks blocks that tokens to come attend to"));
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn block(&self, group: usize, number: usize) -> Result<Arc<Block>> {
        let name = block_name(self.part, group, number);
        let numbers =
            self.tensors.tensor(&name).map_or(0, |tensor| tensor.shape().iter().product());
        let block = self.kept.groups[group].layout.block_of(numbers);
        let mut block = block.ok_or_else(|| self.lacking(&name))?;
        let filled = match block.kept_mut() {
            cached::Kept::F16(to) => fill(to, self.bytes(&name, Dtype::F16)?, f16::from_le_bytes),
            cached::Kept::F32(to) => fill(to, self.bytes(&name, Dtype::F32)?, f32::from_le_bytes),
            cached::Kept::Q8 { numbers, scales } => {
                let of_scales = self.bytes(&scales_name(self.part, group, number), Dtype::F16)?;
                fill(numbers, self.bytes(&name, Dtype::I8)?, i8::from_le_bytes)
                    && fill(scales, of_scales, f16::from_le_bytes)
            }
        };
        if filled { Ok(Arc::new(block)) } else { Err(self.lacking(&name)) }
    }

    fn bytes(&self, name: &str, dtype: Dtype) -> Result<&[u8]> {
        let tensor = self.tensors.tensor(name).ok().filter(|tensor| tensor.dtype() == dtype);
        tensor.map(|tensor| tensor.data()).ok_or_else(|| self.lacking(name))
    }

    fn lacking(&self, name: &str) -> Error {
        Error::malformed(self.path, format!("has no {name} of the right size"))
    }
}

/// `false` where there are not as many numbers.
fn fill<T, const BYTES: usize>(to: &mut [T], from: &[u8], read: fn([u8; BYTES]) -> T) -> bool {
    let (numbers, rest) = from.as_chunks::<BYTES>();
    to.iter_mut().zip(numbers).for_each(|(to, number)| *to = read(*number));
    to.len() == numbers.len() && rest.is_empty()
}
