//! The files of Marian, M2M100, PLBART and Wav2Vec2CTC. ByT5 has none.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::source::{self, ModelFiles, file};
use crate::tokenizer::class::{Class, content};
use crate::tokenizer::config::{Config, TOKENIZER_JSON};
use crate::tokenizer::languages;
use crate::tokenizer::processor::Processor;
use crate::tokenizer::sentencepiece::SpmModel;
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
    let ids = vocabulary(path)?;
    let separate = config.boolean("separate_vocabs").unwrap_or(false);
    let target_ids = match separate {
        true => {
            let reason = "separate_vocabs is set";
            Some(vocabulary(&files.required("target_vocab.json", reason)?)?)
        }
        false => None,
    };
    let unk_token = known(config, "unk_token", &ids, path)?;
    known(config, "pad_token", &ids, path)?;
    let splitter = Splitter::Marian { source: processor(source)?, target: processor(target)? };
    let tokens = by_id(target_ids.as_ref().unwrap_or(&ids));
    let base_size = count(ids.len());
    Ok(Vocabulary {
        splitter,
        ids,
        target_ids,
        tokens,
        unk_token,
        base_size,
        listed: u32::MAX,
        own_added: &[],
    })
}

fn m2m100(config: &Config, path: &Path, model: &Path) -> Result<Vocabulary> {
    let mut ids = vocabulary(path)?;
    let unk_token = known(config, "unk_token", &ids, path)?;
    let base_size = count(ids.len());
    let codes = languages::m2m100(config)?;
    let codes = codes.iter().zip(base_size..).map(|(code, id)| (format!("__{code}__"), id));
    let codes: Vec<_> = codes.collect();
    let mut tokens = by_id(&ids);
    tokens.extend(codes.iter().map(|(token, id)| (*id, token.clone())));
    ids.extend(codes);
    let splitter = Splitter::M2m100(processor(model)?);
    Ok(Vocabulary {
        splitter,
        ids,
        target_ids: None,
        tokens,
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
    let own: Vec<_> = own.chain(last).map(|(token, id)| (token.to_owned(), id)).collect();
    let pieces = (1..processor.len()).filter_map(|id| Some((processor.piece(id)?, count(id) + 1)));
    let mut ids: HashMap<_, _> = pieces.map(|(piece, id)| (piece.to_owned(), id)).collect();
    ids.extend(own.iter().cloned());
    let pieces = (0..processor.len()).filter_map(|id| Some((processor.piece(id)?, count(id) + 1)));
    let mut tokens: HashMap<_, _> = pieces.map(|(piece, id)| (id, piece.to_owned())).collect();
    tokens.extend(own.into_iter().map(|(token, id)| (id, token)));
    Ok(Vocabulary {
        splitter: Splitter::PlBart(processor),
        ids,
        target_ids: None,
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
    let ids: HashMap<_, _> = bytes.collect();
    Vocabulary {
        splitter: Splitter::ByT5,
        tokens: by_id(&ids),
        ids,
        target_ids: None,
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
    let id = |(letter, id): (&String, &Value)| {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        id.map(|id| (letter.clone(), id)).ok_or_else(|| {
            let advice = "where letters are given for several languages, `target_lang` chooses one";
            Error::malformed(path, format!("{letter:?} has no number; {advice}"))
        })
    };
    let ids = own.iter().map(id).collect::<Result<HashMap<_, _>>>()?;
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
        tokens: ids.iter().map(|(letter, &id)| (id, letter.clone())).collect(),
        target_ids: None,
        unk_token: config.special("unk_token").unwrap_or_default().to_owned(),
        base_size: u32::try_from(ids.len()).unwrap_or(u32::MAX),
        ids,
        listed: u32::MAX,
        own_added: &[],
    })
}

/// Whole words, by their numbers in the vocabulary.
pub(in crate::tokenizer) fn words(vocab: Vec<String>, words: Words) -> Unconverted {
    let vocabulary = Vocabulary {
        splitter: Splitter::Words(words),
        ids: vocab.iter().cloned().zip(0..).collect(),
        target_ids: None,
        base_size: count(vocab.len()),
        tokens: (0..).zip(vocab).collect(),
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

fn vocabulary(path: &Path) -> Result<HashMap<String, u32>> {
    source::json::read(path)
}

fn by_id(ids: &HashMap<String, u32>) -> HashMap<u32, String> {
    ids.iter().map(|(token, &id)| (id, token.clone())).collect()
}

fn processor(path: &Path) -> Result<Processor> {
    let model = SpmModel::parse(&file::read(path)?).and_then(Processor::new);
    model.map_err(|reason| Error::malformed(path, reason))
}

/// A special token that the vocabulary must have.
fn known(config: &Config, name: &str, ids: &HashMap<String, u32>, path: &Path) -> Result<String> {
    let token = config.special(name).unwrap_or_default();
    match ids.contains_key(token) {
        true => Ok(token.to_owned()),
        false => Err(Error::malformed(path, format!("has no token {token:?}, the {name}"))),
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

const VOCABULARY: &str = "vocab.json";

const SENTENCEPIECE: &str = "sentencepiece.bpe.model";
