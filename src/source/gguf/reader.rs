//! The header of a GGUF file, byte by byte.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::source::ggml::GgmlType;
use crate::source::gguf::value::{GgufNumbers, GgufValue, width};

/// Metadata and the directory of tensors.
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, GgufValue>,
    pub(super) tensors: Vec<(String, GgufTensor)>,
}

/// One tensor of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GgufTensor {
    /// Rows first, as in PyTorch (the file stores the reverse order).
    pub shape: Vec<usize>,
    /// ggml's number for the element type, `ggml_type` in `ggml.h`.
    pub ggml_type: u32,
    part: usize,
    /// The bytes of the part's file; empty where the element type is unknown.
    range: Range<usize>,
}

impl GgufTensor {
    /// The part of the file that holds the tensor, and where in it.
    pub(crate) fn location(&self) -> (usize, Range<usize>) {
        (self.part, self.range.clone())
    }
}

/// Reads the header of one part of a file; fails with a reason that lacks the file's name.
pub(super) fn header(bytes: &[u8], part: usize) -> Parsed<Header> {
    Reader { bytes, position: 0 }.header(part)
}

struct RawTensor {
    name: String,
    shape: Vec<usize>,
    ggml_type: u32,
    offset: u64,
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// Reasons are completed with the file's name by the caller.
type Parsed<T> = std::result::Result<T, String>;

impl<'a> Reader<'a> {
    fn header(&mut self, part: usize) -> Parsed<Header> {
        if self.take(4)? != MAGIC {
            return Err("is not a GGUF file: it does not begin with the letters GGUF".to_owned());
        }
        let version = self.u32()?;
        if version.swap_bytes() == 3 {
            return Err("is a big-endian GGUF file; only little-endian ones are supported".into());
        }
        if !(2..=3).contains(&version) {
            return Err(format!("has GGUF version {version}; versions 2 and 3 are supported"));
        }
        let tensors = self.u64()?;
        let entries = self.u64()?;
        let mut metadata = BTreeMap::new();
        for _ in 0..entries {
            let key = self.string()?;
            let kind = self.u32()?;
            let value = self.value(kind, 0).map_err(|reason| format!("{reason} (key {key:?})"))?;
            if metadata.contains_key(&key) {
                return Err(format!("has the metadata key {key:?} twice"));
            }
            metadata.insert(key, value);
        }
        let mut directory = Vec::new();
        for _ in 0..tensors {
            directory.push(self.tensor()?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(value) => value
                .as_u64()
                .and_then(|value| usize::try_from(value).ok())
                .filter(|value| value.is_power_of_two() && *value >= LEAST_ALIGNMENT)
                .ok_or_else(|| {
                    format!("has general.alignment {value:?}; powers of two from 8 are possible")
                })?,
        };
        let data = self
            .position
            .checked_next_multiple_of(alignment)
            .ok_or("has an alignment beyond its end")?;
        let mut tensors: Vec<(String, GgufTensor)> = Vec::with_capacity(directory.len());
        for RawTensor { name, shape, ggml_type, offset } in directory {
            let range = self
                .range(&shape, ggml_type, data, offset, alignment)
                .map_err(|reason| format!("tensor {name:?} {shape:?}: {reason}"))?;
            tensors.push((name, GgufTensor { shape, ggml_type, part, range }));
        }
        apart(&tensors)?;
        Ok(Header { metadata, tensors })
    }

    /// The bytes of a tensor that begins `offset` bytes after `data`.
    fn range(
        &self,
        shape: &[usize],
        ggml_type: u32,
        data: usize,
        offset: u64,
        alignment: usize,
    ) -> Parsed<Range<usize>> {
        let Some(kind) = GgmlType::from_number(ggml_type) else {
            return Ok(0..0);
        };
        let length = kind.length(shape).ok_or_else(|| {
            format!("its rows are not whole blocks of {} {} weights", kind.weights, kind.name)
        })?;
        let offset = usize::try_from(offset).map_err(|error| error.to_string())?;
        if !offset.is_multiple_of(alignment) {
            return Err(format!("begins at {offset}, which is not a multiple of {alignment}"));
        }
        data.checked_add(offset)
            .and_then(|start| Some(start..start.checked_add(length)?))
            .filter(|range| range.end <= self.bytes.len())
            .ok_or_else(|| {
                let size = self.bytes.len();
                format!(
                    "{length} bytes at {data} + {offset} are beyond the file's {size} bytes; {CUT_OFF}"
                )
            })
    }

    fn tensor(&mut self) -> Parsed<RawTensor> {
        let name = self.string()?;
        let dimensions = self.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(format!("gives tensor {name:?} {dimensions} dimensions"));
        }
        let mut shape = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            let length = self.u64()?;
            shape.push(usize::try_from(length).map_err(|error| error.to_string())?);
        }
        shape.reverse();
        shape
            .iter()
            .try_fold(1_usize, |elements, &length| elements.checked_mul(length))
            .ok_or_else(|| format!("gives tensor {name:?} the impossible shape {shape:?}"))?;
        Ok(RawTensor { name, shape, ggml_type: self.u32()?, offset: self.u64()? })
    }

    fn value(&mut self, kind: u32, nesting: usize) -> Parsed<GgufValue> {
        match kind {
            8 => self.string().map(GgufValue::String),
            9 if nesting < MAX_NESTING => {
                let kind = self.u32()?;
                let length = self.u64()?;
                if let Some(width) = width(kind) {
                    let bytes = usize::try_from(length).ok().and_then(|n| n.checked_mul(width));
                    let bytes = self.take(bytes.unwrap_or(usize::MAX))?;
                    return Ok(GgufValue::Numbers(GgufNumbers::new(kind, bytes)));
                }
                let mut values = Vec::new();
                for _ in 0..length {
                    values.push(self.value(kind, nesting + 1)?);
                }
                Ok(GgufValue::Array(values))
            }
            9 => Err(format!("nests arrays more than {MAX_NESTING} deep")),
            _ => {
                let width = width(kind)
                    .ok_or_else(|| format!("has a metadata value of unknown type {kind}"))?;
                let value = GgufValue::scalar(kind, self.take(width)?);
                value.map(|(value, _)| value).ok_or_else(|| format!("is truncated; {CUT_OFF}"))
            }
        }
    }

    /// Text in UTF-8. Some vocabularies hold raw bytes, which are replaced as Python does it.
    fn string(&mut self) -> Parsed<String> {
        let length = self.u64()?;
        let length = usize::try_from(length).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn u32(&mut self) -> Parsed<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Parsed<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Parsed<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| format!("is truncated; {CUT_OFF}"))
    }

    fn take(&mut self, length: usize) -> Parsed<&'a [u8]> {
        let taken = self
            .position
            .checked_add(length)
            .and_then(|end| self.bytes.get(self.position..end))
            .ok_or_else(|| {
                format!(
                    "is truncated: {length} bytes wanted at {} of its header; {CUT_OFF}",
                    self.position
                )
            })?;
        self.position += length;
        Ok(taken)
    }
}

/// An error where two tensors share bytes: writing or reading one would be the other's business.
fn apart(tensors: &[(String, GgufTensor)]) -> Parsed<()> {
    let mut ordered: Vec<_> =
        tensors.iter().filter(|(_, tensor)| !tensor.range.is_empty()).collect();
    ordered.sort_unstable_by_key(|(_, tensor)| tensor.range.start);
    let overlap = ordered.windows(2).find(|pair| pair[0].1.range.end > pair[1].1.range.start);
    match overlap {
        Some(pair) => Err(format!("has the tensors {:?} and {:?} overlap", pair[0].0, pair[1].0)),
        None => Ok(()),
    }
}

/// What to do about a file that has an end where there should be none.
const CUT_OFF: &str = "it was cut off: download it again";
const MAGIC: &[u8] = b"GGUF";
const DEFAULT_ALIGNMENT: usize = 32;
/// The specification asks for a multiple of 8, and blocks must not lie on odd addresses.
const LEAST_ALIGNMENT: usize = 8;
/// ggml allows four; more is a lie.
const MAX_DIMENSIONS: u32 = 4;
/// Arrays of arrays are legal but nobody writes them deeper.
const MAX_NESTING: usize = 4;
