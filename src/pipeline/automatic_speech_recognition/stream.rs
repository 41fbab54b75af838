//! Segments of one recording, as they come.

use std::collections::VecDeque;

use crate::error::Result;
use crate::generation::CancelHandle;
use crate::pipeline::audio_input::AudioInput;
use crate::pipeline::automatic_speech_recognition::model::{
    AutomaticSpeechRecognitionPipeline, Engine, SpeechModel,
};
use crate::pipeline::automatic_speech_recognition::options::{
    AutomaticSpeechRecognitionOptions, ReturnTimestamps,
};
use crate::pipeline::automatic_speech_recognition::rows::{PartStream, Row};
#[cfg(feature = "remote")]
use crate::pipeline::automatic_speech_recognition::served::Pending;
use crate::pipeline::automatic_speech_recognition::work::{Answer, Hearing};
use crate::pipeline::automatic_speech_recognition::written;
use crate::speech::speakers::SpeakerTurn;
use crate::speech::transcript::{Segment, Word};
use crate::speech::whisper::{self, AudioProgress};
use crate::speech::{AsrMerge, language_name};

/// The segments of one recording, while it is transcribed:
/// [`stream_segments`](super::AutomaticSpeechRecognitionPipeline::stream_segments). They come in the order of
/// their times. An error is the last item.
#[derive(Debug)]
pub struct TranscriptStream {
    source: Source,
    ready: VecDeque<Segment>,
    /// Who speaks when, where that is asked for.
    turns: Option<Vec<SpeakerTurn>>,
    cancel: CancelHandle,
    progress: AudioProgress,
    has_failed: bool,
}

#[derive(Debug)]
enum Source {
    /// Whisper reads window after window.
    Windows(Box<whisper::SegmentStream>, ReturnTimestamps),
    /// Chunks are read as they are needed, and put together.
    Chunks(Box<Hearing>, PartStream, Box<AsrMerge>),
    /// Other models give all at once.
    Whole(Box<Hearing>, Box<Row>),
    /// And so do services.
    #[cfg(feature = "remote")]
    Served(Box<Pending>),
    End,
}

impl AutomaticSpeechRecognitionPipeline {
    /// What is said in one recording, segment by segment, while it is transcribed. Only Whisper writes
    /// segments before it has heard everything: without chunks after each window, and else after each batch
    /// of chunks. A service is asked when the first segment is, and gives all at once.
    ///
    /// # Errors
    ///
    /// When an option is invalid, or the recording cannot be read.
    pub fn stream_segments(
        &self,
        input: impl Into<AudioInput>,
        options: &AutomaticSpeechRecognitionOptions,
    ) -> Result<TranscriptStream> {
        match &self.engine {
            Engine::Local(local) => {
                TranscriptStream::new(Hearing::new(local, options)?, input.into())
            }
            #[cfg(feature = "remote")]
            Engine::Served(served) => {
                let cancel = options.cancel.clone().or_else(|| options.generate.cancel.clone());
                let cancel = cancel.unwrap_or_default();
                let asking = served.work(&options.clone().cancel(cancel.clone()))?;
                let pending = Pending::new(asking, input.into())?;
                let nothing = AudioProgress { done: 0.0, total: 0.0 };
                Ok(TranscriptStream::of(Source::Served(Box::new(pending)), cancel, nothing))
            }
        }
    }
}

impl TranscriptStream {
    fn new(mut hearing: Hearing, input: AudioInput) -> Result<Self> {
        let cancel = hearing.cancel().cloned().unwrap_or_default();
        hearing.generate.cancel = Some(cancel.clone());
        hearing.options.cancel = Some(cancel.clone());
        let names_speakers = hearing.options.diarizer.is_some();
        let (turns, input) = hearing.turns(input)?;
        let row = hearing.row(input)?;
        let total = row.seconds();
        let source = match &hearing.pipeline.parts.model {
            SpeechModel::Whisper { whisper, time_precision } => match hearing.chunking {
                Some(_) => {
                    let level = written::level(hearing.timestamps);
                    let merge = AsrMerge::new(whisper.tokenizer(), level, *time_precision);
                    Source::Chunks(Box::new(hearing), row.parts(), Box::new(merge))
                }
                None => {
                    let features = row.parts().map(|part| Ok(part?.features));
                    let features = features.collect::<Result<Vec<_>>>()?;
                    let stream = whisper.stream(&features, &hearing.generate)?;
                    Source::Windows(Box::new(stream), hearing.timestamps)
                }
            },
            SpeechModel::Seq2Seq { .. } | SpeechModel::Ctc { .. } => {
                Source::Whole(Box::new(hearing), Box::new(row))
            }
        };
        let turns = names_speakers.then_some(turns);
        Ok(Self { turns, ..Self::of(source, cancel, AudioProgress { done: 0.0, total }) })
    }

    fn of(source: Source, cancel: CancelHandle, progress: AudioProgress) -> Self {
        let (ready, turns) = (VecDeque::new(), None);
        Self { source, ready, turns, cancel, progress, has_failed: false }
    }

    /// How much of the recording has been transcribed.
    #[must_use]
    pub fn progress(&self) -> AudioProgress {
        match &self.source {
            Source::Windows(stream, _) => stream.progress(),
            _ => self.progress,
        }
    }

    /// Ends it from another thread: within the next token, and without the window that is being read.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Goes on to the next segments.
    fn step(&mut self) -> Result<()> {
        match &mut self.source {
            Source::Windows(stream, timestamps) => match stream.next() {
                Some(next) => {
                    let (number, segment) = next?;
                    let language = stream.transcriptions().get(number);
                    let language = language.and_then(|one| one.language.as_deref());
                    let has_words = *timestamps == ReturnTimestamps::Word;
                    self.ready.push_back(segment_of(segment, language, has_words));
                }
                None => self.source = Source::End,
            },
            Source::Chunks(hearing, waiting, merge) => {
                let has_words = hearing.timestamps == ReturnTimestamps::Word;
                let most = hearing.rows_at_once();
                let is_over = self.cancel.is_cancelled();
                let parts = waiting.by_ref().take(if is_over { 0 } else { most });
                let parts = parts.collect::<Result<Vec<_>>>()?;
                let Some(last) = parts.last() else {
                    self.ready.extend(merge.finish()?);
                    self.source = Source::End;
                    return Ok(());
                };
                let done = last.end;
                let answers = hearing.answers(&parts.iter().collect::<Vec<_>>())?;
                for (part, answer) in parts.iter().zip(answers) {
                    let Answer::Whisper(transcription) = answer else { continue };
                    let rate = hearing.pipeline.sampling_rate();
                    let tokenizer = merge.tokenizer();
                    let has_language = has_words || hearing.options.return_language == Some(true);
                    let output = written::output(
                        &transcription,
                        part.overlap,
                        rate,
                        tokenizer,
                        has_language,
                    );
                    self.ready.extend(merge.push(&output)?);
                }
                self.progress = AudioProgress { done, total: done.max(self.progress.total) };
            }
            Source::Whole(hearing, row) => {
                for heard in hearing.hear(&[&**row])? {
                    self.ready.extend(hearing.transcript(heard?)?.segments);
                }
                self.progress = AudioProgress { done: self.progress.total, ..self.progress };
                self.source = Source::End;
            }
            #[cfg(feature = "remote")]
            Source::Served(pending) => {
                self.ready.extend(pending.transcript()?.segments);
                self.source = Source::End;
            }
            Source::End => {}
        }
        Ok(())
    }
}

impl Iterator for TranscriptStream {
    type Item = Result<Segment>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(mut segment) = self.ready.pop_front() {
                if let Some(turns) = &self.turns {
                    segment.assign_speakers(turns);
                }
                return Some(Ok(segment));
            }
            if self.has_failed || matches!(self.source, Source::End) {
                return None;
            }
            if let Err(error) = self.step() {
                self.has_failed = true;
                return Some(Err(error));
            }
        }
    }
}

/// A segment of Whisper's as one of a transcript.
fn segment_of(segment: whisper::Segment, language: Option<&str>, has_words: bool) -> Segment {
    let words = segment.words.into_iter().filter(|_| has_words);
    let words = words.map(|word| Word::new(word.text, word.start, word.end));
    let mut written =
        Segment::new(segment.text).between(segment.start, segment.end).with_words(words);
    written.language = language.and_then(language_name).map(str::to_owned);
    written
}
