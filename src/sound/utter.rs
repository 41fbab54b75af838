//! XTTS's loop: a voice and a text to codes, and to sound.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;

use crate::audio::Audio;
use crate::error::{Error, Result};
use crate::generation::{Distribution, GenerationConfig, Sampler};
use crate::models::speech::{Xtts, XttsConfig, XttsVoice};
use crate::models::{Checkpoint, ModelLimits};
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
    let (mut cache, mut step) = model.begin(ids, voice)?;
    let mut latents = Vec::new();
    loop {
        checkpoint()?;
        let code = plan.next(&codes, &mut step.logits)?.id;
        codes.push(code);
        latents.push(step.latent);
        progress(latents.len());
        if plan.finished(&codes)?.is_some() {
            break;
        }
        step = model.step(code, latents.len(), &mut cache)?;
    }
    generator.clone_from(&draws.numbers());
    let codes = codes.split_off(before);
    if codes.last() != Some(&own.stop_code) {
        let count = codes.len();
        warn(&format!("the speech was cut off after {count} codes, its limit; say it in parts"));
    }
    checkpoint()?;
    let latents = Tensor::cat(&latents, 0)?;
    let samples = model.decode(&latents, voice, speed)?;
    let audio = Audio::new(samples, own.output_sampling_rate)?;
    Ok(Uttered { codes, latents, audio })
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
