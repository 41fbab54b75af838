//! The formats from before `tokenizer.json`, converted as transformers does.
//!
//! Source: `convert_slow_tokenizer.py` and the slow classes whose files it reads.

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::wordpiece::WordPiece;

use crate::error::{Error, Result};
use crate::source;
use crate::source::{ModelFiles, file};
use crate::tokenizer::backend::guarded;
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::class::Class;
use crate::tokenizer::config::{Config, TEKKEN};
use crate::tokenizer::pretokenizer::QWEN2;
use crate::tokenizer::sketch::{Sketch, template};
use crate::tokenizer::tokenizer_json::{Parts, part};
use crate::tokenizer::{ranks, spm};

/// Reads whichever vocabulary files the class uses.
pub(super) fn load(files: &ModelFiles, config: &Config) -> Result<Parts> {
    let name = match config.class {
        Class::Bert | Class::MpNet => return word_piece(files, config),
        Class::Clip | Class::Gpt2 | Class::GptNeoX | Class::Qwen2 | Class::Roberta => {
            return byte_bpe(files, config);
        }
        Class::Albert | Class::BigBird | Class::Pegasus | Class::T5 => "spiece.model",
        Class::Camembert | Class::MBart | Class::MBart50 | Class::Nllb | Class::XlmRoberta => {
            "sentencepiece.bpe.model"
        }
        Class::DebertaV2 => "spm.model",
        Class::Gemma | Class::Llama | Class::Other => return model(files, config),
        _ => return Err(not_supported(files, config)),
    };
    let path = required(files, name, "the SentencePiece vocabulary")?;
    spm::load(&path, &file::read(&path)?, config)
}

/// `tekken.json`, or `tokenizer.model`, which is SentencePiece's or tiktoken's.
fn model(files: &ModelFiles, config: &Config) -> Result<Parts> {
    if let Some(path) = files.optional(TEKKEN)?.filter(|_| config.class != Class::Gemma) {
        return ranks::tekken(&path);
    }
    let name = "tokenizer.model";
    let path = match config.class {
        Class::Other => files.optional(name)?.ok_or_else(|| not_supported(files, config))?,
        _ => required(files, name, "the vocabulary")?,
    };
    let bytes = file::read(&path)?;
    match ranks::is_tiktoken(&bytes) {
        true => ranks::tiktoken(&path, &bytes, config),
        false if config.class == Class::Other => Err(not_supported(files, config)),
        false => spm::load(&path, &bytes, config),
    }
}

fn not_supported(files: &ModelFiles, config: &Config) -> Error {
    let class = &config.class_name;
    let reason = format!("no other form of the tokenizer class {class} is supported");
    files.missing("tokenizer.json", "tokenizer.json", &reason)
}

/// `vocab.txt` of BERT and its kin: `BertConverter`, `MPNetConverter`.
fn word_piece(files: &ModelFiles, config: &Config) -> Result<Parts> {
    let path = required(files, "vocab.txt", "the WordPiece vocabulary")?;
    let vocab = file::read_text(&path)?
        .lines()
        .zip(0..)
        .map(|(token, id)| (token.to_owned(), id))
        .collect::<Vocab>();
    let unk = config.special("unk_token").unwrap_or("[UNK]");
    let flag = |key| config.boolean(key).unwrap_or(true);
    // All but MPNet's class set again what the converter leaves out.
    let splits_chinese = config.class != Class::MpNet || flag("do_basic_tokenize");
    let normalizer = json!({
        "type": "BertNormalizer",
        "clean_text": true,
        "handle_chinese_chars": splits_chinese && flag("tokenize_chinese_chars"),
        "strip_accents": config.raw("strip_accents"),
        "lowercase": flag("do_lower_case"),
    });
    let cls = config.special("cls_token").unwrap_or_default();
    let sep = config.special("sep_token").unwrap_or_default();
    let (before, after) = (format!("{cls}:0"), format!("{sep}:0"));
    let second = format!("{sep}:1");
    let single = [before.as_str(), "$A:0", &after];
    let pair: &[&str] = match config.class {
        // MPNet puts two separators between the texts.
        Class::MpNet => &[&before, "$A:0", &after, &after, "$B:1", &second],
        _ => &[&before, "$A:0", &after, "$B:1", &second],
    };
    let built = guarded(|| {
        let model = WordPiece::builder().vocab(vocab).unk_token(unk.to_owned()).build()?;
        let tokenizer = Engine::new(model.into());
        Sketch {
            normalizer: part(normalizer)?,
            pre_tokenizer: json!({"type": "BertPreTokenizer"}),
            post_processor: template(&single, pair, |token| tokenizer.token_to_id(token))?,
            decoder: json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        }
        .complete(tokenizer)
    });
    built.map_err(|reason| Error::malformed(&path, reason))
}

/// `vocab.json` and `merges.txt`: `GPT2Converter`, `RobertaConverter`, `Qwen2Converter`,
/// `CLIPConverter`.
fn byte_bpe(files: &ModelFiles, config: &Config) -> Result<Parts> {
    let path = required(files, "vocab.json", "the BPE vocabulary")?;
    let merges_path = required(files, "merges.txt", "the BPE merges")?;
    let vocab: std::collections::HashMap<String, u32> = source::json::read(&path)?;
    let merges = read_merges(&file::read_text(&merges_path)?)
        .map_err(|reason| Error::malformed(&merges_path, reason))?;
    let check = |token: &String| match vocab.contains_key(token) {
        true => Ok(()),
        false => {
            let reason = format!("merges {token:?}, which vocab.json does not have");
            Err(Error::malformed(&merges_path, reason))
        }
    };
    for (left, right) in &merges {
        check(left)?;
        check(right)?;
        check(&format!("{left}{right}"))?;
    }
    let id = |name: &str| {
        let token = config.special(name).unwrap_or_default();
        let id = vocab.get(token).copied();
        id.map(|id| (token, id))
            .ok_or_else(|| Error::malformed(&path, format!("has no token {token:?}, the {name}")))
    };
    let prefix_space = config.boolean("add_prefix_space").unwrap_or(false);
    let byte_level = |use_regex: bool| {
        json!({
            "type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": true,
            "use_regex": use_regex,
        })
    };
    let split = |pattern: &str, behavior: &str, invert: bool| {
        json!({
            "type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert,
        })
    };
    let mut builder = BPE::builder();
    let mut normalizer = Value::Null;
    let mut pre_tokenizer = byte_level(true);
    let untrimmed = json!({
        "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true,
    });
    let framed = |sep, cls, trim_offsets: bool, add_prefix_space: bool| {
        json!({
            "type": "RobertaProcessing", "sep": sep, "cls": cls, "trim_offsets": trim_offsets,
            "add_prefix_space": add_prefix_space,
        })
    };
    let post_processor = match config.class {
        Class::Qwen2 => {
            normalizer = json!({"type": "NFC"});
            let steps = [split(QWEN2, "Isolated", false), byte_level(false)];
            pre_tokenizer = json!({"type": "Sequence", "pretokenizers": steps});
            untrimmed
        }
        Class::Roberta => framed(id("sep_token")?, id("cls_token")?, true, prefix_space),
        Class::Clip => {
            let unk = config.special("unk_token").unwrap_or_default().to_owned();
            builder = builder.end_of_word_suffix("</w>".to_owned()).unk_token(unk);
            let spaces = json!({"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "});
            let steps = [json!({"type": "NFC"}), spaces, json!({"type": "Lowercase"})];
            normalizer = json!({"type": "Sequence", "normalizers": steps});
            let steps = [split(CLIP, "Removed", true), byte_level(true)];
            pre_tokenizer = json!({"type": "Sequence", "pretokenizers": steps});
            framed(id("eos_token")?, id("bos_token")?, false, false)
        }
        _ if config.boolean("add_bos_token").unwrap_or(false) => {
            let (bos, _) = id("bos_token")?;
            let bos = format!("{bos}:0");
            let lookup = |token: &str| vocab.get(token).copied();
            template(&[&bos, "$A:0"], &[&bos, "$A:0", "$B:1"], lookup)
                .map_err(|error| Error::malformed(&path, error))?
        }
        _ => untrimmed,
    };
    let built = guarded(|| {
        let sketch = Sketch {
            normalizer: part(normalizer)?,
            pre_tokenizer,
            post_processor,
            decoder: json!({
                "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                "use_regex": true,
            }),
        };
        let vocab = vocab.into_iter().collect::<Vocab>();
        sketch.complete(Engine::new(builder.vocab_and_merges(vocab, merges).build()?.into()))
    });
    built.map_err(|reason| Error::malformed(&path, reason))
}

/// One merge a line, after a line with the version.
fn read_merges(text: &str) -> std::result::Result<Vec<(String, String)>, String> {
    text.lines()
        .enumerate()
        .filter(|(index, line)| !(line.trim().is_empty() || *index == 0 && line.starts_with('#')))
        .map(|(index, line)| {
            let mut parts = line.split_whitespace();
            match (parts.next(), parts.next(), parts.next()) {
                (Some(left), Some(right), None) => Ok((left.to_owned(), right.to_owned())),
                _ => Err(format!("line {} is not a pair of tokens: {line:?}", index + 1)),
            }
        })
        .collect()
}

const CLIP: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

fn required(files: &ModelFiles, name: &str, what: &str) -> Result<std::path::PathBuf> {
    files.optional(name)?.ok_or_else(|| {
        let names = format!("tokenizer.json, and no {name}");
        files.missing("tokenizer.json", &names, &format!("one of them holds {what}"))
    })
}
