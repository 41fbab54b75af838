//! Normalizers and decoders that cannot make a text of megabytes out of a few letters.
//!
//! A file of a hundred bytes can ask for thirty replacements of which each doubles the text. Here a text may
//! become sixteen times as long, which no honest table comes near (the worst of Unicode's compatibility forms
//! makes 33 bytes of 3), and every step is judged before it is taken.

use std::panic::resume_unwind;

use serde::Serialize;
use serde_json::Value;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::Replace;
use tokenizers::{
    Decoder, DecoderWrapper, ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper,
    PostProcessorWrapper, PreTokenizerWrapper, Result, TokenizerImpl,
};

/// The tokenizers crate's tokenizer with bounded parts.
pub(super) type Engine = TokenizerImpl<
    ModelWrapper,
    Bounded<NormalizerWrapper>,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    Bounded<DecoderWrapper>,
>;

/// A part whose steps are bounded.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(super) struct Bounded<T>(T);

impl<T> From<T> for Bounded<T> {
    fn from(part: T) -> Self {
        Self(part)
    }
}

impl<T> Bounded<T> {
    /// The part itself.
    pub(super) fn part(&self) -> &T {
        &self.0
    }
}

impl Normalizer for Bounded<NormalizerWrapper> {
    fn normalize(&self, text: &mut NormalizedString) -> Result<()> {
        let most = most(text.get().len());
        // The caller in the crate drops errors, and goes on with half a text. What unwinds becomes an error
        // in `guarded`, and is not printed on its way.
        normalize(&self.0, text, most).map_err(|error| resume_unwind(Box::new(error.to_string())))
    }
}

impl Decoder for Bounded<DecoderWrapper> {
    fn decode_chain(&self, tokens: Vec<String>) -> Result<Vec<String>> {
        let most = most(length(&tokens));
        decode(&self.0, tokens, most)
    }
}

fn normalize(step: &NormalizerWrapper, text: &mut NormalizedString, most: usize) -> Result<()> {
    match step {
        NormalizerWrapper::Sequence(steps) => {
            return steps.as_ref().iter().try_for_each(|step| normalize(step, text, most));
        }
        NormalizerWrapper::Replace(replace) => check_replace(replace, &[text.get()], most)?,
        NormalizerWrapper::Prepend(step) => check(text.get().len() + step.prepend.len(), most)?,
        _ => {}
    }
    step.normalize(text)?;
    check(text.get().len(), most)
}

fn decode(step: &DecoderWrapper, tokens: Vec<String>, most: usize) -> Result<Vec<String>> {
    match step {
        DecoderWrapper::Sequence(steps) => {
            let mut steps = steps.get_decoders().iter();
            return steps.try_fold(tokens, |tokens, step| decode(step, tokens, most));
        }
        DecoderWrapper::Replace(replace) => check_replace(replace, &tokens, most)?,
        _ => {}
    }
    let tokens = step.decode_chain(tokens)?;
    check(length(&tokens), most)?;
    Ok(tokens)
}

/// Judges a replacement before it is made; a short one can be judged by its result. Matches of a regular
/// expression are not counted: there may be one at every byte.
fn check_replace(replace: &Replace, texts: &[impl AsRef<str>], most: usize) -> Result<()> {
    let content = replace.content.len();
    if content <= SHORT {
        return Ok(());
    }
    let json = serde_json::to_value(replace)?;
    let matches = |text: &str| match json["pattern"]["String"].as_str() {
        Some(pattern) => text.matches(pattern).count(),
        None => text.len() + 1,
    };
    let matches: usize = texts.iter().map(|text| matches(text.as_ref())).sum();
    check(matches.saturating_mul(content), most)
}

/// Judges a text of `from` bytes that has become `to` bytes long.
pub(super) fn check_growth(from: usize, to: usize) -> Result<()> {
    check(to, most(from))
}

fn check(length: usize, most: usize) -> Result<()> {
    if length <= most {
        return Ok(());
    }
    let reason = format!(
        "a text would become {length} bytes long and may become {most}: {GROWTH} times as long as it \
         was, and a little"
    );
    Err(reason.into())
}

fn length(texts: &[String]) -> usize {
    texts.iter().map(String::len).sum()
}

/// How long a text may become.
fn most(length: usize) -> usize {
    (length + A_LITTLE).saturating_mul(GROWTH)
}

/// A unigram model. The crate keeps its pieces in a tree as deep as the longest of them, and takes it down
/// level by level on the stack.
pub(super) fn unigram(
    vocab: Vec<(String, f64)>,
    unk_id: Option<usize>,
    byte_fallback: bool,
) -> Result<Unigram> {
    if let Some((piece, _)) = vocab.iter().find(|(piece, _)| piece.len() > MOST_PIECE) {
        let length = piece.len();
        return Err(format!("has a piece of {length} bytes; {MOST_PIECE} are the limit").into());
    }
    Unigram::from(vocab, unk_id, byte_fallback)
}

/// Refuses parts of a `tokenizer.json` that multiply a text otherwise: pre-tokenizers that lengthen it, or
/// put something before every piece of it, over and over, and templates that repeat it.
pub(super) fn check_part(part: &Value) -> std::result::Result<(), String> {
    let lengthening = count(part, &|part| {
        let kind = part.get("type").and_then(Value::as_str);
        usize::from(matches!(kind, Some("ByteLevel" | "Metaspace")))
    });
    let pieces =
        |part: &Value, field| part.get(field).and_then(Value::as_array).map_or(0, Vec::len);
    let pieces = |part: &Value| pieces(part, "single").max(pieces(part, "pair"));
    let templates = count(part, &|part| usize::from(pieces(part) > 0));
    let pieces = count(part, &pieces);
    for (found, most, what) in [
        (lengthening, MOST_LENGTHENING, "steps of the types ByteLevel and Metaspace"),
        (pieces, MOST_PIECES, "pieces of a template"),
        (templates, MOST_TEMPLATES, "templates of special tokens, one after the other"),
    ] {
        if found > most {
            return Err(format!("has {found} {what}; {most} is the limit"));
        }
    }
    Ok(())
}

/// The sum of what `of` says about every object in `part`.
fn count(part: &Value, of: &dyn Fn(&Value) -> usize) -> usize {
    match part {
        Value::Array(parts) => parts.iter().map(|part| count(part, of)).sum(),
        Value::Object(parts) => {
            of(part) + parts.values().map(|part| count(part, of)).sum::<usize>()
        }
        _ => 0,
    }
}

/// The limit of growth, to which even the shortest texts get so many bytes.
const GROWTH: usize = 16;
const A_LITTLE: usize = 64;
/// A replacement that makes a text hardly longer than the limit.
const SHORT: usize = 4;
const MOST_LENGTHENING: usize = 4;
const MOST_PIECES: usize = 64;
/// Each repeats what the one before has repeated.
const MOST_TEMPLATES: usize = 1;
/// Of a unigram model, in bytes. Real pieces have 16 characters, or a few times as many.
const MOST_PIECE: usize = 1024;
