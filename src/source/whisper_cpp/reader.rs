//! The layout of the file, byte by byte.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::source::ggml::GgmlType;

/// `ggml` in the order of its letters.
pub(super) const MAGIC: u32 = 0x6767_6d6c;

/// All but the tensors themselves.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) sizes: Sizes,
    /// Where the bytes of each token lie.
    pub(super) words: Vec<Range<usize>>,
    pub(super) tensors: BTreeMap<String, Tensor>,
}

/// A tensor of such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tensor {
    /// Rows first, as in PyTorch (the file stores the reverse order).
    pub(crate) shape: Vec<usize>,
    /// ggml's number for the element type.
    pub(crate) ggml_type: u32,
    /// Its bytes; empty where the element type is unknown.
    pub(crate) range: Range<usize>,
}

/// `whisper_hparams`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) vocab: usize,
    pub(super) audio_positions: usize,
    pub(super) audio_hidden: usize,
    pub(super) audio_heads: usize,
    pub(super) audio_layers: usize,
    pub(super) text_positions: usize,
    pub(super) text_hidden: usize,
    pub(super) text_heads: usize,
    pub(super) text_layers: usize,
    pub(super) mel_bins: usize,
}

impl Sizes {
    /// Of `whisper_hparams` by their names, which are asked for in the order of whisper.cpp's files.
    pub(super) fn read(mut number: impl FnMut(&str) -> Parsed<usize>) -> Parsed<Self> {
        let mut size = |name: &str| {
            let size = number(name)?;
            let possible = (1..1 << 20).contains(&size);
            possible.then_some(size).ok_or_else(|| format!("has {name} {size}"))
        };
        Ok(Self {
            vocab: size("n_vocab")?,
            audio_positions: size("n_audio_ctx")?,
            audio_hidden: size("n_audio_state")?,
            audio_heads: size("n_audio_head")?,
            audio_layers: size("n_audio_layer")?,
            text_positions: size("n_text_ctx")?,
            text_hidden: size("n_text_state")?,
            text_heads: size("n_text_head")?,
            text_layers: size("n_text_layer")?,
            mel_bins: size("n_mels")?,
        })
    }
}

/// Reasons are completed with the file's name by the caller.
pub(super) type Parsed<T> = std::result::Result<T, String>;

/// Reads all but the tensors themselves.
pub(super) fn header(bytes: &[u8]) -> Parsed<Header> {
    let mut reader = Reader { bytes, position: 0 };
    if reader.number()? != MAGIC {
        return Err("is not a file of whisper.cpp: it begins otherwise".to_owned());
    }
    let sizes = Sizes::read(|_| Ok(reader.number()? as usize))?;
    if sizes.audio_hidden != sizes.text_hidden {
        let [audio, text] = [sizes.audio_hidden, sizes.text_hidden];
        return Err(format!(
            "has n_audio_state {audio} and n_text_state {text}, which are the same"
        ));
    }
    // Of most tensors; each says its own.
    let _element_type = reader.number()?;
    // The filters of the features, which follow from their number.
    let (filters, bins) = (reader.number()? as usize, reader.number()? as usize);
    reader.take(filters.checked_mul(bins).and_then(|count| count.checked_mul(4)))?;
    let count = reader.number()? as usize;
    if count > sizes.vocab {
        return Err(format!("has {count} words for a vocabulary of {}", sizes.vocab));
    }
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let length = reader.number()? as usize;
        words.push(reader.take(Some(length))?);
    }
    let mut tensors = BTreeMap::new();
    while reader.position < bytes.len() {
        let (name, tensor) = reader.tensor()?;
        if tensors.contains_key(&name) {
            return Err(format!("holds the tensor {name:?} twice"));
        }
        tensors.insert(name, tensor);
    }
    Ok(Header { sizes, words, tensors })
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Reader<'_> {
    fn tensor(&mut self) -> Parsed<(String, Tensor)> {
        let [dimensions, length, ggml_type] = [self.number()?, self.number()?, self.number()?];
        if !(1..=4).contains(&dimensions) {
            return Err(format!("holds a tensor of {dimensions} dimensions at {}", self.position));
        }
        let shape = (0..dimensions).map(|_| Ok(self.number()? as usize));
        let mut shape = shape.collect::<Parsed<Vec<_>>>()?;
        shape.reverse();
        let name = self.take(Some(length as usize))?;
        let name = std::str::from_utf8(&self.bytes[name])
            .map_err(|error| format!("holds a tensor whose name is no text: {error}"))?
            .to_owned();
        let kind = GgmlType::from_number(ggml_type)
            .ok_or_else(|| format!("holds the tensor {name:?} of an unknown type {ggml_type}"))?;
        let blocks = kind.length(&shape).ok_or_else(|| {
            let GgmlType { name: kind, weights, .. } = kind;
            format!("holds the tensor {name:?} {shape:?}, whose rows are no whole blocks of {weights} {kind}")
        })?;
        let range =
            self.take(Some(blocks)).map_err(|reason| format!("{reason} (tensor {name:?})"))?;
        Ok((name, Tensor { shape, ggml_type, range }))
    }

    fn number(&mut self) -> Parsed<u32> {
        let range = self.take(Some(4))?;
        let mut number = [0; 4];
        number.copy_from_slice(&self.bytes[range]);
        Ok(u32::from_le_bytes(number))
    }

    /// So many bytes; `None` for more than there can be.
    fn take(&mut self, length: Option<usize>) -> Parsed<Range<usize>> {
        let end = length.and_then(|length| self.position.checked_add(length));
        match end.filter(|&end| end <= self.bytes.len()) {
            Some(end) => {
                let range = self.position..end;
                self.position = end;
                Ok(range)
            }
            None => Err(format!(
                "ends in the middle, after {} bytes: it was cut off; download it again",
                self.bytes.len()
            )),
        }
    }
}
