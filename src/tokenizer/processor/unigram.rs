//! The likeliest cut of a text into pieces: `Model::EncodeOptimized` in `unigram_model.cc`.

use std::ops::Range;

use crate::tokenizer::processor::table::{Table, character};
use crate::tokenizer::sentencepiece::PieceKind;

/// The last piece of the best cut of the text so far.
#[derive(Clone, Copy)]
struct Best {
    id: usize,
    score: f32,
    start: usize,
}

/// The pieces of a normalized text, and their ids.
pub(super) fn encode(table: &Table, text: &[u8]) -> Vec<(Range<usize>, usize)> {
    let mut ends: Vec<Option<Best>> = vec![None; text.len() + 1];
    // Of cuts of one score, the first stays. Sums in double precision would break ties otherwise.
    let improve = |end: &mut Option<Best>, best: Best| {
        if end.is_none_or(|end| best.score > end.score) {
            *end = Some(best);
        }
    };
    let mut start = 0;
    while start < text.len() {
        let score_here = ends[start].map_or(0.0, |best| best.score);
        let single = character(&text[start..]);
        let mut has_single = false;
        table.textual.each(&text[start..], |length, id| {
            let score = match table.kind(id) {
                Some(PieceKind::Unused) => return,
                Some(PieceKind::UserDefined) => length as f32 * table.max_score - 0.1,
                _ => table.score(id),
            };
            improve(&mut ends[start + length], Best { id, score: score + score_here, start });
            has_single |= length == single;
        });
        if !has_single {
            let score = table.min_score - UNKNOWN_PENALTY + score_here;
            improve(&mut ends[start + single], Best { id: table.unk_id(), score, start });
        }
        start += single;
    }
    let mut pieces = Vec::new();
    let mut end = text.len();
    while let Some(best) = ends[end].filter(|_| end > 0) {
        pieces.push((best.start..end, best.id));
        end = best.start;
    }
    pieces.reverse();
    pieces
}

const UNKNOWN_PENALTY: f32 = 10.0;
