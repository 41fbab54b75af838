//! XTTS as a model that speaks: voices by name, or from files.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;

use crate::audio::{Audio, AudioReader, AudioStream};
use crate::error::{Error, Result};
use crate::generation::GenerationConfig;
use crate::models::speech::{
    Speech, SpeechPiece, SpeechPieces, SpeechRequest, TextToWaveform, Xtts, XttsCloning, XttsVoice,
};
use crate::models::{Checkpoint, Memory, Model};
use crate::random::Generator;
use crate::sound::utter::{Utterance, defaults, utter_with};
use crate::weights::Inventory;

/// XTTS behind the trait of models that speak. The voice is one of the checkpoint's, by its name (`voice`), or that
/// of files (`speaker_wav`), which is kept until other files are given.
#[derive(Debug)]
pub struct XttsSpeaker {
    model: Arc<Xtts>,
    cloned: Mutex<Option<(Recipe, Arc<XttsVoice>)>>,
}

/// What a voice is cloned from.
type Recipe = (Vec<String>, XttsCloning);

impl XttsSpeaker {
    /// Of a loaded model, which stays shared.
    #[must_use]
    pub fn new(model: Arc<Xtts>) -> Self {
        Self { model, cloned: Mutex::new(None) }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<Xtts> {
        &self.model
    }

    fn voice(&self, request: &SpeechRequest) -> Result<Arc<XttsVoice>> {
        let files = match (&request.voice, &request.speaker_wav) {
            (Some(_), Some(_)) => {
                let reason = "there is `speaker_wav`, too: choose one of both";
                return Err(Error::option("voice", reason));
            }
            (Some(name), None) => return Ok(Arc::new(self.model.speaker(name)?.clone())),
            (None, Some(files)) => files,
            (None, None) => {
                let names: Vec<&str> = self.model.speaker_names().collect();
                return Err(Error::option(
                    "voice",
                    format!(
                        "XTTS wants a voice: a name ({}), or `speaker_wav`, a file in which somebody speaks",
                        names.join(", ")
                    ),
                ));
            }
        };
        let own = self.model.config().cloning;
        let cloning = own.with(request);
        let recipe = (files.clone(), cloning);
        let mut kept = self.cloned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, voice)) = &*kept
            && *known == recipe
        {
            return Ok(Arc::clone(voice));
        }
        let recordings = files.iter().map(|file| beginning(file, cloning.max_ref_len));
        let recordings = recordings.collect::<Result<Vec<_>>>()?;
        let voice = Arc::new(self.model.clone_voice(&recordings, &cloning)?);
        *kept = Some((recipe, Arc::clone(&voice)));
        Ok(voice)
    }
}

/// The first seconds of a file, or all of it, at the rate that XTTS hears.
fn beginning(file: &str, seconds: usize) -> Result<Audio> {
    let mut reader = AudioReader::open(file)?;
    if seconds == 0 {
        return reader.mono(RATE);
    }
    let mut stream = AudioStream::new(reader.sampling_rate(), reader.channels(), RATE)?;
    let (mut samples, wanted) = (Vec::new(), seconds * RATE as usize);
    for block in &mut reader {
        stream.push(&block?.samples, &mut samples)?;
        if samples.len() >= wanted {
            samples.truncate(wanted);
            return Audio::new(samples, RATE);
        }
    }
    stream.finish(&mut samples)?;
    Audio::new(samples, RATE)
}

impl Model for XttsSpeaker {
    fn device(&self) -> &Device {
        self.model.device()
    }

    fn inventory(&self) -> &Inventory {
        self.model.inventory()
    }

    fn memory(&self) -> Memory {
        self.model.memory()
    }
}

impl TextToWaveform for XttsSpeaker {
    #[expect(clippy::misnamed_getters, reason = "the rate of the model's input is another")]
    fn sampling_rate(&self) -> u32 {
        self.model.config().output_sampling_rate
    }

    fn vocab(&self) -> usize {
        self.model.vocab()
    }

    fn voices(&self) -> Vec<String> {
        self.model.speaker_names().map(str::to_owned).collect()
    }

    fn generates(&self) -> bool {
        true
    }

    fn speak(
        &self,
        ids: &[u32],
        request: &SpeechRequest,
        generator: &mut Generator,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Speech> {
        let (voice, config) = (self.voice(request)?, self.config(request)?);
        let how = (&config, request.speed.unwrap_or(1.0));
        let uttered =
            utter_with(&self.model, ids, &voice, how, generator, checkpoint, &mut |_| {})?;
        Ok(Speech { samples: uttered.audio.samples, durations: None })
    }

    fn begin(
        &self,
        ids: &[u32],
        request: &SpeechRequest,
        generator: &Generator,
    ) -> Result<Option<Box<dyn SpeechPieces>>> {
        let Some(codes) = request.stream_chunk_size else { return Ok(None) };
        let (voice, config) = (self.voice(request)?, self.config(request)?);
        let how = (&config, request.speed.unwrap_or(1.0));
        let model = Arc::clone(&self.model);
        let utterance = Utterance::with_generator(model, ids, &voice, how, generator)?;
        Ok(Some(Box::new(Pieces { utterance, codes })))
    }
}

/// A text that is being said.
#[derive(Debug)]
struct Pieces {
    utterance: Utterance<Arc<Xtts>>,
    /// Between two pieces.
    codes: usize,
}

impl SpeechPieces for Pieces {
    fn next_piece(&mut self, checkpoint: &Checkpoint<'_>) -> Result<SpeechPiece> {
        let samples = self.utterance.next_piece(self.codes, checkpoint)?;
        let samples = samples.ok_or_else(|| Error::input("the speech has ended"))?;
        Ok(SpeechPiece::new(samples, self.utterance.is_done()))
    }

    fn generator(&self) -> Generator {
        self.utterance.generator()
    }
}

impl XttsSpeaker {
    /// How codes are chosen.
    fn config(&self, request: &SpeechRequest) -> Result<GenerationConfig> {
        request.check(OPTIONS)?;
        let top_k = request.top_k.map(|top_k| i64::try_from(top_k).unwrap_or(i64::MAX));
        let mut config = defaults(self.model.config());
        config.do_sample = request.do_sample.or(config.do_sample);
        config.temperature = request.temperature.or(config.temperature);
        config.length_penalty = request.length_penalty;
        config.repetition_penalty = request.repetition_penalty.or(config.repetition_penalty);
        config.top_k = top_k.or(config.top_k);
        config.top_p = request.top_p.or(config.top_p);
        Ok(config)
    }
}

/// Those that XTTS has.
const OPTIONS: &[&str] = &[
    "voice",
    "speaker_wav",
    "language",
    "speed",
    "gpt_cond_len",
    "gpt_cond_chunk_len",
    "max_ref_len",
    "sound_norm_refs",
    "do_sample",
    "temperature",
    "length_penalty",
    "repetition_penalty",
    "top_k",
    "top_p",
    "enable_text_splitting",
    "stream_chunk_size",
];
/// Samples per second.
const RATE: u32 = 22_050;
