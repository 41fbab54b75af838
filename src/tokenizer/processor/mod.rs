//! SentencePiece itself: a text to pieces and back, as its C++ library does it.
//!
//! For the classes that transformers never converts to fast ones. Source: `sentencepiece_processor.cc`,
//! <https://github.com/google/sentencepiece>.

mod bpe;
mod normalizer;
mod table;
mod unigram;

use std::ops::Range;

use crate::tokenizer::processor::normalizer::Normalizer;
pub(super) use crate::tokenizer::processor::table::SPACE;
use crate::tokenizer::processor::table::Table;
use crate::tokenizer::sentencepiece::{ModelKind, PieceKind, SpmModel};

/// A loaded model.
pub(super) struct Processor {
    normalizer: Normalizer,
    table: Table,
    kind: ModelKind,
    byte_fallback: bool,
    unk_surface: String,
    strips_first_space: bool,
    strips_all_spaces: bool,
}

/// A piece of a text.
#[derive(Clone)]
pub(super) struct Cut {
    pub(super) piece: String,
    /// The bytes of the text that the piece comes from.
    pub(super) origin: Range<usize>,
}

impl Processor {
    pub(super) fn new(model: SpmModel) -> Result<Self, String> {
        if model.kind == ModelKind::Other {
            return Err("is neither a unigram nor a BPE model".to_owned());
        }
        Ok(Self {
            normalizer: Normalizer::new(&model)?,
            kind: model.kind,
            byte_fallback: model.byte_fallback,
            unk_surface: model.unk_surface,
            strips_first_space: model.add_dummy_prefix || model.remove_extra_whitespaces,
            strips_all_spaces: model.remove_extra_whitespaces,
            table: Table::new(model.pieces)?,
        })
    }

    /// `encode(text, out_type=str)`.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<Cut>, String> {
        let normalized = self.normalizer.normalize(text, self.table.user_defined())?;
        let bytes = normalized.text.as_slice();
        let found = match self.kind {
            ModelKind::Bpe => bpe::encode(&self.table, bytes),
            _ => unigram::encode(&self.table, bytes),
        };
        let mut cuts: Vec<Cut> = Vec::with_capacity(found.len());
        let mut follows_unknown = false;
        for (range, id) in found {
            let is_unknown = self.table.kind(id) == Some(PieceKind::Unknown);
            let origin = normalized.origin(&range);
            if is_unknown && self.byte_fallback {
                let pieces = bytes[range].iter().map(|byte| format!("<0x{byte:02X}>"));
                cuts.extend(pieces.map(|piece| Cut { piece, origin: origin.clone() }));
            } else if let (true, true, Some(last)) = (is_unknown, follows_unknown, cuts.last_mut())
            {
                // A run of unknown characters is one piece.
                last.piece.push_str(&String::from_utf8_lossy(&bytes[range]));
                last.origin.end = origin.end;
            } else {
                let piece = String::from_utf8_lossy(&bytes[range]).into_owned();
                cuts.push(Cut { piece, origin });
            }
            follows_unknown = is_unknown;
        }
        Ok(cuts)
    }

    /// `decode(pieces)`.
    pub(super) fn decode<'a>(&self, pieces: impl IntoIterator<Item = &'a str>) -> String {
        let mut text = String::new();
        let mut bytes = Vec::new();
        let mut is_start = true;
        let mut space_seen = false;
        for piece in pieces {
            let id = self.table.id(piece);
            let kind = self.table.kind(id);
            if kind == Some(PieceKind::Byte) {
                bytes.extend(byte_of(piece));
                continue;
            }
            push_bytes(&mut text, &mut bytes);
            is_start &= !space_seen && text.is_empty();
            space_seen = false;
            match kind {
                Some(PieceKind::Control) => {}
                Some(PieceKind::Unknown) if self.table.piece(id) == Some(piece) => {
                    text.push_str(&self.unk_surface);
                }
                Some(PieceKind::Unknown) | None => text.push_str(piece),
                Some(_) => {
                    let rest =
                        piece.strip_prefix(SPACE).filter(|_| is_start && self.strips_first_space);
                    space_seen = rest.is_some() && !self.strips_all_spaces;
                    text.push_str(&rest.unwrap_or(piece).replace(SPACE, " "));
                }
            }
        }
        push_bytes(&mut text, &mut bytes);
        text
    }

    pub(super) fn piece(&self, id: usize) -> Option<&str> {
        self.table.piece(id)
    }

    /// How many pieces there are.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

/// Appends bytes as characters, each wrong byte as U+FFFD.
fn push_bytes(text: &mut String, bytes: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    bytes.clear();
}

/// `<0xE4>`.
fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok()
}
