//! `tokenizer.json`, and what transformers' classes change in it.

use std::path::Path;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::AddedToken;
use tokenizers::DecoderWrapper;
use tokenizers::ModelWrapper;
use tokenizers::NormalizerWrapper;
use tokenizers::PaddingDirection;
use tokenizers::PostProcessorWrapper;
use tokenizers::PreTokenizerWrapper;
use tokenizers::TruncationDirection;
use tokenizers::TruncationParams;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::WordPiece;

use crate::batch::PaddingSide;
use crate::error::Error;
use crate::source::file;
use crate::tokenizer::Truncation;
use crate::tokenizer::backend::Template;
use crate::tokenizer::backend::guarded;
use crate::tokenizer::bounded;
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::charsmap;
use crate::tokenizer::class::Class;
use crate::tokenizer::config::Config;
use crate::tokenizer::pattern;

/// The parts of a tokenizer before special tokens are looked after.
pub(super) struct Parts {
    pub(super) tokenizer: Engine,
    pub(super) template: Template,
    pub(super) padding: Option<FilePadding>,
    /// Whether older files were converted, as transformers' slow classes read them.
    pub(super) is_converted: bool,
}

/// What `padding` in the file implies where `tokenizer_config.json` is silent.
#[derive(Deserialize)]
pub(super) struct FilePadding {
    #[serde(rename = "pad_token")]
    pub(super) token: String,
    #[serde(rename = "pad_type_id", default)]
    pub(super) type_id: u32,
    #[serde(rename = "direction", deserialize_with = "side")]
    pub(super) side: PaddingSide,
}

/// Everything in the file but the model, whose type is read first.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    padding: Option<FilePadding>,
    model: Kind,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Body<M> {
    model: M,
}

/// Reads a `tokenizer.json` as the class in the config would.
pub(super) fn load(path: &Path, config: &Config) -> crate::error::Result<Parts> {
    let text = file::read_text(path)?;
    guarded(|| parse(&text, Some(config))).map_err(|reason| Error::malformed(path, reason))
}

/// Reads a `tokenizer.json` as the tokenizers library alone does, and where it cuts texts.
pub(super) fn load_plain(path: &Path) -> crate::error::Result<(Parts, Option<Truncation>)> {
    #[derive(Deserialize)]
    struct Cut {
        truncation: Option<TruncationParams>,
    }
    let text = file::read_text(path)?;
    guarded(|| {
        let truncation = serde_json::from_str::<Cut>(&text)?.truncation.map(|truncation| {
            let side = match truncation.direction {
                TruncationDirection::Left => PaddingSide::Left,
                TruncationDirection::Right => PaddingSide::Right,
            };
            Truncation::to(truncation.max_length).stride(truncation.stride).side(side)
        });
        Ok((parse(&text, None)?, truncation))
    })
    .map_err(|reason| Error::malformed(path, reason))
}

fn parse(text: &str, config: Option<&Config>) -> tokenizers::Result<Parts> {
    let mut head: Head = serde_json::from_str(text)?;
    if let Some(config) = config {
        class_changes(&mut head, config);
    }
    let model = match head.model.kind.as_deref() {
        Some("BPE") => body::<BPE>(text)?.into(),
        Some("WordPiece") => body::<WordPiece>(text)?.into(),
        Some("WordLevel") => body::<WordLevel>(text)?.into(),
        Some("Unigram") => body::<Unigram>(text)?.into(),
        Some(kind) => return Err(format!("has a model of unknown type {kind:?}").into()),
        // Files from before the type was written; the crate guesses from the fields.
        None => body::<ModelWrapper>(text)?,
    };
    let mut tokenizer = Engine::new(model);
    if let Some(normalizer) = part::<NormalizerWrapper>(head.normalizer)? {
        tokenizer.with_normalizer(Some(normalizer))?;
    }
    tokenizer.with_pre_tokenizer(part::<PreTokenizerWrapper>(head.pre_tokenizer)?);
    tokenizer.with_decoder(part::<DecoderWrapper>(head.decoder)?);
    tokenizer.add_tokens(head.added_tokens)?;
    let template = Template::new(part::<PostProcessorWrapper>(head.post_processor)?);
    Ok(Parts { tokenizer, template, padding: head.padding, is_converted: false })
}

/// The model alone; the other fields are skipped over.
fn body<M: DeserializeOwned>(text: &str) -> tokenizers::Result<M> {
    Ok(serde_json::from_str::<Body<M>>(text)?.model)
}

/// One part of a tokenizer from its JSON form; `null` is none.
pub(super) fn part<T: DeserializeOwned>(mut value: Value) -> tokenizers::Result<Option<T>> {
    charsmap::check_charsmaps(&value)?;
    bounded::check_part(&value)?;
    pattern::translate_all(&mut value);
    Ok(serde_json::from_value(value)?)
}

/// What the constructors of transformers' fast classes change in the parts.
fn class_changes(head: &mut Head, config: &Config) {
    // `PreTrainedTokenizerFast.__init__`. The Llama and T5 classes hand down `None`, which its
    // attempt to apply fails on in silence.
    let prefix_space = match config.class {
        Class::Llama | Class::T5 => config.boolean("add_prefix_space"),
        _ => Some(config.boolean("add_prefix_space").unwrap_or(false)),
    };
    if let Some(prefix_space) = prefix_space {
        replace(&mut head.pre_tokenizer, "add_prefix_space", prefix_space.into());
    }
    match config.class {
        Class::Bert | Class::MpNet => {
            let lowercase = config.boolean("do_lower_case").unwrap_or(true);
            let chinese = config.boolean("tokenize_chinese_chars").unwrap_or(true);
            let accents = config.raw("strip_accents").cloned().unwrap_or(Value::Null);
            replace(&mut head.normalizer, "lowercase", lowercase.into());
            replace(&mut head.normalizer, "handle_chinese_chars", chinese.into());
            replace(&mut head.normalizer, "strip_accents", accents);
        }
        Class::Roberta => {
            let trim = config.boolean("trim_offsets").unwrap_or(true);
            let prefix_space = config.boolean("add_prefix_space").unwrap_or(false);
            replace(&mut head.post_processor, "trim_offsets", trim.into());
            replace(&mut head.post_processor, "add_prefix_space", prefix_space.into());
        }
        _ => {}
    }
}

fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PaddingSide, D::Error> {
    Ok(match PaddingDirection::deserialize(deserializer)? {
        PaddingDirection::Left => PaddingSide::Left,
        PaddingDirection::Right => PaddingSide::Right,
    })
}

/// Replaces a field that is there.
fn replace(part: &mut Value, key: &str, value: Value) {
    if let Some(field) = part.as_object_mut().and_then(|fields| fields.get_mut(key)) {
        *field = value;
    }
}
