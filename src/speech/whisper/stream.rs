//! Segments as they come.

use std::collections::VecDeque;

use crate::error::Result;
use crate::generation::CancelHandle;
use crate::speech::whisper::run::Run;
use crate::speech::whisper::transcription::{AudioProgress, Segment, Transcription};

/// The segments of recordings as they are transcribed, each with the number of its recording:
/// [`Whisper::stream`](super::Whisper::stream). Segments of one recording come in the order of their times.
///
/// Nothing is computed until the next segment is asked for. An error is the last item.
#[derive(Debug)]
pub struct SegmentStream {
    run: Run,
    ready: VecDeque<(usize, Segment)>,
    failed: bool,
}

impl SegmentStream {
    pub(super) fn new(run: Run) -> Self {
        Self { run, ready: VecDeque::new(), failed: false }
    }

    /// How much of all recordings has been transcribed.
    #[must_use]
    pub fn progress(&self) -> AudioProgress {
        self.run.progress()
    }

    /// Ends it from another thread: within the next token, and without the window that is being read.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.run.cancel_handle()
    }

    /// What there is so far of each recording, in their order.
    #[must_use]
    pub fn transcriptions(&self) -> &[Transcription] {
        self.run.transcriptions()
    }

    /// Goes on to the end and returns all of it, the segments that have been taken, too.
    ///
    /// # Errors
    ///
    /// When the model refuses a pass, or the tokenizer cannot decode what it wrote.
    pub fn finish(mut self) -> Result<Vec<Transcription>> {
        while !self.run.is_over() {
            self.run.step()?;
        }
        Ok(self.run.into_transcriptions())
    }
}

impl Iterator for SegmentStream {
    type Item = Result<(usize, Segment)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(segment) = self.ready.pop_front() {
                return Some(Ok(segment));
            }
            if self.failed || self.run.is_over() {
                return None;
            }
            match self.run.step() {
                Ok(segments) => self.ready.extend(segments),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}
