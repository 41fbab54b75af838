//! The likeliest cut of a text into pieces: `Model::EncodeOptimized` in `unigram_model.cc`.

use std::ops::Range;

use crate::tokenizer::processor::table::{Table, character};
use crate::tokenizer::sentencepiece::PieceKind;

/// The last piece of the best cut of the text so far. A text of megabytes has one for each byte.
#[derive(Clone, Copy)]
struct Best {
    id: u32,
    score: f32,
    start: u32,
}

/// No cut ends here.
const NONE: Best = Best { id: 0, score: f32::NEG_INFINITY, start: u32::MAX };

/// The pieces of a normalized text, and their ids.
pub(super) fn encode(table: &Table, text: &[u8]) -> Vec<(Range<usize>, usize)> {
    let mut ends = vec![NONE; text.len() + 1];
    // Of cuts of one score, the first stays. Sums in double precision would break ties otherwise.
    let improve = |end: &mut Best, id: usize, score: f32, start: usize| {
        if end.start == NONE.start || score > end.score {
            *end = Best { id: id as u32, score, start: start as u32 };
        }
    };
    let mut start = 0;
    while start < text.len() {
        let score_here = if start == 0 { 0.0 } else { ends[start].score };
        let single = character(&text[start..]);
        let mut has_single = false;
        table.textual_prefixes().each(&text[start..], |length, id| {
            let score = match table.kind(id) {
                Some(PieceKind::Unused) => return,
                Some(PieceKind::UserDefined) => length as f32 * table.max_score - 0.1,
                _ => table.score(id),
            };
            improve(&mut ends[start + length], id, score + score_here, start);
            has_single |= length == single;
        });
        if !has_single {
            let score = table.min_score - UNKNOWN_PENALTY + score_here;
            improve(&mut ends[start + single], table.unk_id(), score, start);
        }
        start += single;
    }
    let mut pieces = Vec::new();
    let mut end = text.len();
    while end > 0 && ends[end].start != NONE.start {
        let Best { id, start, .. } = ends[end];
        pieces.push((start as usize..end, id as usize));
        end = start as usize;
    }
    pieces.reverse();
    pieces
}

const UNKNOWN_PENALTY: f32 = 10.0;
