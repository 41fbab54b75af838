//! MusicGen's loop: text to codes to music.

use rayon::prelude::*;

use crate::audio::{Audio, AudioFeatures};
use crate::batch::{PaddingSide, TokenBatch};
use crate::error::{Error, Result};
use crate::generation::{CancelHandle, GenerationConfig, Plan};
use crate::models::codecs::{CodeChunk, Codes};
use crate::models::music::MusicGen;
use crate::models::{ModelLimits, TextModel};
use crate::nn::cache::KvCache;
use crate::sound::delay::Delay;
use crate::warning::warn;

/// What music is made of.
#[derive(Debug, Clone, Default)]
pub struct ComposeInput {
    /// Token ids of the text that describes the music; `None` for music of the model's own choice.
    pub text: Option<Vec<u32>>,
    /// Sound that the music goes on from: the samples of each channel, at the codec's sampling rate.
    pub prompt: Option<Vec<Vec<f32>>>,
    /// The melody that the music follows, for a model that hears melodies: what
    /// [`ChromaFeatureExtractor`](crate::audio::ChromaFeatureExtractor) hears.
    pub melody: Option<AudioFeatures>,
}

/// Music.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Composed {
    /// Of each codebook its codes, `(codebooks, frames)`. With two channels, codebooks alternate between left and
    /// right.
    pub codes: Vec<Vec<u32>>,
    /// The samples of each channel, from -1 to 1 or a little beyond.
    pub channels: Vec<Vec<f32>>,
    /// Samples of each channel per second.
    pub sampling_rate: u32,
}

/// Makes music of texts and sound: as many pieces for each input as `num_return_sequences` says.
///
/// Options are those of transformers: `guidance_scale` above 1 compares with music without the text,
/// `max_new_tokens` are frames and `codebooks - 1` more for the delay between codebooks. `seed` makes a call
/// reproducible. `progress` is called after each frame with how many there are, and how many there will be.
///
/// ```no_run
/// use sconce::generation::{CancelHandle, GenerationConfig};
/// use sconce::models::AutoModel;
/// use sconce::models::music::MusicGen;
/// use sconce::sound::{ComposeInput, compose};
/// use sconce::tokenizer::Tokenizer;
/// use sconce::{LoadOptions, ModelSource};
///
/// let files = ModelSource::from("facebook/musicgen-small").open()?;
/// let model = AutoModel::from_files::<MusicGen>(&files, &LoadOptions::default())?;
/// let tokenizer = Tokenizer::from_files(&files)?;
/// let text = tokenizer.encode("a calm piano over rain")?.ids;
/// let config = GenerationConfig::from_files(&files, &tokenizer)?;
/// let config = config.overlaid(&GenerationConfig::default().max_new_tokens(256).seed(1));
/// let input = ComposeInput { text: Some(text), ..Default::default() };
/// let music = compose(&model, &[input], &config, &CancelHandle::default(), &mut |_, _| {})?;
/// sconce::audio::Audio::new(music[0].channels[0].clone(), music[0].sampling_rate)?.save("rain.wav")?;
/// # Ok::<(), sconce::Error>(())
/// ```
///
/// Reference: `MusicgenForConditionalGeneration.generate` of transformers 4.57.6.
///
/// # Errors
///
/// [`Error::Interrupted`] when it was cancelled; when some inputs have a text or a prompt and others have none,
/// prompts differ in length or have other channels than the model, an option makes no sense, there are more
/// frames than positions, or what the model refuses.
pub fn compose(
    model: &MusicGen,
    inputs: &[ComposeInput],
    config: &GenerationConfig,
    cancel: &CancelHandle,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Composed>> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let scale = guidance(config)?;
    let mut config = config.clone();
    config.guidance_scale = None;
    let scale = scale.filter(|_| inputs.iter().any(|input| input.text.is_some()));
    let mut cache = described(model, inputs, scale.is_some())?;
    let each = config.num_return_sequences.unwrap_or(1).max(1);
    let pieces = inputs.len() * each;
    if each > 1 {
        let twice = if scale.is_some() { 2 } else { 1 };
        let rows = 0..twice * pieces;
        cache.select_rows(&rows.map(|row| row / each).collect::<Vec<_>>())?;
    }
    let (books, start_id) = (model.config().codebooks, model.config().start_id);
    let prompts = inputs.iter().map(|input| prompt(model, input));
    let prompts = prompts.collect::<Result<Vec<_>>>()?;
    let known = prompts[0][0].len();
    if prompts.iter().any(|prompt| prompt[0].len() != known) {
        return Err(Error::input("prompts of different lengths; call once for each"));
    }
    let length = length(&config, known, model.limits())?;
    let mut delays = Vec::with_capacity(pieces);
    let mut rows: Vec<Row> = Vec::with_capacity(pieces * books);
    let seed = config.seed.unwrap_or_else(rand::random);
    for piece in 0..pieces {
        let prompt = &prompts[piece / each];
        let delay = Delay::new(prompt.clone(), model.config().channels, length, start_id)?;
        // What stands in the first frames, before any is generated.
        let first: Vec<_> = (0..known).map(|at| delay.frame(at, |_| start_id)).collect();
        delays.push(delay);
        for book in 0..books {
            let tokens: Vec<u32> = first.iter().map(|frame| frame[book]).collect();
            let limits = ModelLimits::new(model.config().codes + 1, length);
            let plan = config.plan(&tokens, limits, None)?;
            let plan = plan.with_seed(seed.wrapping_add(rows.len() as u64));
            rows.push(Row { tokens, plan: plan.with_eos_token_id(Vec::new()) });
        }
    }
    let mut computed = 0;
    for at in known..length {
        if cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let frames: Vec<Vec<u32>> = (0..pieces)
            .map(|piece| {
                let frame = |at| {
                    let rows = &rows[piece * books..(piece + 1) * books];
                    delays[piece].frame(at, |book| rows[book].tokens[at])
                };
                (computed..at).flat_map(frame).collect()
            })
            .collect();
        let twice = if scale.is_some() { 2 } else { 1 };
        let frames: Vec<&[u32]> =
            (0..twice).flat_map(|_| frames.iter().map(Vec::as_slice)).collect();
        let logits = model.forward(&frames, &mut cache)?;
        let mut logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        let guided = match scale {
            None => &mut logits[..],
            Some(scale) => {
                let (guided, others) = logits.split_at_mut(pieces * books * model.config().codes);
                for (with, without) in guided.iter_mut().zip(others) {
                    *with = *without + (*with - *without) * scale as f32;
                }
                guided
            }
        };
        computed = at;
        let advanced = guided
            .par_chunks_mut(model.config().codes)
            .zip(rows.par_iter_mut())
            .map(|(logits, row)| row.advance(logits));
        advanced.collect::<Result<Vec<()>>>()?;
        progress(at + 1, length);
    }
    let pieces = delays.iter().zip(rows.chunks(books)).map(|(delay, rows)| {
        let codes = delay.undone(|book, at| rows[book].tokens[at], start_id);
        decoded(model, codes)
    });
    pieces.collect()
}

/// The codes of a codebook of a piece in the making.
#[derive(Debug)]
struct Row {
    tokens: Vec<u32>,
    plan: Plan,
}

impl Row {
    fn advance(&mut self, logits: &mut [f32]) -> Result<()> {
        let token = self.plan.next(&self.tokens, logits)?;
        self.tokens.push(token.id);
        Ok(())
    }
}

/// The scale of guidance, if it is above 1. As in the reference, another does nothing.
fn guidance(config: &GenerationConfig) -> Result<Option<f64>> {
    let Some(scale) = config.guidance_scale else { return Ok(None) };
    if !scale.is_finite() || scale < 0.0 {
        return Err(Error::option("guidance_scale", format!("is {scale}; it should be 1 or more")));
    }
    Ok((scale > 1.0).then_some(scale))
}

fn described(model: &MusicGen, inputs: &[ComposeInput], guided: bool) -> Result<KvCache> {
    let hears = model.hears_melodies();
    if !hears && inputs.iter().any(|input| input.melody.is_some()) {
        let reason = "this MusicGen hears no melodies: choose facebook/musicgen-melody";
        return Err(Error::input(reason));
    }
    if hears && inputs.iter().any(|input| input.prompt.is_some()) {
        let reason = "MusicGen Melody goes on from no sound: give a melody instead of a prompt";
        return Err(Error::input(reason));
    }
    let texts: Vec<&[u32]> = inputs.iter().filter_map(|input| input.text.as_deref()).collect();
    if texts.is_empty() {
        return model.describe_nothing(inputs.len());
    }
    if texts.len() != inputs.len() {
        return Err(Error::input(
            "some inputs have a text and others have none; call once for each kind",
        ));
    }
    if let Some(empty) = texts.iter().position(|text| text.is_empty()) {
        return Err(Error::input(format!("text {empty} is empty")));
    }
    if let Some(long) = texts.iter().find(|text| text.len() > MOST_TEXT) {
        let reason =
            format!("a text of {} tokens about the music; {MOST_TEXT} are the limit", long.len());
        return Err(Error::input(reason));
    }
    let texts: Vec<Vec<u32>> = texts.into_iter().map(<[u32]>::to_vec).collect();
    let texts = TokenBatch::padded(&texts, 0, PaddingSide::Right)?;
    if !hears {
        return model.describe(&texts, guided);
    }
    let melodies: Vec<_> = inputs.iter().map(|input| input.melody.as_ref()).collect();
    model.describe_melodies(&texts, &melodies, guided)
}

/// What is given of each codebook: the start id, and the codes of the prompt.
fn prompt(model: &MusicGen, input: &ComposeInput) -> Result<Vec<Vec<u32>>> {
    let (config, codec) = (model.config(), model.codec());
    let mut books = vec![vec![config.start_id]; config.codebooks];
    let Some(sound) = &input.prompt else { return Ok(books) };
    if sound.len() != config.channels {
        let (found, own) = (sound.len(), config.channels);
        return Err(Error::input(format!("a prompt of {found} channels for music of {own}")));
    }
    let of_channel = config.codebooks / config.channels;
    for (number, channel) in sound.iter().enumerate() {
        let codes = codec.encode(&[channel], None)?;
        let [CodeChunk { books: codes, .. }] = codes.chunks.as_slice() else {
            return Err(Error::unsupported("a codec that works in chunks, for music that goes on"));
        };
        if codes.len() != of_channel {
            let found = codes.len();
            return Err(Error::unsupported(format!(
                "the codec's codes have {found} codebooks where the model has {of_channel}"
            )));
        }
        for (book, codes) in codes.iter().enumerate() {
            books[book * config.channels + number].extend(codes);
        }
    }
    Ok(books)
}

/// How many frames there will be, what is known and gaps included.
fn length(config: &GenerationConfig, known: usize, limits: ModelLimits) -> Result<usize> {
    let length = match (config.max_new_tokens, config.max_length) {
        (Some(0), _) => {
            return Err(Error::option("max_new_tokens", "is 0; it should be at least 1"));
        }
        (Some(new), _) => known.saturating_add(new),
        (None, Some(length)) => length,
        (None, None) => known + 20,
    };
    if length > limits.context {
        let name = if config.max_new_tokens.is_some() { "max_new_tokens" } else { "max_length" };
        let reason = format!(
            "asks for {length} frames in all, and the model makes {} at most: lower it, and go on with a prompt",
            limits.context
        );
        return Err(Error::option(name, reason));
    }
    Ok(length)
}

/// Tokens of a text; the published models learned from short ones, and reading one cannot be cancelled.
const MOST_TEXT: usize = 4096;

/// The music of codes.
fn decoded(model: &MusicGen, codes: Vec<Vec<u32>>) -> Result<Composed> {
    let (codec, channels) = (model.codec(), model.config().channels);
    let sampling_rate = codec.layout().sampling_rate;
    if codes.iter().any(Vec::is_empty) {
        return Err(Error::input("the music has no frames: set `max_new_tokens` higher"));
    }
    let channel = |number: usize| {
        let books = codes.iter().skip(number).step_by(channels).cloned().collect();
        Ok::<_, Error>(codec.decode(&Codes::new(books))?.swap_remove(0))
    };
    let channels = (0..channels).map(channel).collect::<Result<Vec<_>>>()?;
    if channels.iter().flatten().any(|sample| !sample.is_finite()) {
        warn("the music holds numbers that are not finite");
    }
    Ok(Composed { codes, channels, sampling_rate })
}

impl Composed {
    /// The music of one channel, the mean of all.
    ///
    /// # Errors
    ///
    /// When a sample is no finite number.
    pub fn mono(&self) -> Result<Audio> {
        let samples = self.channels.first().map_or(0, Vec::len);
        let count = self.channels.len().max(1) as f32;
        let mean = |at: usize| self.channels.iter().map(|channel| channel[at]).sum::<f32>() / count;
        Audio::new((0..samples).map(mean).collect(), self.sampling_rate)
    }
}
