//! The pieces of a model, found by name, by id and as prefixes of a text.

use crate::tokenizer::sentencepiece::{Piece, PieceKind};
use crate::tokenizer::texts::Texts;

/// Every piece.
pub(super) struct Table {
    texts: Texts,
    scores: Vec<f32>,
    kinds: Vec<PieceKind>,
    unk_id: usize,
    /// The pieces that a text can be cut into, in the order of their bytes.
    textual: Vec<u32>,
    /// The pieces that a text is cut around, in the same order.
    user_defined: Vec<u32>,
    /// The lowest score of a normal piece.
    pub(super) min_score: f32,
    /// The highest, and never less than zero.
    pub(super) max_score: f32,
}

/// Some of the pieces, as beginnings of a text.
#[derive(Clone, Copy)]
pub(super) struct Prefixes<'a> {
    texts: &'a Texts,
    /// In the order of their bytes.
    ids: &'a [u32],
}

impl Table {
    pub(super) fn new(pieces: Vec<Piece>) -> Result<Self, String> {
        if let Some(piece) = pieces.iter().find(|piece| piece.text.len() > MOST_PIECE) {
            let length = piece.text.len();
            return Err(format!("has a piece of {length} bytes; {MOST_PIECE} are the limit"));
        }
        let mut texts = Texts::default();
        for piece in &pieces {
            if piece.text.is_empty() || texts.push(&piece.text).is_some() {
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
        texts.shrink();
        let (scores, kinds): (_, Vec<_>) =
            pieces.into_iter().map(|piece| (piece.score, piece.kind)).unzip();
        let textual = ordered(&texts, &kinds, is_textual);
        let user_defined = ordered(&texts, &kinds, |kind| kind == PieceKind::UserDefined);
        Ok(Self { texts, scores, kinds, unk_id, textual, user_defined, min_score, max_score })
    }

    pub(super) fn id(&self, piece: &str) -> usize {
        self.texts.number(piece).map_or(self.unk_id, |id| id as usize)
    }

    pub(super) fn unk_id(&self) -> usize {
        self.unk_id
    }

    /// A piece that a text can be cut into.
    pub(super) fn textual(&self, piece: &[u8]) -> Option<usize> {
        let id = self.texts.number(std::str::from_utf8(piece).ok()?)? as usize;
        self.kind(id).is_some_and(is_textual).then_some(id)
    }

    pub(super) fn piece(&self, id: usize) -> Option<&str> {
        (id < self.len()).then(|| self.texts.text(id as u32))
    }

    pub(super) fn kind(&self, id: usize) -> Option<PieceKind> {
        self.kinds.get(id).copied()
    }

    pub(super) fn score(&self, id: usize) -> f32 {
        self.scores.get(id).copied().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The pieces that a text can be cut into.
    pub(super) fn textual_prefixes(&self) -> Prefixes<'_> {
        Prefixes { texts: &self.texts, ids: &self.textual }
    }

    /// The pieces that a text is cut around.
    pub(super) fn user_defined(&self) -> Prefixes<'_> {
        Prefixes { texts: &self.texts, ids: &self.user_defined }
    }
}

/// Whether a text can be cut into such pieces.
fn is_textual(kind: PieceKind) -> bool {
    matches!(kind, PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused)
}

/// The pieces of some kinds, in the order of their bytes.
fn ordered(texts: &Texts, kinds: &[PieceKind], is_one: impl Fn(PieceKind) -> bool) -> Vec<u32> {
    let all = texts.numbers().zip(kinds).filter(|&(_, &kind)| is_one(kind));
    let mut all: Vec<_> = all.map(|(id, _)| id).collect();
    all.sort_unstable_by_key(|&id| texts.text(id));
    all.shrink_to_fit();
    all
}

impl Prefixes<'_> {
    /// Every piece that `text` begins with, the shortest first: its length and its id.
    pub(super) fn each(self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        // The pieces that begin with the bytes so far; the one that ends with them is the first.
        let mut rest = self.ids;
        for (at, byte) in text.iter().enumerate() {
            let next = |id: u32| self.texts.text(id).as_bytes().get(at).copied();
            let start = rest.partition_point(|&id| next(id) < Some(*byte));
            rest = &rest[start..];
            rest = &rest[..rest.partition_point(|&id| next(id) == Some(*byte))];
            match rest.first() {
                Some(&id) if self.texts.text(id).len() == at + 1 => found(at + 1, id as usize),
                Some(_) => {}
                None => return,
            }
        }
    }

    /// The length of the longest piece that `text` begins with.
    pub(super) fn longest(self, text: &[u8]) -> Option<usize> {
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
