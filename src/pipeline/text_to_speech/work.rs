//! What happens to a text that is spoken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::generation::CancelHandle;
use crate::media::Audio;
use crate::models::speech::{SpeechPieces, SpeechRequest, TextToWaveform};
use crate::pipeline::flow::{Measured, Pace, Work};
use crate::pipeline::text_to_speech::options::TextToSpeechOptions;
use crate::pipeline::text_to_speech::output::{SpokenPart, SpokenText, nothing};
use crate::pipeline::text_to_speech::reader::SpeechReader;
use crate::pipeline::text_to_text::sentences::sentences;
use crate::random::Generator;
use crate::speech::SpokenIds;
use crate::warning::warn;

/// A model and how it is to speak.
#[derive(Debug)]
pub(super) struct Voice {
    model: Arc<dyn TextToWaveform>,
    reader: SpeechReader,
    request: SpeechRequest,
    /// Between sentences, in seconds; `None`: texts are not cut.
    pub(super) pause: Option<f64>,
    is_phonemes: bool,
    cancel: CancelHandle,
    generator: Mutex<Generator>,
}

/// A text, cut into what is spoken at once.
#[derive(Debug)]
pub(super) struct Sentences(Vec<Sentence>);

#[derive(Debug)]
pub(super) struct Sentence {
    text: String,
    /// What the model reads, one after the other.
    read: Vec<SpokenIds>,
}

/// A sentence that is being spoken in pieces.
#[derive(Debug)]
pub(super) struct Speaking {
    pub(super) text: String,
    /// The number of its first sample.
    pub(super) start: usize,
    /// The ids that follow.
    rest: VecDeque<Vec<u32>>,
    pieces: Box<dyn SpeechPieces>,
}

impl Voice {
    pub(super) fn new(
        model: &Arc<dyn TextToWaveform>,
        reader: &SpeechReader,
        options: &TextToSpeechOptions,
    ) -> Result<Self> {
        let TextToSpeechOptions { forward_params, generate_kwargs, pause, seed, .. } = options;
        let given = generate_kwargs.clone().unwrap_or_default();
        if !model.generates() && given != SpeechRequest::default() {
            return Err(Error::option(
                "generate_kwargs",
                "this model speaks in one pass: use `forward_params`",
            ));
        }
        if let Some(pause) = pause
            && !(0.0..=MOST_PAUSE).contains(pause)
        {
            let reason = format!("{pause} is not between 0 and {MOST_PAUSE} seconds");
            return Err(Error::option("pause", reason));
        }
        let seed = seed.unwrap_or_else(rand::random);
        Ok(Self {
            model: Arc::clone(model),
            reader: reader.clone(),
            request: given.over(forward_params.clone().unwrap_or_default()),
            pause: *pause,
            is_phonemes: options.phonemes == Some(true),
            cancel: options.cancel.clone().unwrap_or_default(),
            generator: Mutex::new(Generator::seed(seed)),
        })
    }

    /// A sentence with its ids; `None` where there is nothing in it to speak.
    pub(super) fn read(&self, text: &str) -> Result<Option<Sentence>> {
        let SpeechRequest { voice, language, .. } = &self.request;
        let (voice, language) = (voice.as_deref(), language.as_deref());
        let mut read = self.reader.read_in(text, self.is_phonemes, voice, language)?;
        let unknown: String = read.iter().flat_map(|read| &read.unknown).collect();
        if !unknown.is_empty() {
            warn(&format!(
                "the voice does not know the characters {unknown:?}: they are not spoken"
            ));
        }
        read.retain(|read| !read.ids.is_empty());
        let sentence = Sentence { text: text.to_owned(), read };
        Ok(Some(sentence).filter(|sentence| !sentence.read.is_empty()))
    }

    /// Speaks a sentence: its samples, and where they lie among samples that begin with number `start`.
    pub(super) fn speak(
        &self,
        sentence: &Sentence,
        start: usize,
    ) -> Result<(Vec<f32>, SpokenPart)> {
        let mut generator = self.generator.lock().unwrap_or_else(PoisonError::into_inner);
        let checkpoint = || self.checkpoint();
        let (mut samples, mut words, mut symbols) = (Vec::new(), Vec::new(), Vec::new());
        for read in &sentence.read {
            checkpoint()?;
            let speech = self.model.speak(&read.ids, &self.request, &mut generator, &checkpoint)?;
            if let Some(durations) = speech.durations {
                let [of_words, of_symbols] =
                    self.reader.times(read, &durations, start + samples.len());
                words.extend(of_words);
                symbols.extend(of_symbols);
            }
            samples.extend(speech.samples);
        }
        let (text, end) = (sentence.text.clone(), start + samples.len());
        Ok((samples, SpokenPart { text, start, end, words, symbols }))
    }

    /// Begins to speak a sentence in pieces; `None` where there are none.
    pub(super) fn begin(&self, sentence: &Sentence, start: usize) -> Result<Option<Speaking>> {
        let mut rest: VecDeque<Vec<u32>> =
            sentence.read.iter().map(|read| read.ids.clone()).collect();
        let Some(first) = rest.pop_front() else { return Ok(None) };
        let pieces = self.pieces(&first)?;
        let text = sentence.text.clone();
        Ok(pieces.map(|pieces| Speaking { text, start, rest, pieces }))
    }

    fn pieces(&self, ids: &[u32]) -> Result<Option<Box<dyn SpeechPieces>>> {
        let generator = self.generator.lock().unwrap_or_else(PoisonError::into_inner);
        self.model.begin(ids, &self.request, &generator)
    }

    /// The next samples of a sentence, and whether they are the last.
    pub(super) fn next_piece(&self, speaking: &mut Speaking) -> Result<(Vec<f32>, bool)> {
        let piece = speaking.pieces.next_piece(&|| self.checkpoint())?;
        if !piece.is_last {
            return Ok((piece.samples, false));
        }
        *self.generator.lock().unwrap_or_else(PoisonError::into_inner) =
            speaking.pieces.generator();
        let Some(ids) = speaking.rest.pop_front() else { return Ok((piece.samples, true)) };
        match self.pieces(&ids)? {
            Some(pieces) => speaking.pieces = pieces,
            None => return Err(Error::input("the voice speaks only some texts in pieces")),
        }
        Ok((piece.samples, false))
    }

    fn checkpoint(&self) -> Result<()> {
        match self.cancel.is_cancelled() {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    }

    pub(super) fn sampling_rate(&self) -> u32 {
        self.model.sampling_rate()
    }

    /// The samples of so many seconds.
    pub(super) fn silence(&self, seconds: f64) -> usize {
        (seconds * f64::from(self.sampling_rate())).round() as usize
    }
}

impl Work for Voice {
    type Item = String;
    type Kept = ();
    type Row = Sentences;
    type Answer = SpokenText;
    type Output = SpokenText;

    /// One text after the other, so that they take their random numbers in order.
    fn pace(&self, _batch_size: Option<usize>) -> Pace {
        Pace::one_by_one()
    }

    fn prepare(&self, text: String) -> Result<((), Vec<Sentences>)> {
        let parts = match self.pause {
            Some(_) => sentences(&text),
            None if self.request.enable_text_splitting == Some(true) => {
                self.reader.split(&text, self.request.language.as_deref())?
            }
            None => vec![text.as_str()],
        };
        let is_cut = parts.len() > 1;
        let mut spoken = Vec::new();
        for part in parts {
            match self.read(part)? {
                Some(sentence) => spoken.push(sentence),
                None if self.pause.is_some() || is_cut => {
                    warn(&format!("there is nothing to speak in {part:?}"));
                }
                None => {}
            }
        }
        if spoken.is_empty() {
            return Err(nothing());
        }
        let silence = self.pause.unwrap_or(0.0) * (spoken.len() - 1) as f64;
        if silence > MOST_SILENCE {
            let reason = format!(
                "{silence} seconds between {} sentences, of at most {MOST_SILENCE} in one text; use `stream_audio`",
                spoken.len()
            );
            return Err(Error::option("pause", reason));
        }
        Ok(((), vec![Sentences(spoken)]))
    }

    fn forward(&self, rows: &[&Sentences]) -> Result<Vec<SpokenText>> {
        let speak = |row: &&Sentences| {
            let mut samples = Vec::new();
            let mut parts = Vec::new();
            for (number, sentence) in row.0.iter().enumerate() {
                if number > 0 {
                    let silence = self.silence(self.pause.unwrap_or(0.0));
                    samples.resize(samples.len() + silence, 0.0);
                }
                let (spoken, part) = self.speak(sentence, samples.len())?;
                samples.extend(spoken);
                parts.push(part);
            }
            let sampling_rate = self.sampling_rate();
            Ok(SpokenText { audio: Audio::new(samples, sampling_rate)?, sampling_rate, parts })
        };
        rows.iter().map(speak).collect()
    }

    fn finish(&self, (): (), rows: Vec<(Sentences, SpokenText)>) -> Result<SpokenText> {
        rows.into_iter().next().map(|(_, spoken)| spoken).ok_or_else(nothing)
    }
}

impl Measured for Sentences {
    fn length(&self) -> usize {
        let read = self.0.iter().flat_map(|sentence| &sentence.read);
        read.map(|read| read.ids.len()).sum()
    }
}

/// Between sentences, in seconds.
const MOST_PAUSE: f64 = 60.0;
/// Between all sentences of a text, in seconds.
const MOST_SILENCE: f64 = 3600.0;
