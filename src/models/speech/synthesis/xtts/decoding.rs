//! What the GPT of XTTS knows becomes sound: as a whole, or while it is still being written.

use candle_core::{DType, Tensor};

use super::model::Xtts;
use super::voice::XttsVoice;
use crate::error::{Error, Result};
use crate::nn::pieces::Slots;

/// A row of latents that is becoming sound: the caller's, as a cache is. Begun by [`Xtts::begin_decoding`], and of use
/// for that model alone.
#[derive(Debug)]
pub struct XttsDecoding {
    /// `(1, speaker)`.
    speaker: Tensor,
    /// By how much each step stretches.
    factors: Vec<f64>,
    latents: Option<Tensor>,
    /// Frames that went into the decoder.
    frames: usize,
    slots: Slots,
    is_done: bool,
}

impl Xtts {
    /// The samples of what the GPT gave before each code, `(codes, hidden)`, `speed` times as fast.
    ///
    /// # Errors
    ///
    /// When there are none, the voice is of another model, or the speed is absurd.
    pub fn decode(&self, latents: &Tensor, voice: &XttsVoice, speed: f64) -> Result<Vec<f32>> {
        let mut decoding = self.begin_decoding(voice, speed)?;
        decoding.take(latents, self)?;
        decoding.is_done = true;
        self.decoded(&mut decoding)
    }

    /// Begins a row whose latents come one after the other, spoken `speed` times as fast.
    ///
    /// # Errors
    ///
    /// When the voice is of another model, or the speed is absurd.
    pub fn begin_decoding(&self, voice: &XttsVoice, speed: f64) -> Result<XttsDecoding> {
        if !(LEAST_SPEED..=MOST_SPEED).contains(&speed) {
            let reason = format!("{speed} is not between {LEAST_SPEED} and {MOST_SPEED}");
            return Err(Error::option("speed", reason));
        }
        self.check(voice)?;
        let config = &self.config;
        let rates = f64::from(config.output_sampling_rate) / f64::from(config.sampling_rate);
        let frames = config.code_stride as f64 / config.hop_length as f64;
        let factors = [1.0 / speed, frames, rates].into_iter().filter(|factor| *factor != 1.0);
        let size = config.speaker_size;
        Ok(XttsDecoding {
            speaker: Tensor::from_slice(voice.speaker(), (1, size), self.on())?,
            factors: factors.collect(),
            latents: None,
            frames: 0,
            slots: Slots::default(),
            is_done: false,
        })
    }

    /// Takes the next latents, `(codes, hidden)`, and returns the samples that no latents to come change: about an eighth
    /// of a second less than there is. All of them together are those of [`decode`](Self::decode).
    ///
    /// # Errors
    ///
    /// When the latents are of another model, there are too many, or the row has ended.
    pub fn decode_piece(&self, latents: &Tensor, state: &mut XttsDecoding) -> Result<Vec<f32>> {
        state.take(latents, self)?;
        self.decoded(state)
    }

    /// Ends a row, and returns its last samples.
    ///
    /// # Errors
    ///
    /// When it has ended, or was too short for a sample.
    pub fn finish_decoding(&self, state: &mut XttsDecoding) -> Result<Vec<f32>> {
        if state.is_done {
            return Err(ended());
        }
        state.is_done = true;
        self.decoded(state)
    }

    fn decoded(&self, state: &mut XttsDecoding) -> Result<Vec<f32>> {
        let is_last = state.is_done;
        let Some(latents) = &state.latents else {
            return Err(Error::input("there are no latents to decode"));
        };
        let mut x = latents.to_dtype(DType::F32)?;
        let mut known = x.dim(0)?;
        for &factor in &state.factors {
            if !is_last && x.dim(0)? as f64 * factor < 1.0 {
                return Ok(Vec::new());
            }
            x = stretched(&x, factor)?;
            known = known_of(known, x.dim(0)?, factor);
        }
        let known = if is_last { x.dim(0)? } else { known };
        let dtype = latents.dtype();
        let next = match known.checked_sub(state.frames) {
            None | Some(0) if !is_last => return Ok(Vec::new()),
            None | Some(0) => None,
            Some(count) => Some(x.narrow(0, state.frames, count)?.contiguous()?.to_dtype(dtype)?),
        };
        state.frames = known;
        let speaker = state.speaker.to_dtype(dtype)?;
        let slots = &mut state.slots;
        self.sound(next, &speaker, is_last, slots)
    }
}

impl XttsDecoding {
    fn take(&mut self, latents: &Tensor, model: &Xtts) -> Result<()> {
        if self.is_done {
            return Err(ended());
        }
        let config = model.config();
        let (codes, hidden) = latents.dims2()?;
        let before = self.latents.as_ref().map_or(Ok(0), |latents| latents.dim(0))?;
        if codes == 0
            || before + codes > 2 * config.max_codes + 8
            || hidden != config.gpt.hidden_size
        {
            return Err(Error::input(format!("latents {:?} to be decoded", latents.dims())));
        }
        self.latents = Some(match &self.latents {
            None => latents.clone(),
            Some(before) => Tensor::cat(&[before, latents], 0)?,
        });
        Ok(())
    }
}

fn ended() -> Error {
    Error::input("the row has ended: begin another")
}

/// Frames, `(frames, channels)`, so many times as many, by straight lines between them: `F.interpolate` of torch
/// with `linear`.
fn stretched(x: &Tensor, factor: f64) -> Result<Tensor> {
    let (frames, channels) = x.dims2()?;
    let count = (frames as f64 * factor) as usize;
    if count == 0 {
        return Err(Error::option("speed", "the speech is too short to be spoken so fast"));
    }
    let numbers: Vec<f32> = x.flatten_all()?.to_vec1()?;
    let mut out = Vec::with_capacity(count * channels);
    for at in 0..count {
        let place = place(at, factor);
        let first = (place as usize).min(frames - 1);
        let second = (first + 1).min(frames - 1);
        let share = (place - first as f32).min(1.0);
        let [first, second] = [first, second].map(|row| &numbers[row * channels..][..channels]);
        out.extend(first.iter().zip(second).map(|(x, y)| (1.0 - share) * x + share * y));
    }
    Ok(Tensor::from_vec(out, (count, channels), x.device())?)
}

/// Where in a row a frame of the stretched row lies.
fn place(at: usize, factor: f64) -> f32 {
    let scale = (1.0 / factor) as f32;
    (scale * (at as f32 + 0.5) - 0.5).max(0.0)
}

/// How many of `count` stretched frames stay as they are when more frames than the `known` ones come.
fn known_of(known: usize, count: usize, factor: f64) -> usize {
    let is_known = |at: usize| place(at, factor) as usize + 1 < known;
    let mut found = count;
    while found > 0 && !is_known(found - 1) {
        found -= 1;
    }
    found
}

const LEAST_SPEED: f64 = 0.05;
const MOST_SPEED: f64 = 20.0;
