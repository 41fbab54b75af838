//! SentencePiece models as fast tokenizers.
//!
//! Source: `SpmConverter` and its subclasses in transformers' `convert_slow_tokenizer.py`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::Path;

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{AddedToken, NormalizerWrapper, normalizers};

use crate::error::{Error, Result};
use crate::tokenizer::backend::guarded;
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::class::{Class, content};
use crate::tokenizer::config::Config;
use crate::tokenizer::sentencepiece::{ModelKind, PieceKind, SpmModel};
use crate::tokenizer::sketch::{Sketch, template};
use crate::tokenizer::tokenizer_json::{Parts, part};
use crate::tokenizer::{bounded, charsmap};

/// Tokens in the order of their ids, with their scores.
pub(super) type Scored = Vec<(String, f64)>;

/// Reads a `.model` file as the class in the config would.
pub(super) fn load(path: &Path, bytes: &[u8], config: &Config) -> Result<Parts> {
    let model = SpmModel::parse(bytes).map_err(|reason| Error::malformed(path, reason))?;
    guarded(|| convert(&model, config)).map_err(|reason| Error::malformed(path, reason))
}

fn convert(spm: &SpmModel, config: &Config) -> tokenizers::Result<Parts> {
    let class = config.class;
    let vocab = vocabulary(spm, config)?;
    let is_llama = matches!(class, Class::Gemma | Class::Llama);
    let unk_id = match class {
        Class::Camembert
        | Class::Gemma
        | Class::MBart
        | Class::MBart50
        | Class::Nllb
        | Class::XlmRoberta => 3,
        Class::Pegasus => spm.unk_id + pegasus_offset(config),
        Class::Llama => 0,
        _ => spm.unk_id,
    };
    let mut tokenizer = match spm.kind {
        ModelKind::Unigram => Engine::new(bounded::unigram(vocab, Some(unk_id), is_llama)?.into()),
        ModelKind::Bpe => {
            let mut pieces: Vec<_> = spm.pieces.iter().map(|piece| piece.text.as_str()).collect();
            // Gemma's tab, which older models have as a byte token only.
            if class == Class::Gemma && !pieces.contains(&"\t") {
                pieces.push("\t");
            }
            let merges = merges(&vocab, &pieces);
            Engine::new(
                BPE::builder()
                    .vocab_and_merges(vocab_map(vocab), merges)
                    .unk_token(spm.unk_piece.clone())
                    .fuse_unk(true)
                    .byte_fallback(is_llama)
                    .build()?
                    .into(),
            )
        }
        ModelKind::Other => return Err("is neither a unigram nor a BPE model".into()),
    };
    let added = spm.pieces.iter().filter(|piece| piece.kind.is_added());
    tokenizer.add_tokens(added.map(|piece| {
        let turn = matches!(piece.text.as_str(), "<start_of_turn>" | "<end_of_turn>");
        let special = piece.kind == PieceKind::Control || (class == Class::Gemma && turn);
        AddedToken::from(piece.text.clone(), special).normalized(false)
    }))?;
    sketch(spm, config, &tokenizer)?.complete(tokenizer)
}

/// The parts around the model.
fn sketch(spm: &SpmModel, config: &Config, tokenizer: &Engine) -> tokenizers::Result<Sketch> {
    let class = config.class;
    // Only these two slow classes know of `legacy` and of `add_prefix_space`.
    let own_flags = matches!(class, Class::Llama | Class::T5);
    let legacy = !own_flags || config.boolean("legacy").unwrap_or(true);
    let prefix_space = !own_flags || config.boolean("add_prefix_space").unwrap_or(true);
    let metaspace = |split: bool| metaspace(prefix_space, legacy, split);
    let id = |token: &str| tokenizer.token_to_id(token);
    let cls_sep = || {
        let pair = ["[CLS]:0", "$A:0", "[SEP]:0", "$B:1", "[SEP]:1"];
        template(&["[CLS]:0", "$A:0", "[SEP]:0"], &pair, id)
    };
    let replace = |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
    let spaces = |content: &str| replace(json!({"Regex": " {2,}"}), content);
    let charsmap = || {
        let table = charsmap::normalizer(&spm.charsmap)?;
        Ok::<_, String>(table.map(NormalizerWrapper::Precompiled))
    };
    let step = |value: Value| part::<NormalizerWrapper>(value);
    let (normalizer, pre_tokenizer, post_processor) = match class {
        Class::Llama => {
            let steps = match (legacy, prefix_space) {
                (false, _) => Value::Null,
                (true, prefix_space) => llama_normalizer(prefix_space),
            };
            let pre_tokenizer = if legacy { Value::Null } else { metaspace(false) };
            (step(steps)?, pre_tokenizer, Value::Null)
        }
        Class::Gemma => {
            let split = json!({
                "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious",
                "invert": false,
            });
            (step(replace(json!({"String": " "}), "▁"))?, split, Value::Null)
        }
        Class::Albert => {
            let mut steps = vec![
                step(replace(json!({"String": "``"}), "\""))?,
                step(replace(json!({"String": "''"}), "\""))?,
            ];
            if !config.boolean("keep_accents").unwrap_or(false) {
                steps.push(step(json!({"type": "NFKD"}))?);
                steps.push(step(json!({"type": "StripAccents"}))?);
            }
            if config.boolean("do_lower_case").unwrap_or(true) {
                steps.push(step(json!({"type": "Lowercase"}))?);
            }
            steps.push(charsmap()?);
            steps.push(step(spaces(" "))?);
            (sequence(steps), metaspace(true), cls_sep()?)
        }
        Class::DebertaV2 => {
            let mut steps = Vec::new();
            if config.boolean("do_lower_case").unwrap_or(false) {
                steps.push(step(json!({"type": "Lowercase"}))?);
            }
            steps.push(step(json!({"type": "Strip", "strip_left": true, "strip_right": true}))?);
            steps.push(charsmap()?);
            steps.push(step(spaces(" "))?);
            let mut splits = Vec::new();
            if config.boolean("split_by_punct").unwrap_or(false) {
                splits.push(json!({"type": "Punctuation", "behavior": "Isolated"}));
            }
            splits.push(metaspace(true));
            let pre_tokenizer = json!({"type": "Sequence", "pretokenizers": splits});
            (sequence(steps), pre_tokenizer, cls_sep()?)
        }
        _ => {
            let strip = json!({"type": "Strip", "strip_left": false, "strip_right": true});
            let steps = vec![charsmap()?, step(strip)?, step(spaces("▁"))?];
            let post_processor = match class {
                Class::BigBird => cls_sep()?,
                // Their languages, if any, come with the class's template.
                Class::MBart | Class::MBart50 | Class::Nllb => Value::Null,
                Class::Pegasus => {
                    // The class knows the id; the pieces of a model may have the same text once more.
                    let eos = config.special("eos_token").unwrap_or_default();
                    template(&["$A", eos], &["$A", "$B", eos], |_| Some(PEGASUS_EOS))?
                }
                Class::T5 => template(&["$A", "</s>"], &["$A", "</s>", "$B", "</s>"], id)?,
                _ => {
                    let pair = ["<s>", "$A", "</s>", "</s>", "$B", "</s>"];
                    template(&["<s>", "$A", "</s>"], &pair, id)?
                }
            };
            let pre_tokenizer = match class {
                Class::Pegasus => json!({
                    "type": "Sequence",
                    "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace(true)],
                }),
                _ => metaspace(true),
            };
            (sequence(steps), pre_tokenizer, post_processor)
        }
    };
    let decoder = match class {
        Class::Gemma => llama_decoder(false),
        Class::Llama => llama_decoder(prefix_space),
        _ => metaspace(true),
    };
    Ok(Sketch { normalizer, pre_tokenizer, post_processor, decoder })
}

/// The tokens in the order of the class's ids, which for some is not the file's.
fn vocabulary(spm: &SpmModel, config: &Config) -> tokenizers::Result<Scored> {
    let piece = |text: &str| (text.to_owned(), 0.0);
    let from = |start: usize| {
        let pieces = spm.pieces.get(start..).unwrap_or_default();
        pieces.iter().map(|piece| (piece.text.clone(), f64::from(piece.score)))
    };
    let fairseq = ["<s>", "<pad>", "</s>", "<unk>"];
    Ok(match config.class {
        Class::Albert => from(0)
            .map(|(text, score)| match ends_in_number_comma(&text) {
                true => (text, score - 100.0),
                false => (text, score),
            })
            .collect(),
        Class::Camembert => {
            let first = ["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>"].map(piece);
            let unk = ("<unk>NOTUSED".to_owned(), -100.0);
            first.into_iter().chain([unk]).chain(from(1)).chain([piece("<mask>")]).collect()
        }
        Class::Gemma => {
            let special = |name| config.special(name).unwrap_or_default();
            let first = ["pad_token", "eos_token", "bos_token"].map(|name| piece(special(name)));
            let mut vocab: Scored = first.into_iter().chain(from(3)).collect();
            if !vocab.iter().any(|(text, _)| text == "\t")
                && let Some(tab) = vocab.iter_mut().find(|(text, _)| text == "<0x09>")
            {
                *tab = piece("\t");
            }
            vocab
        }
        Class::Llama => {
            let named = |(id, (text, score)): (u32, (String, f64))| match config.added_at(id) {
                Some(added) if id < 3 => (added.to_owned(), 0.0),
                _ if id < 3 => (text, 0.0),
                _ => (text, score),
            };
            (0..).zip(from(0)).map(named).collect()
        }
        Class::T5 => {
            let extra = config.integer("extra_ids").unwrap_or(100).min(spm.pieces.len() + 10_000);
            let extra = (0..extra).rev().map(|index| (format!("<extra_id_{index}>"), 0.0));
            from(0).chain(extra).collect()
        }
        Class::MBart | Class::MBart50 => {
            let after = config.class.languages().into_iter().chain(["<mask>"]);
            fairseq.map(piece).into_iter().chain(from(3)).chain(after.map(piece)).collect()
        }
        Class::Nllb => fairseq.map(piece).into_iter().chain(from(3)).collect(),
        Class::Pegasus => {
            let offset = pegasus_offset(config);
            let mask = config.special("mask_token").filter(|_| offset > 3);
            let sentence = match config.raw("mask_token_sent") {
                None => Some("<mask_1>".to_owned()),
                Some(value) => content(value),
            };
            let first =
                ["pad_token", "eos_token"].map(|name| config.special(name).unwrap_or_default());
            let unknown = (2..offset).map(|index| (format!("<unk_{index}>"), -100.0));
            first
                .into_iter()
                .chain(sentence.as_deref())
                .chain(mask)
                .map(piece)
                .chain(unknown)
                .chain(from(2))
                .collect()
        }
        Class::XlmRoberta => {
            fairseq.map(piece).into_iter().chain(from(3)).chain([piece("<mask>")]).collect()
        }
        _ => from(0).collect(),
    })
}

/// The id of Pegasus' end, behind that of its padding.
const PEGASUS_EOS: u32 = 1;

/// How many ids Pegasus puts before the unknown token and the pieces.
fn pegasus_offset(config: &Config) -> usize {
    config.integer("offset").unwrap_or(103).min(10_000)
}

/// The merges that a BPE model's scores stand for: every way to put a token together from two
/// `pieces`, best score first (`generate_merges` in `convert_slow_tokenizer.py`).
pub(super) fn merges(vocab: &[(String, f64)], pieces: &[&str]) -> Vec<(String, String)> {
    let ids: HashMap<&str, usize> =
        pieces.iter().enumerate().map(|(id, &text)| (text, id)).collect();
    let mut merges = Vec::new();
    for (text, score) in vocab {
        let start = merges.len();
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if let (Some(&left_id), Some(&right_id)) = (ids.get(left), ids.get(right)) {
                merges.push((*score, (left_id, right_id), (left, right)));
            }
        }
        merges[start..].sort_by_key(|&(_, ids, _)| ids);
    }
    let length = |text: &str| Reverse(text.chars().count());
    merges.sort_by(|(a_score, _, (a_left, a_right)), (b_score, _, (b_left, b_right))| {
        b_score
            .total_cmp(a_score)
            .then_with(|| length(a_left).cmp(&length(b_left)))
            .then_with(|| length(a_right).cmp(&length(b_right)))
    });
    merges.into_iter().map(|(_, _, (left, right))| (left.to_owned(), right.to_owned())).collect()
}

pub(super) fn vocab_map(vocab: Scored) -> Vocab {
    vocab.into_iter().zip(0..).map(|((text, _), id)| (text, id)).collect()
}

/// Spaces become `▁`, and one is put before the text: the Llama class's `legacy` form.
pub(super) fn llama_normalizer(prefix_space: bool) -> Value {
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    match prefix_space {
        true => json!({
            "type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace],
        }),
        false => json!({"type": "Sequence", "normalizers": [replace]}),
    }
}

pub(super) fn llama_decoder(prefix_space: bool) -> Value {
    let mut steps = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix_space {
        steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"type": "Sequence", "decoders": steps})
}

/// As pre-tokenizer and decoder of SentencePiece models.
pub(super) fn metaspace(prefix_space: bool, legacy: bool, split: bool) -> Value {
    let scheme = match (prefix_space, legacy) {
        (false, _) => "never",
        (true, true) => "always",
        (true, false) => "first",
    };
    json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split})
}

pub(super) fn sequence(steps: Vec<Option<NormalizerWrapper>>) -> Option<NormalizerWrapper> {
    let steps = steps.into_iter().flatten().collect();
    Some(NormalizerWrapper::Sequence(normalizers::Sequence::new(steps)))
}

/// Numbers with a trailing comma, which ALBERT's slow class splits.
fn ends_in_number_comma(text: &str) -> bool {
    let mut last = text.chars().rev();
    last.next() == Some(',') && last.next().is_some_and(|c| c.is_ascii_digit())
}
