//! Merging the best pair of neighbours until no pair is a piece: `bpe_model.cc`.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use crate::tokenizer::processor::table::{Table, character};
use crate::tokenizer::sentencepiece::PieceKind;

/// A part of the text, in a list linked by indices.
struct Symbol {
    range: Range<usize>,
    before: Option<usize>,
    after: Option<usize>,
    /// A piece that the text is cut around is never merged.
    is_frozen: bool,
}

/// Two neighbours that make a piece.
struct Pair {
    left: usize,
    right: usize,
    score: f32,
    length: usize,
}

impl Ord for Pair {
    /// The better score first, then the pair further left.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pair {}

/// The work on one text.
struct Merging<'a> {
    table: &'a Table,
    text: &'a [u8],
    symbols: Vec<Symbol>,
    pairs: BinaryHeap<Pair>,
    /// Where unused pieces were put together: they are taken apart again at the end.
    unused: HashMap<&'a [u8], usize>,
}

/// The pieces of a normalized text, and their ids.
pub(super) fn encode(table: &Table, text: &[u8]) -> Vec<(Range<usize>, usize)> {
    let mut symbols = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let frozen = table.user_defined().longest(&text[start..]);
        let end = start + frozen.unwrap_or_else(|| character(&text[start..]));
        let index = symbols.len();
        symbols.push(Symbol {
            range: start..end,
            before: index.checked_sub(1),
            after: (end < text.len()).then_some(index + 1),
            is_frozen: frozen.is_some(),
        });
        start = end;
    }
    let pairs = BinaryHeap::new();
    let mut merging = Merging { table, text, symbols, pairs, unused: HashMap::new() };
    for right in 1..merging.symbols.len() {
        merging.consider(Some(right - 1), Some(right));
    }
    merging.run();
    let mut pieces = Vec::new();
    let mut next = (!merging.symbols.is_empty()).then_some(0);
    while let Some(index) = next {
        let symbol = &merging.symbols[index];
        merging.take_apart(symbol.range.clone(), &mut pieces);
        next = symbol.after;
    }
    pieces
}

impl<'a> Merging<'a> {
    /// Notes two neighbours if they make a piece.
    fn consider(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else { return };
        let (first, second) = (&self.symbols[left], &self.symbols[right]);
        if first.is_frozen || second.is_frozen {
            return;
        }
        let (text, middle) = (self.text, first.range.end - first.range.start);
        let piece = &text[first.range.start..second.range.end];
        let Some(id) = self.table.textual(piece) else { return };
        self.pairs.push(Pair { left, right, score: self.table.score(id), length: piece.len() });
        if self.table.kind(id) == Some(PieceKind::Unused) {
            self.unused.insert(piece, middle);
        }
    }

    fn run(&mut self) {
        while let Some(Pair { left, right, length, .. }) = self.pairs.pop() {
            let (first, second) = (&self.symbols[left].range, &self.symbols[right].range);
            // One of the two was merged with something else in the meantime.
            if first.is_empty() || second.is_empty() || first.len() + second.len() != length {
                continue;
            }
            let (end, after) = (second.end, self.symbols[right].after);
            self.symbols[right].range = end..end;
            self.symbols[left].range.end = end;
            self.symbols[left].after = after;
            if let Some(after) = after {
                self.symbols[after].before = Some(left);
            }
            self.consider(self.symbols[left].before, Some(left));
            self.consider(Some(left), after);
        }
    }

    /// An unused piece becomes the two that it was put together from, and so on.
    fn take_apart(&self, range: Range<usize>, pieces: &mut Vec<(Range<usize>, usize)>) {
        let mut waiting = vec![range];
        while let Some(range) = waiting.pop() {
            let piece = &self.text[range.clone()];
            let id = self.table.textual(piece).unwrap_or_else(|| self.table.unk_id());
            let is_unused = self.table.kind(id) == Some(PieceKind::Unused);
            match self.unused.get(piece).filter(|_| is_unused) {
                Some(middle) => {
                    let middle = range.start + middle;
                    waiting.extend([middle..range.end, range.start..middle]);
                }
                None => pieces.push((range, id)),
            }
        }
    }
}
