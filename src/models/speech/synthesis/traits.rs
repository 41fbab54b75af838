//! The trait of models that speak.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::fields::options;
use crate::models::speech::synthesis::speecht5::SpeechT5HifiGan;
use crate::models::traits::{Checkpoint, Model};
use crate::random::Generator;

/// A model that turns the ids of a text into sound: `AutoModelForTextToWaveform` and
/// `AutoModelForTextToSpectrogram`, the latter with its vocoder.
pub trait TextToWaveform: Model {
    /// Samples per second.
    fn sampling_rate(&self) -> u32;

    /// Ids are below this.
    fn vocab(&self) -> usize;

    /// How many speakers there are to choose from by number; 0 where there is only one voice, or voices are given
    /// in another way.
    fn speakers(&self) -> usize {
        0
    }

    /// The names of the voices that a request chooses from: Kokoro, XTTS. None where there are no names.
    fn voices(&self) -> Vec<String> {
        Vec::new()
    }

    /// Values of the speaker embedding that a request must have; `None` where there is none.
    fn speaker_embedding_size(&self) -> Option<usize> {
        None
    }

    /// Whether the model writes step by step, so that Python's pipeline gives it `generate_kwargs`.
    fn generates(&self) -> bool {
        false
    }

    /// The same model with a vocoder, where it writes spectrograms: SpeechT5. The weights stay shared.
    ///
    /// # Errors
    ///
    /// When it makes sound by itself, or the two do not fit.
    fn with_vocoder(&self, vocoder: Arc<SpeechT5HifiGan>) -> Result<Arc<dyn TextToWaveform>> {
        drop(vocoder);
        Err(Error::option("vocoder", "this model makes sound by itself"))
    }

    /// Speaks the ids of one text. What is random comes from `generator`, in the order of the reference;
    /// `checkpoint` is called between parts of the work, and its error ends the work.
    ///
    /// # Errors
    ///
    /// When there are no ids or one is outside the vocabulary, for an option that the model has not or that is out
    /// of range, and for speech that would be absurdly long.
    fn speak(
        &self,
        ids: &[u32],
        request: &SpeechRequest,
        generator: &mut Generator,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Speech>;

    /// Begins to speak the ids of one text in pieces, which together are what [`speak`](Self::speak) gives. `None` where
    /// the model knows no sample before it knows all, or the request asks for no pieces: XTTS makes them where
    /// `stream_chunk_size` is given.
    ///
    /// # Errors
    ///
    /// As for [`speak`](Self::speak).
    fn begin(
        &self,
        ids: &[u32],
        request: &SpeechRequest,
        generator: &Generator,
    ) -> Result<Option<Box<dyn SpeechPieces>>> {
        let _ = (ids, request, generator);
        Ok(None)
    }
}

/// Speech that is being made.
pub trait SpeechPieces: fmt::Debug + Send {
    /// The next samples: some, but for the last piece, which may be empty. `checkpoint` is called between parts of the work,
    /// and its error ends the work.
    ///
    /// # Errors
    ///
    /// When the model fails, and after the last piece.
    fn next_piece(&mut self, checkpoint: &Checkpoint<'_>) -> Result<SpeechPiece>;

    /// The random numbers that follow those that were used.
    fn generator(&self) -> Generator;
}

/// A piece of speech.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SpeechPiece {
    /// The samples, about from -1 to 1.
    pub samples: Vec<f32>,
    /// Whether nothing follows.
    pub is_last: bool,
}

impl SpeechPiece {
    /// Some samples.
    #[must_use]
    pub fn new(samples: Vec<f32>, is_last: bool) -> Self {
        Self { samples, is_last }
    }
}

options! {
    /// How something is spoken. What is not given is as the model's config says.
    #[derive(PartialEq)]
    SpeechRequest {
        /// The number of the speaker, from 0 on: VITS with several speakers.
        speaker_id: usize,
        /// What the voice is like, as a vector: SpeechT5, 512 numbers. In JSON also a list of one such.
        #[serde(deserialize_with = "vector")]
        speaker_embeddings: (Vec<f32>),
        /// How fast, where 1 is normal: VITS.
        speaking_rate: f64,
        /// The name of the voice, or several with commas between them, whose mean it is: Kokoro. One name: XTTS.
        voice: String,
        /// How fast, where 1 is normal: Kokoro, XTTS.
        speed: f64,
        /// How much the sound varies: VITS, 0.667 by default.
        noise_scale: f64,
        /// How much the lengths of sounds vary: VITS, 0.8 by default.
        noise_scale_duration: f64,
        /// How sure the model must be of the end: SpeechT5, 0.5 by default.
        threshold: f64,
        /// The least frames for each id: SpeechT5, 0 by default.
        minlenratio: f64,
        /// The most frames for each id: SpeechT5, 20 by default.
        maxlenratio: f64,
        /// The code of the language: XTTS.
        language: String,
        /// Files in which the voice is heard, one or several; six seconds are good: XTTS. In JSON also one such.
        #[serde(deserialize_with = "texts")]
        speaker_wav: (Vec<String>),
        /// So many seconds of the files together condition what is said: XTTS.
        gpt_cond_len: usize,
        /// So many seconds of them are heard at once: XTTS.
        gpt_cond_chunk_len: usize,
        /// So many seconds of each file are heard: XTTS.
        max_ref_len: usize,
        /// Whether files are made equally loud: XTTS.
        sound_norm_refs: bool,
        /// Whether codes are drawn; else the likeliest is taken: XTTS, `true` by default.
        do_sample: bool,
        /// Divides the logits of codes: XTTS.
        temperature: f64,
        /// Without effect where there are no beams: XTTS.
        length_penalty: f64,
        /// For codes that were there before: XTTS.
        repetition_penalty: f64,
        /// How many of the likeliest codes are drawn from: XTTS.
        top_k: usize,
        /// How much probability the codes that are drawn from have together: XTTS.
        top_p: f64,
        /// Whether a text is cut where it is longer than its language allows, without pauses: XTTS.
        enable_text_splitting: bool,
        /// Streams give sound after each so many codes, some 20 of which are a second, instead of after each sentence; 0
        /// is all of a sentence: XTTS.
        stream_chunk_size: usize,
    }
}

/// Texts, or one.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shapes {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Shapes>::deserialize(from)?.map(|shape| match shape {
        Shapes::One(text) => vec![text],
        Shapes::Many(texts) => texts,
    }))
}

/// A vector, or a list of one vector: `torch.tensor(...).unsqueeze(0)` of Python.
fn vector<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<f32>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shapes {
        Vector(Vec<f32>),
        Row([Vec<f32>; 1]),
    }
    Ok(Option::<Shapes>::deserialize(from)?.map(|shape| match shape {
        Shapes::Vector(vector) | Shapes::Row([vector]) => vector,
    }))
}

/// What was spoken.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Speech {
    /// The samples, about from -1 to 1.
    pub samples: Vec<f32>,
    /// How many samples each id takes, where the model knows.
    pub durations: Option<Vec<usize>>,
}

/// Hands the names of all options to a macro.
macro_rules! names {
    ($to:ident) => {
        $to!(
            speaker_id,
            speaker_embeddings,
            speaking_rate,
            voice,
            speed,
            noise_scale,
            noise_scale_duration,
            threshold,
            minlenratio,
            maxlenratio,
            language,
            speaker_wav,
            gpt_cond_len,
            gpt_cond_chunk_len,
            max_ref_len,
            sound_norm_refs,
            do_sample,
            temperature,
            length_penalty,
            repetition_penalty,
            top_k,
            top_p,
            enable_text_splitting,
            stream_chunk_size
        )
    };
}
impl SpeechRequest {
    /// These options, and where one is not given that of `other`.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        macro_rules! over {
            ($($name:ident),+) => { Self { $($name: self.$name.or(other.$name)),+ } };
        }
        names!(over)
    }

    /// Refuses the options of other models: `known` are the names of those that this one has.
    pub(crate) fn check(&self, known: &[&str]) -> Result<()> {
        macro_rules! given {
            ($($name:ident),+) => { [$((stringify!($name), self.$name.is_some())),+] };
        }
        let given = names!(given);
        match given.iter().find(|(name, is_given)| *is_given && !known.contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let known = match known {
                    [] => "none".to_owned(),
                    known => known.join(", "),
                };
                Err(Error::option(*name, format!("this voice has no such option; it has {known}")))
            }
        }
    }
}

/// Refuses what is no id of a text.
pub(super) fn check_ids(ids: &[u32], vocab: usize) -> Result<()> {
    if ids.is_empty() {
        return Err(Error::input(
            "nothing to speak: the text is empty, or the voice knows none of its characters",
        ));
    }
    match ids.iter().find(|&&id| id as usize >= vocab) {
        Some(id) => Err(Error::input(format!("id {id} for a vocabulary of {vocab}"))),
        None => Ok(()),
    }
}

/// An option between two bounds, or the config's.
pub(super) fn within(
    name: &'static str,
    given: Option<f64>,
    default: f64,
    range: RangeInclusive<f64>,
) -> Result<f64> {
    let value = given.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (range.start(), range.end());
    Err(Error::option(name, format!("{value} is not between {least} and {most}")))
}
