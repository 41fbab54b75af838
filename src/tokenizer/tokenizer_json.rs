//! `tokenizer.json`, and what transformers' classes change in it.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PaddingDirection,
    PostProcessorWrapper, PreTokenizerWrapper, TruncationDirection, TruncationParams,
};

use crate::batch::PaddingSide;
use crate::source::json;
use crate::tokenizer::backend::{Template, add_tokens, guarded};
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::class::Class;
use crate::tokenizer::config::Config;
use crate::tokenizer::{Truncation, bounded, charsmap, pattern};

/// The parts of a tokenizer before special tokens are looked after.
pub(super) struct Parts {
    pub(super) tokenizer: Engine,
    pub(super) template: Template,
    pub(super) file: FileDefaults,
    /// Whether older files were converted, as transformers' slow classes read them.
    pub(super) is_converted: bool,
}

/// What `padding` and `truncation` in the file imply where `tokenizer_config.json` is silent.
#[derive(Default)]
pub(super) struct FileDefaults {
    pub(super) pad_token: Option<String>,
    pub(super) padding_side: Option<PaddingSide>,
    pub(super) truncation_side: Option<PaddingSide>,
}

/// Everything in the file but the model, whose type is read first.
#[derive(Deserialize)]
struct Head {
    version: Option<String>,
    truncation: Option<FileTruncation>,
    padding: Option<FilePadding>,
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
    model: Kind,
}

#[derive(Deserialize)]
struct FilePadding {
    pad_token: String,
    #[serde(deserialize_with = "side")]
    direction: PaddingSide,
}

#[derive(Deserialize)]
struct FileTruncation {
    /// Versions before 0.11 cut on the right.
    #[serde(default, deserialize_with = "side")]
    direction: PaddingSide,
}

/// The parts that transformers' classes change.
struct Changeable {
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
    post_processor: Option<PostProcessorWrapper>,
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

/// The model of that type, read before it is built.
#[derive(Deserialize)]
struct UnigramFile {
    vocab: Vec<(String, f64)>,
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
}

impl UnigramFile {
    fn build(self) -> tokenizers::Result<Unigram> {
        bounded::unigram(self.vocab, self.unk_id, self.byte_fallback)
    }
}

/// Reads a `tokenizer.json` as the class in the config would.
pub(super) fn load(path: &Path, config: &Config) -> crate::error::Result<Parts> {
    json::read_by(path, |text| guarded(|| parse(str::from_utf8(text)?, Some(config))))
}

/// Reads a `tokenizer.json` as the tokenizers library alone does, and where it cuts texts.
pub(super) fn load_plain(path: &Path) -> crate::error::Result<(Parts, Option<Truncation>)> {
    #[derive(Deserialize)]
    struct Cut {
        truncation: Option<TruncationParams>,
    }
    json::read_by(path, |text| {
        guarded(|| {
            let text = str::from_utf8(text)?;
            let truncation = serde_json::from_str::<Cut>(text)?.truncation.map(|truncation| {
                let side = match truncation.direction {
                    TruncationDirection::Left => PaddingSide::Left,
                    TruncationDirection::Right => PaddingSide::Right,
                };
                Truncation::to(truncation.max_length).stride(truncation.stride).side(side)
            });
            Ok((parse(text, None)?, truncation))
        })
    })
}

fn parse(text: &str, config: Option<&Config>) -> tokenizers::Result<Parts> {
    let head: Head = serde_json::from_str(text)?;
    if let Some(version) = head.version.filter(|version| version != "1.0") {
        return Err(format!("has version {version:?}, where \"1.0\" is known").into());
    }
    let mut parts = Changeable {
        normalizer: part(head.normalizer)?,
        pre_tokenizer: part(head.pre_tokenizer)?,
        post_processor: part(head.post_processor)?,
    };
    if let Some(config) = config {
        class_changes(&mut parts, config)?;
    }
    let model = match head.model.kind.as_deref() {
        Some("BPE") => body::<BPE>(text)?.into(),
        Some("WordPiece") => body::<WordPiece>(text)?.into(),
        Some("WordLevel") => body::<WordLevel>(text)?.into(),
        Some("Unigram") => body::<UnigramFile>(text)?.build()?.into(),
        Some(kind) => return Err(format!("has a model of unknown type {kind:?}").into()),
        // Files from before the type was written; the crate guesses from the fields.
        None => match body::<UnigramFile>(text) {
            Ok(file) => file.build()?.into(),
            Err(_) => body::<ModelWrapper>(text)?,
        },
    };
    let mut tokenizer = Engine::new(model);
    if let Some(normalizer) = parts.normalizer {
        tokenizer.with_normalizer(Some(normalizer))?;
    }
    tokenizer.with_pre_tokenizer(parts.pre_tokenizer);
    tokenizer.with_decoder(part::<DecoderWrapper>(head.decoder)?);
    add_tokens(&mut tokenizer, head.added_tokens)?;
    let file = FileDefaults {
        padding_side: head.padding.as_ref().map(|padding| padding.direction),
        pad_token: head.padding.map(|padding| padding.pad_token),
        truncation_side: head.truncation.map(|truncation| truncation.direction),
    };
    let template = Template::new(parts.post_processor);
    Ok(Parts { tokenizer, template, file, is_converted: false })
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
    name_prepend_schemes(&mut value);
    Ok(serde_json::from_value(value)?)
}

/// Before 0.15, `Metaspace` had `add_prefix_space` alone: without it, nothing is put in front. The
/// crate's default for the field that came later contradicts that.
fn name_prepend_schemes(part: &mut Value) {
    match part {
        Value::Array(parts) => parts.iter_mut().for_each(name_prepend_schemes),
        Value::Object(fields) => {
            let is_bare = fields.get("add_prefix_space") == Some(&Value::Bool(false));
            if is_bare && fields.get("type").is_some_and(|kind| kind == "Metaspace") {
                fields.entry("prepend_scheme").or_insert_with(|| "never".into());
            }
            fields.values_mut().for_each(name_prepend_schemes);
        }
        _ => {}
    }
}

/// What the constructors of transformers' fast classes change in the parts. They look at the parts
/// as loaded, whatever form the file has.
fn class_changes(parts: &mut Changeable, config: &Config) -> Result<(), String> {
    let class = config.class;
    let flag = |key: &str, default: bool| config.boolean(key).unwrap_or(default);
    // `PreTrainedTokenizerFast.__init__`: not inside a sequence.
    if let Some(prefix_space) = config.prefix_space()
        && let Some(PreTokenizerWrapper::ByteLevel(bytes)) = &mut parts.pre_tokenizer
    {
        bytes.add_prefix_space = prefix_space;
    }
    match class {
        // These replace the field wherever it is.
        Class::Bloom | Class::Cohere if flag("add_prefix_space", false) => {
            parts.pre_tokenizer.iter_mut().for_each(prefix_everywhere);
        }
        Class::Clip if !matches!(parts.pre_tokenizer, Some(PreTokenizerWrapper::Sequence(_))) => {
            return Err(
                "is of transformers before 4.17, whose CLIP split texts otherwise: delete \
                        it, so that vocab.json and merges.txt are read"
                    .to_owned(),
            );
        }
        Class::Bert | Class::DistilBert | Class::Funnel | Class::MpNet | Class::Splinter => {
            if let Some(NormalizerWrapper::BertNormalizer(bert)) = &mut parts.normalizer {
                bert.lowercase = flag("do_lower_case", true);
                bert.strip_accents = config.boolean("strip_accents");
                if !matches!(class, Class::MpNet | Class::Splinter) {
                    bert.handle_chinese_chars = flag("tokenize_chinese_chars", true);
                }
            }
        }
        Class::LayoutLmV3 | Class::Roberta => {
            let changed = match &mut parts.post_processor {
                Some(PostProcessorWrapper::Roberta(part)) => {
                    Some((&mut part.trim_offsets, &mut part.add_prefix_space))
                }
                Some(PostProcessorWrapper::ByteLevel(part)) => {
                    Some((&mut part.trim_offsets, &mut part.add_prefix_space))
                }
                _ => None,
            };
            if let Some((trims, prefixes)) = changed {
                *trims = flag("trim_offsets", true);
                *prefixes = config.prefix_space().unwrap_or(*prefixes);
            }
        }
        _ => {}
    }
    Ok(())
}

fn prefix_everywhere(part: &mut PreTokenizerWrapper) {
    match part {
        PreTokenizerWrapper::ByteLevel(bytes) => bytes.add_prefix_space = true,
        PreTokenizerWrapper::Sequence(parts) => {
            parts.as_mut().iter_mut().for_each(prefix_everywhere)
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
