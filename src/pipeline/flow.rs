//! Items in, outputs out, in order and in bounded memory: what every encoder pipeline runs on.
//!
//! Items are taken in chunks of a bounded amount of text. While the model works on one chunk, the
//! next is tokenized on a thread of its own. A chunk's rows are sorted by length and put together
//! to batches of a bounded number of tokens, of which at most an eighth is padding.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use indicatif::ProgressBar;
use rayon::prelude::*;

use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::pipeline::truncation::TruncationReport;
use crate::tokenizer::Encoding;
use crate::warning::warn;

/// What one task does with an item. All of it works through `&self`.
pub(super) trait Work: Send + Sync + 'static {
    type Item: Send + 'static;
    /// What is kept of an item until its rows come back.
    type Kept: Send + 'static;
    /// What the model says about one row.
    type Row;
    type Output;

    /// About how many bytes of text an item has.
    fn size(item: &Self::Item) -> usize;

    /// The rows to run: one, or the windows of a long text. Where one has `overflowing`, the item
    /// counts as cut.
    fn prepare(&self, item: Self::Item) -> Result<(Self::Kept, Vec<Encoding>)>;

    /// Runs the model; one result per row of the batch, whose padding is on the right.
    fn forward(&self, batch: &TokenBatch, rows: &[&Encoding]) -> Result<Vec<Self::Row>>;

    fn finish(&self, kept: Self::Kept, rows: Vec<(Encoding, Self::Row)>) -> Result<Self::Output>;
}

/// Outputs in the order of the items. An item that cannot be used gives an error in its place; a
/// model that fails ends the flow.
pub(super) struct Flow<W: Work, I> {
    work: Arc<W>,
    items: Fuse<I>,
    /// The most rows of a batch.
    batch_size: usize,
    stage: Stage<W>,
    ready: VecDeque<Result<W::Output>>,
    progress: ProgressBar,
    /// Items whose rows have come so far, and how many of them were cut.
    seen: usize,
    cut: usize,
    report: Option<TruncationReport>,
}

type Prepared<W> = Result<(<W as Work>::Kept, Vec<Encoding>)>;

enum Stage<W: Work> {
    Start,
    /// A thread tokenizes; `waiting` chunks are with it.
    Ahead {
        chunks: SyncSender<Vec<W::Item>>,
        prepared: Receiver<Vec<Prepared<W>>>,
        waiting: usize,
    },
    Done,
}

impl<W: Work, I: Iterator<Item = W::Item>> Flow<W, I> {
    pub(super) fn new(
        work: W,
        items: impl IntoIterator<IntoIter = I>,
        batch_size: Option<usize>,
        report: Option<&TruncationReport>,
    ) -> Result<Self> {
        if batch_size == Some(0) {
            return Err(Error::option("batch_size", "should be at least 1"));
        }
        Ok(Self {
            work: Arc::new(work),
            items: items.into_iter().fuse(),
            batch_size: batch_size.unwrap_or(usize::MAX),
            stage: Stage::Start,
            ready: VecDeque::new(),
            progress: ProgressBar::hidden(),
            seen: 0,
            cut: 0,
            report: report.cloned(),
        })
    }

    /// The next items; none at the end.
    fn chunk(&mut self) -> Vec<W::Item> {
        let (mut chunk, mut size) = (Vec::new(), 0);
        while size < CHUNK_BYTES
            && chunk.len() < CHUNK_ITEMS
            && let Some(item) = self.items.next()
        {
            size += W::size(&item);
            chunk.push(item);
        }
        chunk
    }

    /// The next chunk, tokenized. A short input needs no thread.
    fn next_prepared(&mut self) -> Option<Vec<Prepared<W>>> {
        if let Stage::Start = self.stage {
            let first = self.chunk();
            let second = self.chunk();
            if second.is_empty() {
                self.stage = Stage::Done;
                let prepared = first.into_par_iter().map(|item| self.work.prepare(item));
                return Some(prepared.collect()).filter(|prepared: &Vec<_>| !prepared.is_empty());
            }
            let (chunks, taken) = sync_channel::<Vec<W::Item>>(2);
            let (give, prepared) = sync_channel(2);
            let work = Arc::clone(&self.work);
            thread::spawn(move || {
                for chunk in taken {
                    let rows = chunk.into_iter().map(|item| work.prepare(item)).collect();
                    if give.send(rows).is_err() {
                        break;
                    }
                }
            });
            let length = self.items.size_hint().1;
            let length = length.map(|rest| rest + first.len() + second.len());
            // Draws nothing where stderr is no terminal.
            self.progress = length.map_or_else(ProgressBar::new_spinner, |length| {
                ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX))
            });
            let _ = chunks.send(first);
            let _ = chunks.send(second);
            self.stage = Stage::Ahead { chunks, prepared, waiting: 2 };
        } else {
            let chunk = self.chunk();
            if let Stage::Ahead { chunks, waiting, .. } = &mut self.stage
                && !chunk.is_empty()
                && chunks.send(chunk).is_ok()
            {
                *waiting += 1;
            }
        }
        match &mut self.stage {
            Stage::Ahead { prepared, waiting, .. } if *waiting > 0 => {
                *waiting -= 1;
                let prepared = prepared.recv();
                Some(prepared.unwrap_or_else(|_| vec![Err(Error::tokenizer("its thread died"))]))
            }
            _ => None,
        }
    }

    fn run(&mut self, prepared: Vec<Prepared<W>>) {
        let mut items = Vec::with_capacity(prepared.len());
        let mut rows = Vec::new();
        for (number, item) in prepared.into_iter().enumerate() {
            if let Ok((_, encodings)) = &item
                && let Some(row) = encodings.iter().find(|row| !row.overflowing.is_empty())
            {
                self.note_cut(self.seen + number, row.len());
            }
            items.push(item.map(|(kept, encodings)| {
                let count = encodings.len();
                rows.extend(encodings.into_iter().map(|encoding| (number, encoding)));
                (kept, count)
            }));
        }
        self.seen += items.len();
        let encodings: Vec<&Encoding> = rows.iter().map(|(_, encoding)| encoding).collect();
        let results = match self.results(&encodings) {
            Ok(results) => results,
            Err(error) => {
                self.stage = Stage::Done;
                self.ready.push_back(Err(error));
                return;
            }
        };
        let mut rows = rows.into_iter().map(|(_, encoding)| encoding).zip(results);
        for item in items {
            let output = item.and_then(|(kept, count)| {
                self.work.finish(kept, rows.by_ref().take(count).collect())
            });
            self.ready.push_back(output);
        }
        self.progress.inc(self.ready.len() as u64);
    }

    fn note_cut(&mut self, item: usize, tokens: usize) {
        if self.cut == 0 {
            warn(&format!("text {item} is cut to {tokens} tokens: the rest is not read"));
        }
        self.cut += 1;
        if let Some(report) = &self.report {
            report.add(item);
        }
    }

    /// One result per row, in the order of the rows.
    fn results(&self, rows: &[&Encoding]) -> Result<Vec<W::Row>> {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(rows[row].len()));
        let lengths: Vec<usize> = order.iter().map(|&row| rows[row].len()).collect();
        let mut results: Vec<Option<W::Row>> = rows.iter().map(|_| None).collect();
        let mut start = 0;
        while start < order.len() {
            let end = start + batch_rows(&lengths[start..], self.batch_size);
            let batch: Vec<&Encoding> = order[start..end].iter().map(|&row| rows[row]).collect();
            let found = self.work.forward(&token_batch(&batch)?, &batch)?;
            for (&row, result) in order[start..end].iter().zip(found) {
                results[row] = Some(result);
            }
            start = end;
        }
        let missing = || Error::input("the model gave fewer rows than it was given");
        results.into_iter().map(|row| row.ok_or_else(missing)).collect()
    }
}

impl<W: Work, I: Iterator<Item = W::Item>> Iterator for Flow<W, I> {
    type Item = Result<W::Output>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(output) = self.ready.pop_front() {
                return Some(output);
            }
            let Some(prepared) = self.next_prepared() else {
                self.progress.finish_and_clear();
                let cut = std::mem::take(&mut self.cut);
                if cut > 1 {
                    warn(&format!("{cut} of {} texts were cut", self.seen));
                }
                return None;
            };
            self.run(prepared);
        }
    }
}

/// How many of the rows, whose lengths fall, make the next batch.
fn batch_rows(lengths: &[usize], batch_size: usize) -> usize {
    let Some(&longest) = lengths.first() else { return 0 };
    let mut filled = longest;
    let mut rows = 1;
    while rows < batch_size.min(lengths.len()) {
        let (padded, more) = ((rows + 1) * longest, filled + lengths[rows]);
        let wasteful = padded > SMALL_BATCH && (padded - more) * 8 > padded;
        if padded > BATCH_TOKENS || wasteful {
            break;
        }
        filled = more;
        rows += 1;
    }
    rows
}

/// Rows padded on the right. Padding is masked, so its id does not matter.
fn token_batch(rows: &[&Encoding]) -> Result<TokenBatch> {
    let ids: Vec<Vec<u32>> = rows.iter().map(|row| row.ids.clone()).collect();
    let batch = TokenBatch::padded(&ids, 0, PaddingSide::Right)?;
    let mut types = Vec::with_capacity(batch.ids().len());
    for row in rows {
        types.extend(&row.type_ids);
        types.extend(std::iter::repeat_n(0, batch.tokens() - row.len()));
    }
    batch.with_type_ids(types)
}

/// A chunk ends at this much text or this many items.
const CHUNK_BYTES: usize = 1 << 16;
const CHUNK_ITEMS: usize = 1024;
/// The most tokens of a batch of several rows.
const BATCH_TOKENS: usize = 2048;
/// Below this, one pass with padding is faster than several without.
const SMALL_BATCH: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_little_padding_and_few_tokens() {
        assert_eq!(batch_rows(&[20, 6, 5], 8), 3);
        assert_eq!(batch_rows(&[400, 390, 100], 8), 2);
        assert_eq!(batch_rows(&[512; 9], 8), 4);
        assert_eq!(batch_rows(&[10; 9], 2), 2);
        assert_eq!(batch_rows(&[9000, 1], 8), 1);
    }
}
