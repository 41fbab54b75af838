//! Speech sentence by sentence.

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::media::Audio;
use crate::pipeline::text_to_speech::output::{SpokenPart, SpokenText};
use crate::pipeline::text_to_speech::work::{Speaking, Voice};
use crate::pipeline::text_to_text::sentences::sentences;
use crate::warning::warn;

/// The sentences of a text as they are spoken, each with the silence before it. Samples are numbered from the
/// beginning of the stream. Where a voice speaks in pieces (`stream_chunk_size`), `parts` come with the last piece of a
/// sentence.
#[derive(Debug)]
pub struct SpeechStream<I> {
    voice: Voice,
    /// `None` at the end of the text.
    pieces: Option<I>,
    /// Sentences that are complete and not spoken yet.
    ready: VecDeque<String>,
    /// What has come in behind these sentences.
    text: String,
    /// A sentence of which more is to come.
    speaking: Option<Speaking>,
    /// The samples so far.
    samples: usize,
    is_done: bool,
}

impl<I: Iterator<Item = Result<String>>> SpeechStream<I> {
    pub(super) fn new(voice: Voice, pieces: I) -> Self {
        let (ready, text) = (VecDeque::new(), String::new());
        let pieces = Some(pieces);
        Self { voice, pieces, ready, text, speaking: None, samples: 0, is_done: false }
    }

    /// Samples per second.
    #[must_use]
    pub fn sampling_rate(&self) -> u32 {
        self.voice.sampling_rate()
    }

    /// The next sentence that is known to be complete.
    fn sentence(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(sentence) = self.ready.pop_front() {
                return Ok(Some(sentence));
            }
            if self.text.len() > MOST_TEXT {
                let reason = "no sentence of the text ends within a million bytes";
                return Err(Error::input(reason));
            }
            match self.pieces.as_mut().map(Iterator::next) {
                None => return Ok(None),
                Some(None) => self.pieces = None,
                Some(Some(piece)) => self.text.push_str(&piece?),
            }
            self.split();
        }
    }

    /// Takes the complete sentences from the text.
    fn split(&mut self) {
        let mut found = sentences(&self.text);
        // What follows may belong to the last one.
        let last = if self.pieces.is_some() { found.pop() } else { None };
        self.ready.extend(found.into_iter().map(str::to_owned));
        let end =
            last.map_or(self.text.len(), |last| last.as_ptr().addr() - self.text.as_ptr().addr());
        self.text.drain(..end);
    }

    fn spoken(&mut self) -> Result<Option<SpokenText>> {
        if let Some(speaking) = self.speaking.take() {
            return self.piece(speaking, Vec::new()).map(Some);
        }
        while let Some(text) = self.sentence()? {
            let Some(sentence) = self.voice.read(&text)? else {
                warn(&format!("there is nothing to speak in {text:?}"));
                continue;
            };
            let pause = self.voice.pause.unwrap_or(PAUSE);
            let silence = if self.samples == 0 { 0 } else { self.voice.silence(pause) };
            let (mut samples, start) = (vec![0.0; silence], self.samples + silence);
            if let Some(speaking) = self.voice.begin(&sentence, start)? {
                return self.piece(speaking, samples).map(Some);
            }
            let (spoken, part) = self.voice.speak(&sentence, start)?;
            samples.extend(spoken);
            return self.heard(samples, vec![part]).map(Some);
        }
        Ok(None)
    }

    /// The next piece of a sentence, behind some samples.
    fn piece(&mut self, mut speaking: Speaking, mut samples: Vec<f32>) -> Result<SpokenText> {
        let (more, is_last) = self.voice.next_piece(&mut speaking)?;
        samples.extend(more);
        if !is_last {
            self.speaking = Some(speaking);
            return self.heard(samples, Vec::new());
        }
        let Speaking { text, start, .. } = speaking;
        let end = self.samples + samples.len();
        let (words, symbols) = (Vec::new(), Vec::new());
        self.heard(samples, vec![SpokenPart { text, start, end, words, symbols }])
    }

    fn heard(&mut self, samples: Vec<f32>, parts: Vec<SpokenPart>) -> Result<SpokenText> {
        self.samples += samples.len();
        let sampling_rate = self.sampling_rate();
        Ok(SpokenText { audio: Audio::new(samples, sampling_rate)?, sampling_rate, parts })
    }
}

impl<I: Iterator<Item = Result<String>>> Iterator for SpeechStream<I> {
    type Item = Result<SpokenText>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let spoken = self.spoken().transpose();
        self.is_done = !matches!(spoken, Some(Ok(_)));
        spoken
    }
}

/// Between sentences, in seconds.
const PAUSE: f64 = 0.3;
/// Of a sentence, in bytes.
const MOST_TEXT: usize = 1 << 20;
