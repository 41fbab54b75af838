//! The files of Marian, M2M100, PLBART and Wav2Vec2CTC. ByT5 has none.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::source::{self, ModelFiles, file};
use crate::tokenizer::class::{Class, content};
use crate::tokenizer::config::{Config, TOKENIZER_JSON};
use crate::tokenizer::languages;
use crate::tokenizer::processor::Processor;
use crate::tokenizer::sentencepiece::SpmModel;
use crate::tokenizer::texts::Lexicon;
use crate::tokenizer::unconverted::Unconverted;
use crate::tokenizer::unconverted::letters::Letters;
use crate::tokenizer::unconverted::vocabulary::{Splitter, Vocabulary};
use crate::tokenizer::unconverted::words::Words;

/// Reads the files of the class; none where the class is another, or where there is a `tokenizer.json`
/// in their place.
pub(in crate::tokenizer) fn load(
    files: &ModelFiles,
    config: &Config,
) -> Result<Option<Unconverted>> {
    let wanted: &[&str] = match config.class {
        Class::Marian => &["source.spm", "target.spm", VOCABULARY],
        Class::M2m100 => &[VOCABULARY, SENTENCEPIECE],
        Class::PlBart => &[SENTENCEPIECE],
        Class::ByT5 => &[],
        Class::Wav2Vec2Ctc => &[VOCABULARY],
        _ => return Ok(None),
    };
    let mut paths = Vec::with_capacity(wanted.len());
    for &name in wanted {
        match files.optional(name)? {
            Some(path) => paths.push(path),
            None if files.optional(TOKENIZER_JSON)?.is_some() => return Ok(None),
            None => {
                let class = &config.class_name;
                let reason = format!("the tokenizer class {class} reads {}", wanted.join(", "));
                return Err(files.missing(name, name, &reason));
            }
        }
    }
    let vocabulary = match (config.class, paths.as_slice()) {
        (Class::Marian, [source, target, vocabulary]) => {
            marian(files, config, source, target, vocabulary)?
        }
        (Class::M2m100, [vocabulary, model]) => m2m100(config, vocabulary, model)?,
        (Class::PlBart, [model]) => plbart(config, model)?,
        (Class::Wav2Vec2Ctc, [path]) => letters(config, path)?,
        _ => byt5(),
    };
    Ok(Some(Unconverted::new(vocabulary, config)))
}

fn marian(
    files: &ModelFiles,
    config: &Config,
    source: &Path,
    target: &Path,
    path: &Path,
) -> Result<Vocabulary> {
    let tokens = vocabulary(path)?;
    let (source, target) = (processor(source)?, processor(target)?);
    let separate = config.boolean("separate_vocabs").unwrap_or(false);
    let target_tokens = match separate {
        true => {
            let reason = "separate_vocabs is set";
            Some(vocabulary(&files.required("target_vocab.json", reason)?)?)
        }
        false => None,
    };
    let unk_token = known(config, "unk_token", &tokens, path)?;
    known(config, "pad_token", &tokens, path)?;
    let splitter = Splitter::Marian { source, target };
    let base_size = count(tokens.len());
    Ok(Vocabulary {
        splitter,
        tokens,
        target: target_tokens,
        unk_token,
        base_size,
        listed: u32::MAX,
        own_added: &[],
    })
}

fn m2m100(config: &Config, path: &Path, model: &Path) -> Result<Vocabulary> {
    let mut tokens = vocabulary(path)?;
    let unk_token = known(config, "unk_token", &tokens, path)?;
    let base_size = count(tokens.len());
    let codes = languages::m2m100(config)?;
    tokens.extend(codes.iter().zip(base_size..).map(|(code, id)| (format!("__{code}__"), id)));
    let splitter = Splitter::M2m100(processor(model)?);
    Ok(Vocabulary {
        splitter,
        tokens,
        target: None,
        unk_token,
        base_size,
        listed: base_size,
        own_added: &[],
    })
}

fn plbart(config: &Config, model: &Path) -> Result<Vocabulary> {
    let processor = processor(model)?;
    let (codes, has_mask) = languages::plbart(config)?;
    let own = ["<s>", "<pad>", "</s>", "<unk>"].into_iter().zip(0..);
    let after = count(processor.len()) + 1;
    let mask = has_mask.then_some("<mask>");
    let last = codes.iter().copied().chain(mask).zip(after..);
    // The unknown token has another number.
    let pieces = (1..processor.len()).filter_map(|id| Some((processor.piece(id)?, count(id) + 1)));
    let tokens: Lexicon = pieces.chain(own.chain(last)).collect();
    Ok(Vocabulary {
        splitter: Splitter::PlBart(processor),
        target: None,
        base_size: count(tokens.len()),
        tokens,
        unk_token: config.special("unk_token").unwrap_or("<unk>").to_owned(),
        listed: u32::MAX,
        own_added: &[],
    })
}

/// A token for each byte, after padding, end and unknown.
fn byt5() -> Vocabulary {
    let bytes = (0..=u8::MAX).map(|byte| (char::from(byte).to_string(), u32::from(byte) + 3));
    Vocabulary {
        splitter: Splitter::ByT5,
        tokens: bytes.collect(),
        target: None,
        unk_token: String::new(),
        base_size: 256,
        listed: u32::MAX,
        own_added: &[("pad_token", 0), ("eos_token", 1), ("unk_token", 2)],
    }
}

/// Reads `vocab.json`: letters, or those of several languages of which `target_lang` names one.
fn letters(config: &Config, path: &Path) -> Result<Vocabulary> {
    let all: Map<String, Value> = source::json::read(path)?;
    let own = match config.raw("target_lang").and_then(Value::as_str) {
        None => &all,
        Some(language) => match all.get(language) {
            Some(Value::Object(own)) => own,
            _ => return Err(Error::malformed(path, format!("has no language {language:?}"))),
        },
    };
    let mut tokens = Lexicon::default();
    let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    let wrong = own.iter().find(|(_, value)| id(value).is_none());
    if let Some((letter, _)) = wrong {
        let advice = "where letters are given for several languages, `target_lang` chooses one";
        return Err(Error::malformed(path, format!("{letter:?} has no number; {advice}")));
    }
    tokens.extend(own.iter().filter_map(|(letter, value)| Some((letter, id(value)?))));
    let token = |name: &str, default: &str| match config.raw(name) {
        None => Some(default.to_owned()),
        Some(token) => content(token),
    };
    let splitter = Splitter::Letters(Letters {
        blank: config.special("pad_token").map(str::to_owned),
        delimiter: token("word_delimiter_token", "|"),
        between: token("replace_word_delimiter_char", " ").unwrap_or_default(),
        lower_case: config.boolean("do_lower_case").unwrap_or(false),
    });
    Ok(Vocabulary {
        splitter,
        target: None,
        unk_token: config.special("unk_token").unwrap_or_default().to_owned(),
        base_size: count(tokens.len()),
        tokens,
        listed: u32::MAX,
        own_added: &[],
    })
}

/// Whole words, by their numbers in the vocabulary.
pub(in crate::tokenizer) fn words(vocab: Vec<String>, words: Words) -> Unconverted {
    let vocabulary = Vocabulary {
        splitter: Splitter::Words(words),
        target: None,
        base_size: count(vocab.len()),
        tokens: vocab.into_iter().zip(0..).collect(),
        unk_token: String::new(),
        listed: u32::MAX,
        own_added: &[],
    };
    let config = Config {
        class: Class::Other,
        class_name: "WhitespaceTokenizer".to_owned(),
        fields: Map::new(),
        added: BTreeMap::new(),
        is_legacy: false,
        special: Vec::new(),
    };
    Unconverted::new(vocabulary, &config)
}

fn vocabulary(path: &Path) -> Result<Lexicon> {
    source::json::read(path)
}

fn processor(path: &Path) -> Result<Processor> {
    let model = SpmModel::parse(&file::read(path)?).and_then(Processor::new);
    model.map_err(|reason| Error::malformed(path, reason))
}

/// A special token that the vocabulary must have.
fn known(config: &Config, name: &str, tokens: &Lexicon, path: &Path) -> Result<String> {
    let token = config.special(name).unwrap_or_default();
    match tokens.id(token).is_some() {
        true => Ok(token.to_owned()),
        false => Err(Error::malformed(path, format!("has no token {token:?}, the {name}"))),
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

const VOCABULARY: &str = "vocab.json";

const SENTENCEPIECE: &str = "sentencepiece.bpe.model";
