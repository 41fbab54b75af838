//! Bark's stages: text to what is said, to the first codebooks, to all of them, to sound.

mod fine;
mod processors;
mod settings;
mod voice;

pub use settings::{BarkSettings, CoarseSettings, FineSettings, SemanticSettings};
pub use voice::Voice;

use crate::audio::Audio;
use crate::batch::TokenBatch;
use crate::error::{Error, Result};
use crate::generation::{CancelHandle, GenerationConfig, Plan};
use crate::models::bark::Bark;
use crate::models::codecs::Codes;
use crate::models::decoder::Decoder;
use crate::models::{Autoregressive, CausalLm, LogitsAt, ModelLimits};
use crate::nn::cache::KvCache;
use crate::warning::warn;
use fine::fine;
use processors::{Alternating, EosPrioritizer, SemanticOnly};

/// What Bark has said, with the tokens of each stage.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Spoken {
    /// What is said, the token of its end included where it came.
    pub semantic: Vec<u32>,
    /// The codes of the first codebooks by turns, as the model numbers them.
    pub coarse: Vec<u32>,
    /// The codes of all codebooks, `(codebooks, frames)`.
    pub fine: Vec<Vec<u32>>,
    /// The sound.
    pub audio: Audio,
}

/// What Bark is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// So many semantic tokens are there.
    Semantic(usize),
    /// So many codes of the first codebooks are there, and there will be so many.
    Coarse(usize, usize),
    /// All codes of the first codebooks are there.
    Fine,
    /// All codes are there.
    Decoding,
}

/// Says a text, given as the tokenizer's ids without special tokens, in a voice, or in one of the model's own
/// choice.
///
/// ```no_run
/// use sconce::generation::CancelHandle;
/// use sconce::models::AutoModel;
/// use sconce::models::bark::Bark;
/// use sconce::sound::{BarkSettings, Voice, speak};
/// use sconce::tokenizer::{EncodeOptions, Tokenizer};
/// use sconce::{LoadOptions, ModelSource};
///
/// let files = ModelSource::from("suno/bark-small").open()?;
/// let model = AutoModel::from_files::<Bark>(&files, &LoadOptions::default())?;
/// let voice = Voice::from_files(&files, "v2/en_speaker_6")?;
/// let plain = EncodeOptions::default().add_special_tokens(false);
/// let tokenizer = Tokenizer::from_files(&files)?;
/// let ids = tokenizer.encode_with("Hello, my dog is cute.", &plain)?.ids;
/// let settings = BarkSettings::from_files(&files)?;
/// let cancel = CancelHandle::default();
/// let spoken = speak(&model, &ids, Some(&voice), &settings, 7, &cancel, &mut |_| {})?;
/// spoken.audio.save("dog.wav")?;
/// # Ok::<(), sconce::Error>(())
/// ```
///
/// Reference: `BarkModel.generate` of transformers 4.57.6.
///
/// # Errors
///
/// [`Error::Interrupted`] when it was cancelled; for a text without tokens, or one of which the model says nothing;
/// a voice that does not fit the model, an option that makes no sense, and what a stage refuses.
pub fn speak(
    model: &Bark,
    text: &[u32],
    voice: Option<&Voice>,
    settings: &BarkSettings,
    seed: u64,
    cancel: &CancelHandle,
    progress: &mut dyn FnMut(Stage),
) -> Result<Spoken> {
    settings.check(model)?;
    if let Some(voice) = voice {
        check(voice, settings)?;
    }
    let semantic = semantic(model, text, voice, settings, seed, cancel, progress)?;
    let coarse = coarse(model, &semantic, voice, settings, seed, cancel, progress)?;
    if coarse.is_empty() {
        return Err(Error::input("the model says nothing of this text"));
    }
    progress(Stage::Fine);
    let fine = fine(model, settings, &coarse, voice, seed, cancel)?;
    progress(Stage::Decoding);
    let codec = model.codec();
    let samples = codec.decode(&Codes::new(fine.clone()))?.swap_remove(0);
    let audio = Audio::new(samples, codec.layout().sampling_rate)?;
    Ok(Spoken { semantic, coarse, fine, audio })
}

/// `BarkSemanticModel.generate` of the reference.
fn semantic(
    model: &Bark,
    text: &[u32],
    voice: Option<&Voice>,
    settings: &BarkSettings,
    seed: u64,
    cancel: &CancelHandle,
    progress: &mut dyn FnMut(Stage),
) -> Result<Vec<u32>> {
    let of = &settings.semantic;
    let length = of.max_input_semantic_length;
    if text.is_empty() {
        return Err(Error::input("the text is empty"));
    }
    if text.len() > length {
        let found = text.len();
        warn(&format!("a text of {found} tokens is cut off after {length}; say it in parts"));
    }
    let mut ids = text.iter().take(length).map(|id| id.saturating_add(of.text_encoding_offset));
    let padded = |ids: &mut dyn Iterator<Item = u32>, pad: u32| -> Vec<u32> {
        let mut ids: Vec<u32> = ids.collect();
        ids.resize(length, pad);
        ids
    };
    let text = padded(&mut ids, of.text_pad_token);
    let before = voice.map_or(&[][..], |voice| voice.semantic.as_slice());
    let before = &before[before.len().saturating_sub(length)..];
    let before = padded(&mut before.iter().copied(), of.semantic_pad_token);
    let mut cache = model.read_text(&text, &before)?;
    // As in the reference, processors see ones in place of the text.
    let seen = vec![1; length + 1];
    let config = model.semantic_config();
    let mut plan = plan(&of.generation, &seen, config.max_positions, model.semantic())?;
    plan = plan.with_seed(seed).with_processor(Box::new(SemanticOnly {
        vocab: of.semantic_vocab_size as usize,
        end: of.semantic_pad_token as usize,
    }));
    if let Some(min_eos_p) = of.min_eos_p {
        plan = plan.with_processor(Box::new(EosPrioritizer {
            end: of.semantic_pad_token as usize,
            min_eos_p,
        }));
    }
    let first = [of.semantic_infer_token];
    let mut told = |count: usize| progress(Stage::Semantic(count));
    written(model.semantic(), &mut cache, &first, seen, plan, cancel, &mut told)
}

/// `BarkCoarseModel.generate` of the reference.
fn coarse(
    model: &Bark,
    semantic: &[u32],
    voice: Option<&Voice>,
    settings: &BarkSettings,
    seed: u64,
    cancel: &CancelHandle,
    progress: &mut dyn FnMut(Stage),
) -> Result<Vec<u32>> {
    let (of, books) = (&settings.coarse, settings.coarse.n_coarse_codebooks);
    let ratio = of.coarse_rate_hz / settings.semantic.semantic_rate_hz * books as f64;
    let most_before = (of.max_coarse_history as f64 / ratio).floor() as usize;
    let end = settings.semantic.semantic_pad_token;
    let said = semantic.iter().map(|&id| if id == end { of.coarse_semantic_pad_token } else { id });
    let said: Vec<u32> = said.collect();
    let count = said.iter().filter(|&&id| id != of.coarse_semantic_pad_token).count();
    // In f32, as there.
    let frames = (count as f32 * ratio as f32 / books as f32).floor();
    let total = (frames * books as f32).round_ties_even() as usize;
    let (mut meanings, mut codes) = history(voice, settings, ratio, most_before);
    let (base, known) = (meanings.len(), codes.len());
    meanings.extend(said);
    let mut random = seed;
    while codes.len() - known < total {
        let done = codes.len() - known;
        let at = base + (done as f64 / ratio).round_ties_even() as usize;
        let from = at.saturating_sub(most_before).min(meanings.len());
        let seen = &meanings[from..meanings.len().min(from + of.max_coarse_input_length)];
        let mut prompt = seen.to_vec();
        prompt.resize(of.max_coarse_input_length, of.coarse_semantic_pad_token);
        prompt.push(of.coarse_infer_token);
        prompt.extend(&codes[codes.len().saturating_sub(of.max_coarse_history)..]);
        let mut config = of.generation.clone();
        config.max_new_tokens = Some(of.sliding_window_len.min(total - done));
        let plan = plan(&config, &prompt, model.coarse_config().max_positions, model.coarse())?;
        random = random.wrapping_add(1);
        let plan = plan.with_seed(random).with_processor(Box::new(Alternating {
            start: prompt.len(),
            semantic: settings.semantic.semantic_vocab_size as usize,
            codes: settings.codebook_size as usize,
        }));
        let mut cache = model.coarse().new_cache();
        let mut told = |count: usize| progress(Stage::Coarse(done + count, total));
        let (first, model) = (prompt.clone(), model.coarse());
        let new = written(model, &mut cache, &first, prompt, plan, cancel, &mut told)?;
        codes.extend(new);
    }
    Ok(codes.split_off(known))
}

/// What a voice said before, as the coarse stage sees it: `preprocess_histories` of the reference.
fn history(
    voice: Option<&Voice>,
    settings: &BarkSettings,
    ratio: f64,
    most: usize,
) -> (Vec<u32>, Vec<u32>) {
    let Some(voice) = voice else { return (Vec::new(), Vec::new()) };
    let frames = voice.coarse.first().map_or(0, Vec::len);
    let code = |frame: usize, book: usize| {
        let before = settings.codebook_size.saturating_mul(book as u32);
        let first = settings.semantic.semantic_vocab_size.saturating_add(before);
        voice.coarse[book][frame].saturating_add(first)
    };
    let codes = (0..frames).flat_map(|at| (0..voice.coarse.len()).map(move |book| (at, book)));
    let codes: Vec<u32> = codes.map(|(at, book)| code(at, book)).collect();
    let said = voice.semantic.len();
    let kept = most.min(said - said % 2).min((codes.len() as f64 / ratio).floor() as usize);
    let kept_codes = ((kept as f64 * ratio).round_ties_even() as usize).min(codes.len());
    // The last 0 are all, in Python.
    let last = |ids: &[u32], count: usize| match count {
        0 => ids.to_vec(),
        count => ids[ids.len() - count..].to_vec(),
    };
    let (said, mut codes) = (last(&voice.semantic, kept), last(&codes, kept_codes));
    codes.truncate(codes.len().saturating_sub(2));
    (said, codes)
}

/// A plan for tokens after `seen`, whose options leave the model as much room as it has.
fn plan(
    config: &GenerationConfig,
    seen: &[u32],
    positions: usize,
    model: &Decoder,
) -> Result<Plan> {
    let vocab = crate::models::TextModel::limits(model).vocab;
    let most = seen.iter().copied().max().map_or(0, |most| most as usize + 1);
    config.plan(seen, ModelLimits::new(vocab.max(most), positions + 1), None)
}

/// What a model writes after `first`, which it has not read yet.
fn written(
    model: &Decoder,
    cache: &mut KvCache,
    first: &[u32],
    seen: Vec<u32>,
    mut plan: Plan,
    cancel: &CancelHandle,
    told: &mut dyn FnMut(usize),
) -> Result<Vec<u32>> {
    let before = seen.len();
    let mut tokens = seen;
    let mut next = first.to_vec();
    loop {
        if cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let logits = model.forward(&TokenBatch::single(&next)?, cache, LogitsAt::LastToken)?;
        let mut logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
        let id = plan.next(&tokens, &mut logits)?.id;
        tokens.push(id);
        told(tokens.len() - before);
        if plan.finished(&tokens)?.is_some() {
            return Ok(tokens.split_off(before));
        }
        next = vec![id];
    }
}

/// An error for a voice of other sizes than the model's.
fn check(voice: &Voice, settings: &BarkSettings) -> Result<()> {
    let wrong = |name: &str, reason: String| {
        Err(Error::input(format!("the voice's `{name}` does not fit the model: {reason}")))
    };
    let vocab = settings.semantic.semantic_vocab_size;
    if let Some(id) = voice.semantic.iter().find(|&&id| id > vocab) {
        return wrong("semantic_prompt", format!("{id} where tokens are below {vocab}"));
    }
    let (given, total) = (settings.coarse.n_coarse_codebooks, settings.fine.n_fine_codebooks);
    let codes = settings.codebook_size;
    for (name, books, wanted) in
        [("coarse_prompt", &voice.coarse, given), ("fine_prompt", &voice.fine, total)]
    {
        if books.len() != wanted {
            return wrong(name, format!("{} codebooks, not {wanted}", books.len()));
        }
        if let Some(code) = books.iter().flatten().find(|&&code| code >= codes) {
            return wrong(name, format!("code {code} of codebooks of {codes}"));
        }
    }
    Ok(())
}
