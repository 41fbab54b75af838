//! SentencePiece unigram: T5. `set_vocab` of llama.cpp's `conversion/t5.py`.

use serde_json::Value;

use crate::base64;
use crate::source::gguf::{GgufNumbers, GgufValue};
use crate::tokenizer::backend::Parts;
use crate::tokenizer::to_gguf::entry::{Kind, Named, Parsed};

/// The vocabulary of a model with so many ids, and how texts are normalized.
pub(super) fn unigram(parts: &Parts, ids: usize) -> Parsed<Named> {
    let model = &parts.json["model"];
    let unknown = model["unk_id"].as_u64();
    let pieces = model["vocab"].as_array().ok_or("has no vocabulary")?;
    let mut tokens: Vec<_> =
        (0..ids).map(|id| (format!("[PAD{id}]"), -10_000.0, Kind::Unused)).collect();
    let too_many = |id: usize| format!("has the id {id}, and the model has {ids} ids");
    for (id, piece) in pieces.iter().enumerate() {
        let (text, score) = piece[0].as_str().zip(piece[1].as_f64()).ok_or("has odd pieces")?;
        let kind = if Some(id as u64) == unknown { Kind::Unknown } else { Kind::Normal };
        *tokens.get_mut(id).ok_or_else(|| too_many(id))? = (text.to_owned(), score, kind);
    }
    for (id, added) in &parts.added {
        let id = *id as usize;
        let (text, score, kind) = tokens.get_mut(id).ok_or_else(|| too_many(id))?;
        *kind = match (*kind, added.special) {
            (Kind::Unknown, _) => Kind::Unknown,
            (_, true) => Kind::Control,
            (_, false) => Kind::UserDefined,
        };
        if *text != added.content {
            (*text, *score) = (added.content.clone(), -1000.0);
        }
    }
    let Texts { charsmap, trims, prefix_space } = Texts::read(&parts.json)?;
    let (mut texts, mut scores, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    for (text, score, kind) in tokens {
        texts.push(GgufValue::String(text));
        scores.push(GgufValue::from(score));
        kinds.push(GgufValue::Int(kind as i64));
    }
    let mut named = vec![
        ("model", GgufValue::from("t5")),
        ("pre", GgufValue::from("default")),
        ("tokens", GgufValue::Array(texts)),
        ("scores", GgufValue::Array(scores)),
        ("token_type", GgufValue::Array(kinds)),
        ("add_space_prefix", prefix_space.into()),
        ("remove_extra_whitespaces", trims.into()),
    ];
    if !charsmap.is_empty() {
        let table = GgufValue::Numbers(GgufNumbers::of_bytes(&charsmap));
        named.push(("precompiled_charsmap", table));
    }
    Ok(named)
}

/// How texts are normalized and split, as far as files can say it.
struct Texts {
    charsmap: Vec<u8>,
    /// Whether several spaces count as one, and none at the end.
    trims: bool,
    prefix_space: bool,
}

impl Texts {
    fn read(tokenizer: &Value) -> Parsed<Self> {
        let mut texts = Self { charsmap: Vec::new(), trims: false, prefix_space: false };
        for step in steps(&tokenizer["normalizer"], "normalizers") {
            match step["type"].as_str() {
                Some("Precompiled") => {
                    let table = step["precompiled_charsmap"].as_str().and_then(base64::decode);
                    texts.charsmap =
                        table.ok_or("has a precompiled_charsmap that is not base64")?;
                }
                Some("Strip") if step["strip_left"] == false => texts.trims = true,
                Some("Replace") if step["pattern"]["Regex"] == " {2,}" => texts.trims = true,
                _ => return Err(format!("normalizes texts by {step}")),
            }
        }
        for step in steps(&tokenizer["pre_tokenizer"], "pretokenizers") {
            match step["type"].as_str() {
                // No space is left.
                Some("WhitespaceSplit") => texts.trims = true,
                Some("Metaspace") if step["prepend_scheme"] != "first" => {
                    texts.prefix_space = step["prepend_scheme"] == "always";
                }
                _ => return Err(format!("splits texts by {step}")),
            }
        }
        Ok(texts)
    }
}

fn steps<'a>(part: &'a Value, list: &str) -> &'a [Value] {
    match part {
        Value::Null => &[],
        part => part[list].as_array().map_or_else(|| std::slice::from_ref(part), Vec::as_slice),
    }
}
