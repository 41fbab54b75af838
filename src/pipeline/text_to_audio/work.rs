//! What happens to a text that becomes sound.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use crate::audio::Audio;
use crate::error::{Error, Result};
use crate::generation::{CancelHandle, GenerationConfig};
use crate::pipeline::flow::{Measured, Pace, Work};
use crate::pipeline::text_to_audio::model::{GeneratedAudio, SoundModel};
use crate::pipeline::text_to_audio::options::TextToAudioOptions;
use crate::sound::{BarkSettings, ComposeInput, Voice, compose, speak};
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// A model and how it is to sound.
#[derive(Debug)]
pub(super) struct Sounding {
    how: How,
    model: SoundModel,
    tokenizer: Tokenizer,
    cancel: CancelHandle,
    seed: u64,
    /// How many texts were begun.
    begun: AtomicU64,
}

#[derive(Debug)]
enum How {
    Music { config: Box<GenerationConfig>, input: Box<ComposeInput> },
    Bark { settings: Box<BarkSettings>, voice: Option<Voice> },
}

/// A text as ids.
#[derive(Debug)]
pub(super) struct Text(Vec<u32>);

impl Sounding {
    pub(super) fn new(
        model: &SoundModel,
        tokenizer: &Tokenizer,
        options: &TextToAudioOptions,
    ) -> Result<Self> {
        let mut given = options.forward_params.clone().unwrap_or_default();
        given.extend(options.generate_kwargs.clone().unwrap_or_default());
        let voice = match given.remove("history_prompt") {
            None | Some(Value::Null) => options.voice_preset.clone(),
            Some(Value::String(name)) => Some(name),
            Some(_) => {
                return Err(Error::option("history_prompt", "should be the name of a voice"));
            }
        };
        let seed = match given.remove("seed") {
            None | Some(Value::Null) => options.seed,
            Some(seed) => Some(seed.as_u64().ok_or_else(|| {
                Error::option("seed", format!("is {seed}; it should be a whole number"))
            })?),
        };
        let how = match model {
            SoundModel::Music { model, defaults, melodies } => {
                if voice.is_some() {
                    return Err(Error::option("voice_preset", "MusicGen has no voices"));
                }
                let layout = model.codec().layout();
                let prompt = options.prompt.as_ref().map(|prompt| {
                    let samples = prompt.clone().resampled(layout.sampling_rate)?.samples;
                    Ok::<_, Error>(vec![samples; model.config().channels])
                });
                let heard = |melody: &Audio| {
                    let extractor = melodies.as_ref().ok_or_else(|| {
                        let reason = "this model follows none: choose facebook/musicgen-melody";
                        Error::option("melody", reason)
                    })?;
                    let rate = extractor.config().sampling_rate;
                    extractor.extract(&melody.clone().resampled(rate)?.samples, rate)
                };
                let melody = options.melody.as_ref().map(heard).transpose()?;
                let input = ComposeInput { text: None, prompt: prompt.transpose()?, melody };
                How::Music { config: Box::new(music(defaults, &given)?), input: Box::new(input) }
            }
            SoundModel::Bark { settings, files, .. } => {
                if options.melody.is_some() {
                    return Err(Error::option("melody", "Bark follows none"));
                }
                if options.prompt.is_some() {
                    return Err(Error::option(
                        "prompt",
                        "Bark goes on from voices: use `voice_preset`",
                    ));
                }
                let voice = voice.map(|name| match files {
                    _ if name.ends_with(".npz") && Path::new(&name).is_file() => {
                        Voice::from_npz(&name)
                    }
                    Some(files) => Voice::from_files(files, &name),
                    None => {
                        Err(Error::option("voice_preset", "the pipeline has no files of voices"))
                    }
                });
                let settings = (**settings).clone().with_options(&given)?;
                How::Bark { settings: Box::new(settings), voice: voice.transpose()? }
            }
        };
        Ok(Self {
            how,
            model: model.clone(),
            tokenizer: tokenizer.clone(),
            cancel: options.cancel.clone().unwrap_or_default(),
            seed: seed.unwrap_or_else(rand::random),
            begun: AtomicU64::new(0),
        })
    }

    fn sound(&self, text: &Text) -> Result<GeneratedAudio> {
        // Far enough apart that no text goes on with the numbers of another.
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let seed = self.seed.wrapping_add(number << 32);
        match (&self.how, &self.model) {
            (How::Music { config, input }, SoundModel::Music { model, .. }) => {
                let config = (**config).clone().seed(seed);
                let input = ComposeInput { text: Some(text.0.clone()), ..(**input).clone() };
                let music = compose(model, &[input], &config, &self.cancel, &mut |_, _| {})?;
                let one = music.into_iter().next();
                let one = one.ok_or_else(|| Error::input("no music was made"))?;
                Ok(GeneratedAudio { channels: one.channels, sampling_rate: one.sampling_rate })
            }
            (How::Bark { settings, voice }, SoundModel::Bark { model, .. }) => {
                let voice = voice.as_ref();
                let spoken =
                    speak(model, &text.0, voice, settings, seed, &self.cancel, &mut |_| {})?;
                let sampling_rate = spoken.audio.sampling_rate;
                Ok(GeneratedAudio { channels: vec![spoken.audio.samples], sampling_rate })
            }
            _ => Err(Error::input("options of another model")),
        }
    }
}

/// What the model says, what the pipeline says, what the call says.
fn music(stored: &GenerationConfig, given: &Map<String, Value>) -> Result<GenerationConfig> {
    let mut call = GenerationConfig::default();
    for (name, value) in given {
        if !call.set(name, value)? {
            return Err(Error::option(name, "there is no such option"));
        }
    }
    let returned = call.num_return_sequences.unwrap_or(1);
    if returned != 1 {
        return Err(Error::option(
            "num_return_sequences",
            format!("is {returned}; a text becomes one sound here: give it several times"),
        ));
    }
    let mut config = stored.clone();
    if config.max_length.is_none() && config.max_new_tokens.is_none() {
        config.max_new_tokens = Some(256);
    }
    if call.max_length.is_some() && call.max_new_tokens.is_none() {
        config.max_new_tokens = None;
    }
    Ok(config.overlaid(&call))
}

impl Work for Sounding {
    type Item = String;
    type Kept = ();
    type Row = Text;
    type Answer = GeneratedAudio;
    type Output = GeneratedAudio;

    /// One text after the other, so that seeds make lists reproducible.
    fn pace(&self, _batch_size: Option<usize>) -> Pace {
        Pace::one_by_one()
    }

    fn prepare(&self, text: String) -> Result<((), Vec<Text>)> {
        if text.trim().is_empty() {
            return Err(Error::input("the text is empty"));
        }
        let ends = matches!(self.how, How::Music { .. });
        let options = EncodeOptions::default().add_special_tokens(ends);
        Ok(((), vec![Text(self.tokenizer.encode_with(text.as_str(), &options)?.ids)]))
    }

    fn forward(&self, rows: &[&Text]) -> Result<Vec<GeneratedAudio>> {
        rows.iter().map(|text| self.sound(text)).collect()
    }

    fn finish(&self, (): (), rows: Vec<(Text, GeneratedAudio)>) -> Result<GeneratedAudio> {
        let first = rows.into_iter().next().map(|(_, sound)| sound);
        first.ok_or_else(|| Error::input("the text is empty"))
    }
}

impl Measured for Text {
    fn length(&self) -> usize {
        self.0.len()
    }
}
