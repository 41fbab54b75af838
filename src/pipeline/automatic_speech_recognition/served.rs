//! Recordings that a service transcribes.

use std::fmt;
use std::io::Cursor;
use std::thread;

use crate::audio::WavSamples;
use crate::batch::Budget;
use crate::error::{Error, Result};
use crate::pipeline::audio_input::AudioInput;
use crate::pipeline::automatic_speech_recognition::options::{
    AutomaticSpeechRecognitionOptions, ReturnTimestamps,
};
use crate::pipeline::flow::{Measured, Pace, Work};
use crate::remote::{Recording, Service, TranscriptionOptions, refused};
use crate::source::remote::RemoteModel;
use crate::speech::transcript::Transcript;

/// A model of a service.
#[derive(Debug, Clone)]
pub(super) struct Served {
    service: Service,
}

/// One call of the pipeline.
pub(super) struct Asking {
    service: Service,
    options: TranscriptionOptions,
    has_language: bool,
}

/// A recording as it is sent.
pub(super) struct Sound {
    recording: Recording,
    length: usize,
}

impl Served {
    pub(super) fn open(model: &RemoteModel) -> Result<Self> {
        Ok(Self { service: Service::open(model)? })
    }

    /// Which times come with the text.
    pub(super) fn timestamps(
        options: &AutomaticSpeechRecognitionOptions,
    ) -> Result<ReturnTimestamps> {
        match options.return_timestamps.unwrap_or_default() {
            ReturnTimestamps::Char => Err(Error::option(
                "return_timestamps",
                "a service gives times of segments (`true`) and of words (`\"word\"`), not of characters",
            )),
            asked => Ok(asked),
        }
    }

    pub(super) fn work(&self, options: &AutomaticSpeechRecognitionOptions) -> Result<Asking> {
        let timestamps = Self::timestamps(options)?;
        let here = [
            ("batch_size", options.batch_size == Some(0)),
            ("chunk_length_s", options.chunk_length_s.is_some_and(|length| length != 0.0)),
            ("stride_length_s", options.stride_length_s.is_some()),
            ("audio_progress", options.audio_progress.is_some()),
            ("diarizer", options.diarizer.is_some()),
        ];
        if let Some((name, _)) = here.iter().find(|(_, is_asked)| *is_asked) {
            return Err(refused(name));
        }
        let asked = serde_json::to_value(&options.generate).map_err(Error::input)?;
        for name in asked.as_object().into_iter().flat_map(|asked| asked.keys()) {
            if !matches!(name.as_str(), "language" | "temperature") {
                return Err(refused(name));
            }
        }
        let mut wanted = TranscriptionOptions {
            word_timestamps: Some(timestamps == ReturnTimestamps::Word),
            cancel: options.cancel.clone().or_else(|| options.generate.cancel.clone()),
            ..TranscriptionOptions::default()
        };
        match options.generate.language.as_deref() {
            None => {}
            Some([language]) => wanted.language = Some(language.clone()),
            Some(_) => {
                return Err(Error::option("language", "is one for all recordings of a call here"));
            }
        }
        match options.generate.temperature.as_deref() {
            None => {}
            Some(&[temperature]) => wanted.temperature = Some(temperature),
            Some(_) => return Err(Error::option("temperature", "a service takes one")),
        }
        let has_language = options.return_language == Some(true);
        Ok(Asking { service: self.service.clone(), options: wanted, has_language })
    }
}

/// A recording that a service is about to transcribe.
pub(super) struct Pending {
    asking: Asking,
    recording: Recording,
}

impl Pending {
    pub(super) fn new(asking: Asking, input: AudioInput) -> Result<Self> {
        Ok(Self { asking, recording: recording(input)? })
    }

    /// Asks, and waits for all of it.
    pub(super) fn transcript(&self) -> Result<Transcript> {
        self.asking.transcribe(&self.recording)
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("model", &self.asking.service.model())
            .finish_non_exhaustive()
    }
}

impl Measured for Sound {
    fn length(&self) -> usize {
        self.length
    }
}

impl Work for Asking {
    type Item = AudioInput;
    type Kept = ();
    type Row = Sound;
    /// Or what went wrong with this recording alone.
    type Answer = Result<Transcript>;
    type Output = Transcript;

    /// `batch_size` requests at once.
    fn pace(&self, batch_size: Option<usize>) -> Pace {
        let items = batch_size.unwrap_or(1);
        let batch = Budget { rows: items, tokens: usize::MAX, may_be_loose: usize::MAX };
        Pace { items, length: usize::MAX, batch }
    }

    fn prepare(&self, input: AudioInput) -> Result<((), Vec<Sound>)> {
        let length = input.length();
        Ok(((), vec![Sound { recording: recording(input)?, length }]))
    }

    fn forward(&self, rows: &[&Sound]) -> Result<Vec<Self::Answer>> {
        if let [row] = rows {
            return Ok(vec![self.transcribe(&row.recording)]);
        }
        let died = |_| Err(Error::input("the thread of a request died"));
        Ok(thread::scope(|scope| {
            let ask = |row: &&Sound| {
                let recording = row.recording.clone();
                scope.spawn(move || self.transcribe(&recording))
            };
            let asked: Vec<_> = rows.iter().map(ask).collect();
            asked.into_iter().map(|thread| thread.join().unwrap_or_else(died)).collect()
        }))
    }

    fn finish(&self, (): (), rows: Vec<(Sound, Self::Answer)>) -> Result<Transcript> {
        let nothing = || Err(Error::input("the input is empty"));
        rows.into_iter().next().map_or_else(nothing, |(_, answer)| answer)
    }
}

impl Asking {
    fn transcribe(&self, recording: &Recording) -> Result<Transcript> {
        let found = self.service.transcribe(recording, &self.options)?;
        let mut transcript = Transcript::from(&found);
        if self.has_language {
            for segment in &mut transcript.segments {
                segment.language.clone_from(&found.language);
            }
        }
        Ok(transcript)
    }
}

/// A file as it is; samples as a wav file.
fn recording(input: AudioInput) -> Result<Recording> {
    match input {
        AudioInput::File(path) => Ok(Recording::file(path)),
        AudioInput::Bytes(bytes) => {
            Ok(Recording::bytes(format!("audio.{}", ending(&bytes)), bytes))
        }
        AudioInput::Samples { stride: Some(_), .. } => {
            Err(Error::input("a recording with `stride` is for models that are here"))
        }
        AudioInput::Samples { audio, stride: None } => {
            let mut file = Cursor::new(Vec::new());
            audio.write(&mut file, WavSamples::Int16).map_err(Error::input)?;
            Ok(Recording::bytes("audio.wav", file.into_inner()))
        }
    }
}

/// What a file of these bytes ends in, by which services tell formats.
fn ending(bytes: &[u8]) -> &'static str {
    match bytes {
        [b'R', b'I', b'F', b'F', ..] => "wav",
        [b'f', b'L', b'a', b'C', ..] => "flac",
        [b'O', b'g', b'g', b'S', ..] => "ogg",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "m4a",
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "webm",
        _ => "mp3",
    }
}
