//! A tokenizer as the metadata `tokenizer.ggml.*` of GGUF files, which [`gguf`](super::gguf) reads.
//!
//! Sources: `get_vocab_base` and `_create_vocab_sentencepiece` of llama.cpp's converter.

mod entry;
mod unigram;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::source::ModelFiles;
use crate::source::gguf::GgufValue;
use crate::tokenizer::backend::Parts;
use crate::tokenizer::chat::ChatTemplate;
use crate::tokenizer::pretokenizer::PreTokenizer;
use crate::tokenizer::shared::Tokenizer;
use crate::tokenizer::special::SpecialToken;
use crate::tokenizer::spm;
use crate::tokenizer::to_gguf::entry::{Kind, Named, Parsed};

/// The tokenizer and the chat template of a source, for a model with so many ids.
///
/// # Errors
///
/// When there is no tokenizer, or GGUF files have no words for it.
pub(crate) fn gguf_metadata(files: &ModelFiles, ids: usize) -> Result<Vec<(String, GgufValue)>> {
    let tokenizer = Tokenizer::from_files(files)?;
    let refuse =
        |reason: String| Error::unsupported(format!("{}: the tokenizer {reason}", files.origin()));
    let parts = tokenizer.shared.backend.parts()?;
    let mut metadata = vocabulary(&parts, ids).map_err(refuse)?;
    metadata.extend(special(&tokenizer)?);
    let mut metadata: Vec<_> = metadata
        .into_iter()
        .map(|(name, value)| (format!("tokenizer.ggml.{name}"), value))
        .collect();
    metadata.push(("general.name".to_owned(), GgufValue::String(name(files, &parts))));
    for (name, source) in tokenizer.shared.chat.iter().flat_map(ChatTemplate::sources) {
        let key = match name {
            "default" => "tokenizer.chat_template".to_owned(),
            name => format!("tokenizer.chat_template.{name}"),
        };
        metadata.push((key, GgufValue::String(source.to_owned())));
    }
    Ok(metadata)
}

/// What the model is called, by which llama.cpp knows that Phi-3's special tokens swallow spaces.
fn name(files: &ModelFiles, parts: &Parts) -> String {
    let origin = files.origin();
    let name = Path::new(&origin).file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_lowercase();
    let says_so = lower.contains("phi-3") || lower.contains("phi3");
    let swallows = parts.added.iter().any(|(_, token)| token.special && token.rstrip)
        // It looks these up.
        && ["<unk>", "<s>", "</s>", "<|endoftext|>"].iter().all(|name| {
            parts.added.iter().any(|(_, token)| token.content == *name)
        });
    match (swallows, says_so) {
        (true, false) => format!("Phi-3 {name}"),
        (false, true) => "model".to_owned(),
        _ => name.into_owned(),
    }
}

fn vocabulary(parts: &Parts, ids: usize) -> Parsed<Named> {
    let model = &parts.json["model"];
    match model["type"].as_str() {
        Some("BPE") => {}
        Some("Unigram") => return unigram::unigram(parts, ids),
        _ => {
            let kind = &model["type"];
            return Err(format!(
                "is of the kind {kind}; GGUF files are written of BPE and Unigram"
            ));
        }
    }
    let bytes_fall_back = model["byte_fallback"] == true;
    let unknown = model["unk_token"].as_str();
    let mut tokens = vec![None; ids];
    let vocab = model["vocab"].as_object().ok_or("has no vocabulary")?;
    let mut place = |id: u64, token: &str, kind: Kind| {
        let place = usize::try_from(id)
            .ok()
            .and_then(|id| tokens.get_mut(id))
            .ok_or_else(|| format!("has the id {id} for {token:?}, and the model has {ids} ids"))?;
        *place = Some((token.to_owned(), kind));
        Ok::<_, String>(())
    };
    for (token, id) in vocab {
        let kind = match token {
            _ if Some(token.as_str()) == unknown => Kind::Unknown,
            _ if bytes_fall_back && is_byte(token) => Kind::Byte,
            _ => Kind::Normal,
        };
        place(id.as_u64().ok_or("has ids that are not numbers")?, token, kind)?;
    }
    for (id, token) in &parts.added {
        match token.special {
            true => place((*id).into(), &token.content, Kind::Control)?,
            // As llama.cpp looks for them in a text.
            false => place((*id).into(), &token.content.replace('▁', " "), Kind::UserDefined)?,
        }
    }
    let (tokens, kinds): (Vec<_>, Vec<_>) = (0..)
        .zip(tokens)
        .map(|(id, token)| token.unwrap_or_else(|| (format!("[PAD{id}]"), Kind::Unused)))
        .unzip();
    let merges = merges(&model["merges"])?;
    let mut named = match bytes_fall_back {
        true => sentencepiece(parts, vocab, &tokens, &merges)?,
        false => byte_level(parts, model, &merges)?,
    };
    let list = |values: Vec<GgufValue>| GgufValue::Array(values);
    named.push(("tokens", list(tokens.into_iter().map(GgufValue::String).collect())));
    named.push(("token_type", list(kinds.iter().map(|&k| GgufValue::Int(k as i64)).collect())));
    Ok(named)
}

/// `<0x0A>`.
fn is_byte(token: &str) -> bool {
    token.len() == 6 && token.starts_with("<0x") && token.ends_with('>')
}

/// Pairs, which older files write as text.
fn merges(merges: &Value) -> Parsed<Vec<(&str, &str)>> {
    merges
        .as_array()
        .ok_or("has no merges")?
        .iter()
        .map(|merge| match merge {
            Value::String(text) => text.split_once(' '),
            pair => pair[0].as_str().zip(pair[1].as_str()),
        })
        .collect::<Option<_>>()
        .ok_or_else(|| "has merges that are not pairs".to_owned())
}

/// Byte-level BPE, whose pre-tokenizer has a name.
fn byte_level(parts: &Parts, model: &Value, merges: &[(&str, &str)]) -> Parsed<Named> {
    let mut patterns = Vec::new();
    let is_byte_level = patterns_of(&parts.json["pre_tokenizer"], &mut patterns)?;
    if !is_byte_level {
        return Err("is not byte-level, and has no bytes to fall back to".to_owned());
    }
    let composes = match &parts.json["normalizer"] {
        Value::Null => false,
        normalizer if normalizer["type"] == "NFC" => true,
        normalizer => return Err(format!("normalizes texts by {normalizer}")),
    };
    let ignores_merges = model["ignore_merges"] == true;
    let name = PreTokenizer::name_of(&patterns, composes, ignores_merges).ok_or_else(|| {
        format!("splits texts in a way that has no name: {:?}", parts.json["pre_tokenizer"])
    })?;
    // A space inside of a token would part the pair elsewhere.
    let spelled = |part: &str| part.replace(' ', "\u{120}");
    let merges = merges
        .iter()
        .map(|(left, right)| GgufValue::String(format!("{} {}", spelled(left), spelled(right))));
    Ok(vec![
        ("model", GgufValue::String("gpt2".to_owned())),
        ("pre", GgufValue::String(name.to_owned())),
        ("merges", GgufValue::Array(merges.collect())),
    ])
}

/// The regular expressions that a text is split by, one after the other, and whether bytes become
/// characters in the end.
fn patterns_of(step: &Value, patterns: &mut Vec<String>) -> Parsed<bool> {
    let unknown = || Err(format!("splits texts by {step}"));
    match step["type"].as_str() {
        Some("Sequence") => {
            let steps = step["pretokenizers"].as_array().map_or(&[][..], Vec::as_slice);
            steps.iter().try_fold(false, |any, step| Ok(any | patterns_of(step, patterns)?))
        }
        Some("ByteLevel") if step["add_prefix_space"] == true => unknown(),
        Some("ByteLevel") => {
            if step["use_regex"] == true {
                patterns.push(PreTokenizer::GPT2_PATTERN.to_owned());
            }
            Ok(true)
        }
        Some("Digits") => {
            let single = step["individual_digits"] == true;
            patterns.push(if single { r"\p{N}" } else { r"\p{N}+" }.to_owned());
            Ok(false)
        }
        Some("Punctuation") => {
            patterns.push(PreTokenizer::PUNCTUATION_PATTERN.to_owned());
            Ok(false)
        }
        Some("Split") => {
            let whole = match (step["behavior"].as_str(), step["invert"].as_bool()) {
                (Some("Isolated"), _) | (Some("Removed"), Some(true)) => &step["pattern"]["Regex"],
                _ => return unknown(),
            };
            match whole.as_str() {
                Some(pattern) => patterns.push(pattern.to_owned()),
                None => return unknown(),
            }
            Ok(false)
        }
        _ => unknown(),
    }
}

/// SentencePiece BPE, whose merges become scores.
fn sentencepiece(
    parts: &Parts,
    vocab: &serde_json::Map<String, Value>,
    tokens: &[String],
    merges: &[(&str, &str)],
) -> Parsed<Named> {
    let added: HashSet<_> = parts.added.iter().map(|(_, token)| token.content.as_str()).collect();
    let ranks: BTreeMap<String, usize> = merges
        .iter()
        .enumerate()
        .rev()
        .map(|(rank, (left, right))| (format!("{left}{right}"), rank))
        .collect();
    let score = |token: &str| -(*ranks.get(token).unwrap_or(&merges.len()) as f64);
    // What a reader makes of the scores.
    let mut scored: Vec<_> = vocab.iter().map(|(token, id)| (id.as_u64(), token)).collect();
    scored.sort_unstable();
    let scored: Vec<_> =
        scored.into_iter().map(|(_, token)| (token.clone(), score(token))).collect();
    let pieces: Vec<_> = scored.iter().map(|(token, _)| token.as_str()).collect();
    let implied = spm::merges(&scored, &pieces);
    let implied = implied.iter().map(|(left, right)| (left.as_str(), right.as_str()));
    let given = by_token(merges.iter().copied(), &added);
    let mut seen = HashSet::new();
    let grouped = given.iter().all(|(token, _)| seen.insert(token));
    if !grouped || by_token(implied, &added) != given {
        return Err("has merges that scores of tokens do not imply".to_owned());
    }
    let prefix_space = adds_prefix_space(&parts.json)?;
    let scores = tokens.iter().map(|token| match added.contains(token.as_str()) {
        true => GgufValue::Float(-1000.0),
        false => GgufValue::Float(score(&token.replace(' ', "▁"))),
    });
    Ok(vec![
        ("model", GgufValue::String("llama".to_owned())),
        ("pre", GgufValue::String("default".to_owned())),
        ("scores", GgufValue::Array(scores.collect())),
        ("add_space_prefix", GgufValue::Bool(prefix_space)),
    ])
}

/// The ways to each token that is not an added one, in the order of the merges. Which of several
/// ways to one token comes first does not matter: a text offers but one of them at a place.
fn by_token<'a>(
    merges: impl Iterator<Item = (&'a str, &'a str)>,
    added: &HashSet<&str>,
) -> Vec<(String, BTreeSet<&'a str>)> {
    let mut tokens: Vec<(String, BTreeSet<&str>)> = Vec::new();
    for (left, right) in merges {
        let token = format!("{left}{right}");
        if added.contains(token.as_str()) {
            continue;
        }
        match tokens.last_mut() {
            Some((last, ways)) if *last == token => {
                ways.insert(left);
            }
            _ => tokens.push((token, BTreeSet::from([left]))),
        }
    }
    tokens
}

/// Whether a space is put before a text; an error where it is changed otherwise.
fn adds_prefix_space(tokenizer: &Value) -> Parsed<bool> {
    let steps = |part: &Value, list: &str| -> Vec<Value> {
        match part {
            Value::Null => Vec::new(),
            part => part[list].as_array().cloned().unwrap_or_else(|| vec![part.clone()]),
        }
    };
    let mut adds = false;
    for step in steps(&tokenizer["normalizer"], "normalizers") {
        match step["type"].as_str() {
            Some("Prepend") if step["prepend"] == "▁" => adds = true,
            Some("Replace") if step["content"] == "▁" && step["pattern"]["String"] == " " => {}
            _ => return Err(format!("normalizes texts by {step}")),
        }
    }
    for step in steps(&tokenizer["pre_tokenizer"], "pretokenizers") {
        match step["type"].as_str() {
            Some("Metaspace") => adds |= step["prepend_scheme"] != "never",
            // Of no effect: no space is left.
            Some("Split") if step["pattern"]["String"] == " " => {}
            _ => return Err(format!("splits texts by {step}")),
        }
    }
    Ok(adds)
}

/// The special tokens, and which of them are put around a text.
fn special(tokenizer: &Tokenizer) -> Result<Named> {
    let special = &tokenizer.shared.settings.special;
    let ids = [
        ("bos_token_id", &special.bos),
        ("eos_token_id", &special.eos),
        ("unknown_token_id", &special.unk),
        ("seperator_token_id", &special.sep),
        ("padding_token_id", &special.pad),
        ("cls_token_id", &special.cls),
        ("mask_token_id", &special.mask),
    ];
    let number = |token: &SpecialToken| GgufValue::UInt(token.id.into());
    let mut named: Named =
        ids.iter().filter_map(|(name, token)| Some((*name, number(token.as_ref()?)))).collect();
    let around = tokenizer.encode("")?.ids;
    let is = |token: &Option<SpecialToken>, id: Option<&u32>| {
        token.as_ref().is_some_and(|token| Some(&token.id) == id)
    };
    let (begins, ends) = (is(&special.bos, around.first()), is(&special.eos, around.last()));
    // One token is one end, unless it is the text's beginning as well as its end.
    let ends = ends && (around.len() > 1 || !begins);
    if around.len() != usize::from(begins) + usize::from(ends) {
        let reason = format!("the tokens {around:?} around a text are more than bos and eos");
        return Err(Error::unsupported(reason));
    }
    named.push(("add_bos_token", GgufValue::Bool(begins)));
    named.push(("add_eos_token", GgufValue::Bool(ends)));
    Ok(named)
}
