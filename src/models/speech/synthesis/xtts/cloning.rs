//! Voices by name, and those of recordings.

use candle_core::Tensor;

use super::config::{CLONED_RATE, XttsCloning};
use super::model::Xtts;
use super::voice::XttsVoice;
use crate::audio::{Audio, Resampler};
use crate::error::{Error, Result, did_you_mean};

impl Xtts {
    /// The names of the voices that the checkpoint has.
    pub fn speaker_names(&self) -> impl Iterator<Item = &str> {
        self.voices.iter().map(|(name, _)| name.as_str())
    }

    /// The voice of that name.
    ///
    /// # Errors
    ///
    /// When there is none, which lists those that there are.
    pub fn speaker(&self, name: &str) -> Result<&XttsVoice> {
        if let Some((_, voice)) = self.voices.iter().find(|(known, _)| known == name) {
            return Ok(voice);
        }
        let names: Vec<&str> = self.speaker_names().collect();
        let known = match names.is_empty() {
            true => "the checkpoint has no speakers_xtts.pth: give a recording as `speaker_wav`"
                .to_owned(),
            false => format!("there are {}{}", names.join(", "), did_you_mean(name, &names)),
        };
        Err(Error::option("speaker", format!("there is no voice {name:?}; {known}")))
    }

    /// The voice that some recordings have, of one speaker and at any sampling rate: `get_conditioning_latents` of Coqui.
    ///
    /// # Errors
    ///
    /// When there are none, one is silent, or they are too short: a third of a second is the least.
    pub fn clone_voice(&self, recordings: &[Audio], cloning: &XttsCloning) -> Result<XttsVoice> {
        if recordings.is_empty() {
            return Err(Error::input("no recordings to clone a voice from"));
        }
        let rate = CLONED_RATE as usize;
        let (mut all, mut speaker) = (Vec::new(), vec![0.0; self.config.speaker_size]);
        for (number, recording) in recordings.iter().enumerate() {
            let samples = heard(recording, number, cloning)?;
            let narrow = resampled(&samples, CLONED_RATE, SPEAKER_RATE)?;
            let embedding = self.threads.run(|| self.speaker_encoder.forward(&narrow))?;
            let share = 1.0 / recordings.len() as f32;
            speaker.iter_mut().zip(embedding).for_each(|(sum, number)| *sum += share * number);
            all.extend(samples);
        }
        if cloning.gpt_cond_len > 0 {
            all.truncate(rate * cloning.gpt_cond_len);
        }
        if cloning.gpt_cond_chunk_len == 0 {
            return Err(Error::option("gpt_cond_chunk_len", "is 0; it should be 1 second or more"));
        }
        let chunks = all.chunks(rate * cloning.gpt_cond_chunk_len);
        let chunks: Vec<&[f32]> =
            chunks.filter(|chunk| chunk.len() as f64 >= LEAST * f64::from(CLONED_RATE)).collect();
        let mut sum: Option<Tensor> = None;
        for chunk in &chunks {
            let style = self.threads.run(|| self.style.forward(chunk))?;
            sum = Some(match sum {
                None => style,
                Some(sum) => (sum + style)?,
            });
        }
        let sum = sum.ok_or_else(|| too_short(all.len()))?;
        XttsVoice::new((sum / chunks.len() as f64)?, speaker)
    }

    /// The mel values that the GPT's conditioning is computed from, `(frames, mels)` in f32, for comparing them with
    /// the reference.
    ///
    /// # Errors
    ///
    /// When the sound is too short.
    pub fn style_features(&self, recording: &Audio) -> Result<Tensor> {
        self.style.mel(&resampled(&recording.samples, recording.sampling_rate, CLONED_RATE)?)
    }
}

/// What is heard of a recording.
fn heard(recording: &Audio, number: usize, cloning: &XttsCloning) -> Result<Vec<f32>> {
    let mut samples = resampled(&recording.samples, recording.sampling_rate, CLONED_RATE)?;
    samples.iter_mut().for_each(|sample| *sample = sample.clamp(-1.0, 1.0));
    if cloning.max_ref_len > 0 {
        samples.truncate(CLONED_RATE as usize * cloning.max_ref_len);
    }
    if (samples.len() as f64) < LEAST * f64::from(CLONED_RATE) {
        return Err(too_short(samples.len()));
    }
    let loudest = samples.iter().fold(0.0_f32, |most, sample| most.max(sample.abs()));
    if loudest < SILENCE {
        return Err(Error::input(format!("recording {number} is silent: there is no voice in it")));
    }
    if cloning.sound_norm_refs {
        samples.iter_mut().for_each(|sample| *sample = *sample / loudest * 0.75);
    }
    Ok(samples)
}

fn too_short(samples: usize) -> Error {
    let seconds = samples as f64 / f64::from(CLONED_RATE);
    Error::input(format!(
        "{seconds:.2} seconds of a voice; {LEAST} are the least, and some six are good"
    ))
}

fn resampled(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    let mut out = Vec::new();
    let mut resampler = Resampler::new(from, to)?;
    resampler.push(samples, &mut out)?;
    resampler.finish(&mut out)?;
    Ok(out)
}

/// Samples per second of what the speaker encoder hears.
const SPEAKER_RATE: u32 = 16_000;
/// Seconds that are not ignored.
const LEAST: f64 = 0.33;
/// Below it there is no sound.
const SILENCE: f32 = 1e-5;
