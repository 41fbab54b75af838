//! XTTS's loop: a voice and a text to codes, and to sound.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;

use crate::audio::Audio;
use crate::error::{Error, Result};
use crate::generation::{Distribution, GenerationConfig, Plan, Sampler};
use crate::models::speech::{Xtts, XttsConfig, XttsDecoding, XttsStep, XttsVoice};
use crate::models::{Checkpoint, ModelLimits};
use crate::nn::cache::KvCache;
use crate::random::Generator;
use crate::warning::warn;

/// What XTTS has said, with what it is made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Uttered {
    /// The codes, the one that ends the text included where it came.
    pub codes: Vec<u32>,
    /// What the GPT knew before each code, `(codes, hidden)`.
    pub latents: Tensor,
    /// The sound.
    pub audio: Audio,
}

/// Says a text in a voice. The text is given as the ids of [`XttsTokenizer`](crate::speech::XttsTokenizer).
///
/// `config` goes over what the model's config.json says of `temperature`, `top_k`, `top_p` and
/// `repetition_penalty`; `seed` gives the codes of Python after `torch.manual_seed`. `progress` is called after each code with how many there
/// are, and `checkpoint` before each; its error ends the call.
///
/// ```no_run
/// use sconce::audio::AudioReader;
/// use sconce::generation::GenerationConfig;
/// use sconce::models::speech::Xtts;
/// use sconce::sound::utter;
/// use sconce::speech::XttsTokenizer;
/// use sconce::{LoadOptions, ModelSource};
///
/// let files = ModelSource::directory("./XTTS-v2").open()?;
/// let model = Xtts::from_files(&files, &LoadOptions::default())?;
/// let recording = AudioReader::open("me.wav")?.mono(22_050)?;
/// let voice = model.clone_voice(&[recording], &model.config().cloning)?;
/// let ids = XttsTokenizer::of(&model).encode("Hello, this is my voice.", "en")?;
/// let config = GenerationConfig::default().seed(7);
/// utter(&model, &ids, &voice, &config, 1.0, &|| Ok(()), &mut |_| {})?.audio.save("hello.wav")?;
/// # Ok::<(), sconce::Error>(())
/// ```
///
/// Reference: `Xtts.inference` of coqui-tts 0.28.0. Python runs the GPT once more over the codes for what the decoder
/// reads; that is what it gave when it wrote them, and is kept here.
///
/// # Errors
///
/// When an option makes no sense, there are beams, or for what the model refuses.
pub fn utter(
    model: &Xtts,
    ids: &[u32],
    voice: &XttsVoice,
    config: &GenerationConfig,
    speed: f64,
    checkpoint: &Checkpoint<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<Uttered> {
    let mut generator = Generator::seed(config.seed.unwrap_or_else(rand::random));
    utter_with(model, ids, voice, (config, speed), &mut generator, checkpoint, progress)
}

/// As [`utter`], with random numbers that go on.
pub(super) fn utter_with(
    model: &Xtts,
    ids: &[u32],
    voice: &XttsVoice,
    (config, speed): (&GenerationConfig, f64),
    generator: &mut Generator,
    checkpoint: &Checkpoint<'_>,
    progress: &mut dyn FnMut(usize),
) -> Result<Uttered> {
    let mut utterance = Utterance::with_generator(model, ids, voice, (config, speed), generator)?;
    let mut latents = Vec::new();
    while let Some(latent) = utterance.next_latent(checkpoint)? {
        latents.push(latent);
        progress(latents.len());
    }
    generator.clone_from(&utterance.draws.numbers());
    checkpoint()?;
    let latents = Tensor::cat(&latents, 0)?;
    let samples = model.decode(&latents, voice, speed)?;
    let audio = Audio::new(samples, model.config().output_sampling_rate)?;
    Ok(Uttered { codes: utterance.codes().to_vec(), latents, audio })
}

/// A text while XTTS says it: codes one after the other, and the samples that are known by them.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use sconce::generation::GenerationConfig;
/// # use sconce::models::speech::Xtts;
/// # use sconce::sound::Utterance;
/// # fn play(_: Vec<f32>) {}
/// # fn say(model: Arc<Xtts>, ids: &[u32]) -> sconce::Result<()> {
/// let voice = model.speaker("Claribel Dervla")?.clone();
/// let config = GenerationConfig::default().seed(7);
/// let mut utterance = Utterance::begin(model, ids, &voice, &config, 1.0)?;
/// while let Some(samples) = utterance.next_piece(20, &|| Ok(()))? {
///     play(samples);
/// }
/// # Ok(())
/// # }
/// ```
///
/// All pieces together are what [`utter`] gives. Coqui's `inference_stream` makes all samples anew for each piece, as if
/// the text ended there, and fades the pieces into each other; here each sample is made once, when all that it depends on
/// is known.
#[derive(Debug)]
pub struct Utterance<M> {
    model: M,
    plan: Plan,
    draws: Draws,
    cache: KvCache,
    /// What comes before the next code, or before the last one.
    step: XttsStep,
    decoding: XttsDecoding,
    /// Ones in place of the voice and the text, the code before the first, and the codes.
    codes: Vec<u32>,
    /// Where the codes begin.
    before: usize,
    is_complete: bool,
    is_done: bool,
}

impl<M: Deref<Target = Xtts>> Utterance<M> {
    /// Begins a text: the options are those of [`utter`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn begin(
        model: M,
        ids: &[u32],
        voice: &XttsVoice,
        config: &GenerationConfig,
        speed: f64,
    ) -> Result<Self> {
        let generator = Generator::seed(config.seed.unwrap_or_else(rand::random));
        Self::with_generator(model, ids, voice, (config, speed), &generator)
    }

    pub(super) fn with_generator(
        model: M,
        ids: &[u32],
        voice: &XttsVoice,
        (config, speed): (&GenerationConfig, f64),
        generator: &Generator,
    ) -> Result<Self> {
        let own = model.config();
        let config = defaults(own).overlaid(config);
        if config.num_beams.is_some_and(|beams| beams > 1) {
            return Err(Error::option("num_beams", "XTTS writes codes without beams here"));
        }
        // As in the reference, processors see ones in place of the voice and the text.
        let mut codes = vec![1; voice.latents().dim(0)? + ids.len() + 2];
        codes.push(own.start_code);
        let before = codes.len();
        let limits = ModelLimits::new(own.gpt.vocab_size, before + own.max_codes);
        let plan = config.plan(&codes, limits, None)?;
        let mut plan = plan.with_eos_token_id(vec![own.stop_code]);
        let draws = Draws(Arc::new(Mutex::new(generator.clone())));
        if config.do_sample == Some(true) {
            plan = plan.with_sampler(Box::new(draws.clone()));
        }
        let decoding = model.begin_decoding(voice, speed)?;
        let (cache, step) = model.begin(ids, voice)?;
        let (is_complete, is_done) = (false, false);
        Ok(Self { model, plan, draws, cache, step, decoding, codes, before, is_complete, is_done })
    }

    /// The codes so far, the one that ends the text included.
    #[must_use]
    pub fn codes(&self) -> &[u32] {
        &self.codes[self.before..]
    }

    /// Whether all samples were returned.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Writes so many codes more, or more where they tell no sample yet, and returns the samples that are known by
    /// them; those of all codes for 0. `None` at the end. `checkpoint` is called before each code, and its error ends
    /// the work.
    ///
    /// # Errors
    ///
    /// What the model, the checkpoint or an option returns.
    pub fn next_piece(
        &mut self,
        codes: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Option<Vec<f32>>> {
        while !self.is_done {
            let mut latents = Vec::new();
            while codes == 0 || latents.len() < codes {
                let Some(latent) = self.next_latent(checkpoint)? else { break };
                latents.push(latent);
            }
            checkpoint()?;
            let mut samples = Vec::new();
            if !latents.is_empty() {
                let latents = Tensor::cat(&latents, 0)?;
                samples = self.model.decode_piece(&latents, &mut self.decoding)?;
            }
            if self.is_complete {
                samples.extend(self.model.finish_decoding(&mut self.decoding)?);
                self.is_done = true;
            }
            if self.is_done || !samples.is_empty() {
                return Ok(Some(samples));
            }
        }
        Ok(None)
    }

    /// Writes a code, and returns what the GPT knew before it, `(1, hidden)`; `None` at the end.
    fn next_latent(&mut self, checkpoint: &Checkpoint<'_>) -> Result<Option<Tensor>> {
        if self.is_complete {
            return Ok(None);
        }
        checkpoint()?;
        let place = self.codes().len();
        if let Some(&code) = self.codes().last() {
            self.step = self.model.step(code, place, &mut self.cache)?;
        }
        let code = self.plan.next(&self.codes, &mut self.step.logits)?.id;
        self.codes.push(code);
        self.is_complete = self.plan.finished(&self.codes)?.is_some();
        if self.is_complete && code != self.model.config().stop_code {
            let count = self.codes().len();
            warn(&format!(
                "the speech was cut off after {count} codes, its limit; say it in parts"
            ));
        }
        Ok(Some(self.step.latent.clone()))
    }

    /// The random numbers that follow those that were drawn.
    pub(super) fn generator(&self) -> Generator {
        self.draws.numbers().clone()
    }
}

/// `torch.multinomial` for one token: the one whose probability is the largest, each divided by a number of the
/// exponential distribution. So a seed gives the codes of Python.
#[derive(Debug, Clone)]
struct Draws(Arc<Mutex<Generator>>);

impl Draws {
    fn numbers(&self) -> MutexGuard<'_, Generator> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sampler for Draws {
    fn sample(&mut self, distribution: &Distribution<'_>) -> Result<usize> {
        let drawn = self.numbers().rand::<f64>(distribution.logits().len());
        let mut most = (distribution.likeliest(), f32::NEG_INFINITY);
        for (id, number) in drawn.into_iter().enumerate() {
            let log = match number >= 1.0 - f64::EPSILON / 2.0 {
                true => -f64::EPSILON / 2.0,
                false => (1.0 - number).ln(),
            };
            let share = distribution.probability(id) / (-log) as f32;
            if share > most.1 && distribution.logits()[id] > f32::NEG_INFINITY {
                most = (id, share);
            }
        }
        Ok(most.0)
    }

    fn reseed(&mut self, seed: u64) {
        *self.numbers() = Generator::seed(seed);
    }
}

/// How codes are chosen where a call does not say.
pub(super) fn defaults(config: &XttsConfig) -> GenerationConfig {
    let sampling = &config.sampling;
    GenerationConfig::default()
        .do_sample(true)
        .temperature(sampling.temperature)
        .repetition_penalty(sampling.repetition_penalty)
        .top_k(i64::try_from(sampling.top_k).unwrap_or(i64::MAX))
        .top_p(sampling.top_p)
        .max_new_tokens(config.max_codes)
}
