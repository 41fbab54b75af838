//! The pieces of a model, found by name, by id and as prefixes of a text.

use std::collections::HashMap;

use crate::tokenizer::sentencepiece::{Piece, PieceKind};

/// Every piece.
pub(super) struct Table {
    pieces: Vec<Piece>,
    ids: HashMap<String, usize>,
    unk_id: usize,
    /// The pieces that a text can be cut into.
    pub(super) textual: Prefixes,
    /// The pieces that a text is cut around.
    pub(super) user_defined: Prefixes,
    /// The lowest score of a normal piece.
    pub(super) min_score: f32,
    /// The highest, and never less than zero.
    pub(super) max_score: f32,
}

/// Pieces in the order of their bytes.
pub(super) struct Prefixes(Vec<(String, usize)>);

impl Table {
    pub(super) fn new(pieces: Vec<Piece>) -> Result<Self, String> {
        if let Some(piece) = pieces.iter().find(|piece| piece.text.len() > MOST_PIECE) {
            let length = piece.text.len();
            return Err(format!("has a piece of {length} bytes; {MOST_PIECE} are the limit"));
        }
        let mut ids = HashMap::with_capacity(pieces.len());
        for (id, piece) in pieces.iter().enumerate() {
            if piece.text.is_empty() || ids.insert(piece.text.clone(), id).is_some() {
                return Err(format!("has the piece {:?} twice, or an empty one", piece.text));
            }
        }
        let unk_id = pieces.iter().position(|piece| piece.kind == PieceKind::Unknown);
        let unk_id = unk_id.ok_or("has no piece for unknown characters")?;
        let normal = pieces.iter().filter(|piece| piece.kind == PieceKind::Normal);
        let scores = normal.map(|piece| piece.score);
        let (min_score, max_score) = scores
            .fold((f32::MAX, f32::MIN_POSITIVE), |(min, max), score| {
                (min.min(score), max.max(score))
            });
        let textual = Prefixes::new(&pieces, |kind| {
            matches!(kind, PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused)
        });
        let user_defined = Prefixes::new(&pieces, |kind| kind == PieceKind::UserDefined);
        Ok(Self { pieces, ids, unk_id, textual, user_defined, min_score, max_score })
    }

    pub(super) fn id(&self, piece: &str) -> usize {
        self.ids.get(piece).copied().unwrap_or(self.unk_id)
    }

    pub(super) fn unk_id(&self) -> usize {
        self.unk_id
    }

    /// A piece that a text can be cut into.
    pub(super) fn textual(&self, piece: &[u8]) -> Option<usize> {
        let id = *self.ids.get(std::str::from_utf8(piece).ok()?)?;
        let kind = self.pieces[id].kind;
        matches!(kind, PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused).then_some(id)
    }

    pub(super) fn piece(&self, id: usize) -> Option<&str> {
        self.pieces.get(id).map(|piece| piece.text.as_str())
    }

    pub(super) fn kind(&self, id: usize) -> Option<PieceKind> {
        self.pieces.get(id).map(|piece| piece.kind)
    }

    pub(super) fn score(&self, id: usize) -> f32 {
        self.pieces.get(id).map_or(0.0, |piece| piece.score)
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }
}

impl Prefixes {
    fn new(pieces: &[Piece], is_one: impl Fn(PieceKind) -> bool) -> Self {
        let all = pieces.iter().zip(0..).filter(|(piece, _)| is_one(piece.kind));
        let mut all: Vec<_> = all.map(|(piece, id)| (piece.text.clone(), id)).collect();
        all.sort_unstable();
        Self(all)
    }

    /// Every piece that `text` begins with, the shortest first: its length and its id.
    pub(super) fn each(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        // The pieces that begin with the bytes so far; the one that ends with them is the first.
        let mut rest = self.0.as_slice();
        for (at, byte) in text.iter().enumerate() {
            let next = |(piece, _): &(String, usize)| piece.as_bytes().get(at).copied();
            let start = rest.partition_point(|piece| next(piece) < Some(*byte));
            rest = &rest[start..];
            rest = &rest[..rest.partition_point(|piece| next(piece) == Some(*byte))];
            match rest.first() {
                Some((piece, id)) if piece.len() == at + 1 => found(at + 1, *id),
                Some(_) => {}
                None => return,
            }
        }
    }

    /// The length of the longest piece that `text` begins with.
    pub(super) fn longest(&self, text: &[u8]) -> Option<usize> {
        let mut longest = None;
        self.each(text, |length, _| longest = Some(length));
        longest
    }
}

/// The bytes of the character at the beginning of a text, by its first byte.
pub(super) fn character(text: &[u8]) -> usize {
    let length = match text.first() {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        Some(0xc0..) => 2,
        _ => 1,
    };
    length.min(text.len())
}

/// How a space is written in pieces.
pub(in crate::tokenizer) const SPACE: char = '▁';

/// In bytes. Real pieces have 16 characters, or a few times as many.
const MOST_PIECE: usize = 1024;
