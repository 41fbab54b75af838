//! Items in, outputs out, in order and in bounded memory: what every task runs on.
//!
//! Items are taken in chunks of a bounded size. While the model works on one chunk, the next is prepared
//! on a thread of its own. A chunk's rows are put together by length to batches of a bounded size.

use std::collections::VecDeque;
use std::iter::Fuse;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use indicatif::ProgressBar;
use rayon::prelude::*;

use crate::batch::{Budget, by_length};
use crate::error::{Error, Result};
use crate::pipeline::options::{CallOptions, Progress};
use crate::warning::warn;

/// What has a length, by which work is shared out: an item in bytes, a row in tokens or frames.
pub(super) trait Measured {
    fn length(&self) -> usize;

    /// Whether there was more of it, which is not read.
    fn is_cut(&self) -> bool {
        false
    }
}

/// What one call of a task does with an item, whatever its rows are: tokens, frames, pixels.
pub(super) trait Work: Send + Sync + 'static {
    type Item: Measured + Send + 'static;
    /// What is kept of an item until its rows come back.
    type Kept: Send + 'static;
    /// What the model reads.
    type Row: Measured + Send + 'static;
    /// What the model says about one row.
    type Answer;
    type Output;

    /// How much is prepared and run at once.
    fn pace(&self, batch_size: Option<usize>) -> Pace {
        Pace::of_rows(batch_size.unwrap_or(usize::MAX))
    }

    /// The rows to run: one, or the first windows of a long text. Where one is cut, the item counts as cut.
    fn prepare(&self, item: Self::Item) -> Result<(Self::Kept, Vec<Self::Row>)>;

    /// Runs the model; one answer per row.
    fn forward(&self, rows: &[&Self::Row]) -> Result<Vec<Self::Answer>>;

    /// The next rows of a long item, after what the model says about those before is taken from `read`
    /// into `kept`; none at the end.
    fn next_rows(
        &self,
        _kept: &mut Self::Kept,
        _read: &mut Vec<(Self::Row, Self::Answer)>,
    ) -> Result<Vec<Self::Row>> {
        Ok(Vec::new())
    }

    fn finish(
        &self,
        kept: Self::Kept,
        rows: Vec<(Self::Row, Self::Answer)>,
    ) -> Result<Self::Output>;
}

/// How much is prepared and run at once.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// A chunk ends at so many items.
    pub(super) items: usize,
    /// And at such a length of them together.
    pub(super) length: usize,
    /// Of a pass of the model.
    pub(super) batch: Budget,
}

impl Pace {
    /// Each item alone.
    #[cfg(any(feature = "audio", feature = "image"))]
    pub(super) fn one_by_one() -> Self {
        let batch = Budget { rows: 1, tokens: usize::MAX, may_be_loose: usize::MAX };
        Self { items: 1, length: 1, batch }
    }

    /// For models that read a row in one pass.
    fn of_rows(rows: usize) -> Self {
        let batch = Budget { rows, tokens: 2048, may_be_loose: 256 };
        Self { items: 1024, length: 1 << 16, batch }
    }
}

/// Outputs in the order of the items. An item that cannot be used gives an error in its place; a
/// model that fails ends the flow.
pub(super) struct Flow<W: Work, I> {
    work: Arc<W>,
    items: Fuse<I>,
    pace: Pace,
    stage: Stage<W>,
    ready: VecDeque<Result<W::Output>>,
    call: CallOptions,
    bar: ProgressBar,
    /// How many items there are, where that is known.
    count: Option<usize>,
    /// Items whose rows have come so far, and how many of them were cut.
    seen: usize,
    cut: usize,
}

type Prepared<W> = Result<(<W as Work>::Kept, Vec<<W as Work>::Row>)>;

enum Stage<W: Work> {
    Start,
    /// A thread prepares; `waiting` chunks are with it.
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
        call: CallOptions,
    ) -> Result<Self> {
        if call.batch_size == Some(0) {
            return Err(Error::option("batch_size", "should be at least 1"));
        }
        Ok(Self {
            pace: work.pace(call.batch_size),
            work: Arc::new(work),
            items: items.into_iter().fuse(),
            stage: Stage::Start,
            ready: VecDeque::new(),
            call,
            bar: ProgressBar::hidden(),
            count: None,
            seen: 0,
            cut: 0,
        })
    }

    /// The next items; none at the end.
    fn chunk(&mut self) -> Vec<W::Item> {
        let (mut chunk, mut length) = (Vec::new(), 0);
        while length < self.pace.length
            && chunk.len() < self.pace.items
            && let Some(item) = self.items.next()
        {
            length += item.length();
            chunk.push(item);
        }
        chunk
    }

    /// The next chunk, prepared. A short input needs no thread.
    fn next_prepared(&mut self) -> Option<Vec<Prepared<W>>> {
        if let Stage::Start = self.stage {
            let first = self.chunk();
            let second = self.chunk();
            let rest = self.items.size_hint().1;
            self.count = rest.map(|rest| rest + first.len() + second.len());
            if second.is_empty() {
                self.stage = Stage::Done;
                let (work, call) = (&self.work, &self.call);
                let prepared = first.into_par_iter();
                let prepared = prepared.map(|item| call.check().and_then(|()| work.prepare(item)));
                return Some(prepared.collect()).filter(|prepared: &Vec<_>| !prepared.is_empty());
            }
            let (chunks, taken) = sync_channel::<Vec<W::Item>>(2);
            let (give, prepared) = sync_channel(2);
            let (work, call) = (Arc::clone(&self.work), self.call.clone());
            thread::spawn(move || {
                for chunk in taken {
                    let prepared = |item| call.check().and_then(|()| work.prepare(item));
                    let rows = chunk.into_iter().map(prepared).collect();
                    if give.send(rows).is_err() {
                        break;
                    }
                }
            });
            if let Progress::Bar = self.call.progress {
                // Draws nothing where stderr is no terminal.
                self.bar = self.count.map_or_else(ProgressBar::new_spinner, |count| {
                    ProgressBar::new(u64::try_from(count).unwrap_or(u64::MAX))
                });
            }
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
            items.push(item.map(|(kept, own)| {
                if let Some(row) = own.iter().find(|row| row.is_cut()) {
                    self.note_cut(self.seen + number, row.length());
                }
                let count = own.len();
                rows.extend(own);
                (kept, count)
            }));
        }
        self.seen += items.len();
        let outputs = self.read(rows).and_then(|rows| {
            let mut rows = rows.into_iter();
            for item in items {
                let output = match item {
                    Ok((kept, count)) => self.finish(kept, rows.by_ref().take(count).collect())?,
                    Err(error) => Err(error),
                };
                self.ready.push_back(output);
            }
            Ok(())
        });
        if let Err(error) = outputs {
            self.stage = Stage::Done;
            self.ready.push_back(Err(error));
            return;
        }
        match &self.call.progress {
            Progress::Call(told) => told(self.seen, self.count),
            Progress::Bar | Progress::Off => self.bar.set_position(self.seen as u64),
        }
    }

    /// What the model says about rows; an error ends the flow.
    fn read(&self, rows: Vec<W::Row>) -> Result<Vec<(W::Row, W::Answer)>> {
        let lengths: Vec<usize> = rows.iter().map(Measured::length).collect();
        let answers = by_length(&lengths, self.pace.batch, |batch| {
            self.call.check()?;
            self.work.forward(&batch.iter().map(|&row| &rows[row]).collect::<Vec<_>>())
        })?;
        Ok(rows.into_iter().zip(answers).collect())
    }

    /// The output of an item, whose other rows are read first, or its own error; one of the model ends
    /// the flow.
    fn finish(
        &self,
        mut kept: W::Kept,
        mut read: Vec<(W::Row, W::Answer)>,
    ) -> Result<Result<W::Output>> {
        loop {
            match self.work.next_rows(&mut kept, &mut read) {
                Ok(rows) if rows.is_empty() => return Ok(self.work.finish(kept, read)),
                Ok(rows) => read.extend(self.read(rows)?),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn note_cut(&mut self, item: usize, length: usize) {
        if self.cut == 0 {
            warn(&format!("text {item} is cut to {length} tokens: the rest is not read"));
        }
        self.cut += 1;
        if let Some(report) = &self.call.truncation_report {
            report.add(item);
        }
    }
}

impl<W: Work, I: Iterator<Item = W::Item>> Iterator for Flow<W, I> {
    type Item = Result<W::Output>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(output) = self.ready.pop_front() {
                return Some(output);
            }
            if let (Err(error), Stage::Start | Stage::Ahead { .. }) =
                (self.call.check(), &self.stage)
            {
                self.stage = Stage::Done;
                return Some(Err(error));
            }
            let Some(prepared) = self.next_prepared() else {
                self.bar.finish_and_clear();
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

impl Measured for String {
    fn length(&self) -> usize {
        self.len()
    }
}
