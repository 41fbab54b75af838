//! Vocabularies by rank, in which every token is a row of bytes: tiktoken's files (`tokenizer.model` of Llama 3)
//! and Mistral's `tekken.json`. The lowest rank is merged first.
//!
//! Sources: `TikTokenConverter` in transformers' `convert_slow_tokenizer.py`; `tekken.py` of mistral-common.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::AddedToken;
use tokenizers::models::bpe::{BPE, Vocab};

use crate::base64;
use crate::error::{Error, Result, quoted};
use crate::letters::letters;
use crate::source::json as json_file;
use crate::tokenizer::backend::guarded;
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::config::Config;
use crate::tokenizer::pretokenizer::LLAMA3;
use crate::tokenizer::sketch::Sketch;
use crate::tokenizer::tokenizer_json::Parts;

/// Tokens with their ids, which ascend with the ranks.
struct Ranks {
    tokens: Vec<(Vec<u8>, u32)>,
    pattern: String,
    /// Looked for in a text before it is split.
    special: Vec<(AddedToken, Option<u32>)>,
}

/// `tekken.json`.
#[derive(Deserialize)]
struct Tekken {
    config: TekkenConfig,
    vocab: Vec<TekkenToken>,
    special_tokens: Option<Vec<TekkenSpecial>>,
}

#[derive(Deserialize)]
struct TekkenConfig {
    pattern: String,
    default_vocab_size: usize,
    default_num_special_tokens: usize,
}

#[derive(Deserialize)]
struct TekkenToken {
    rank: usize,
    token_bytes: String,
}

#[derive(Deserialize)]
struct TekkenSpecial {
    rank: u32,
    token_str: String,
    #[serde(default)]
    is_control: bool,
}

/// Whether a file is tiktoken's: a token in base64 and its rank in each line.
pub(super) fn is_tiktoken(bytes: &[u8]) -> bool {
    let first = bytes.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    first.is_some_and(|line| std::str::from_utf8(line).is_ok_and(|line| ranked(line).is_some()))
}

/// Reads tiktoken's file as transformers does: texts are split as Llama 3 does, and the additional special tokens
/// of the config come behind.
pub(super) fn tiktoken(path: &Path, bytes: &[u8], config: &Config) -> Result<Parts> {
    let malformed = |reason: String| Error::malformed(path, reason);
    let text = std::str::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let token = |(line, number): (&str, usize)| {
        let reason = "is not a token in base64 and its rank";
        ranked(line).ok_or_else(|| malformed(format!("line {number} {reason}: {}", quoted(line))))
    };
    let mut tokens = lines.map(token).collect::<Result<Vec<_>>>()?;
    tokens.sort_by_key(|&(_, rank)| rank);
    let special = config.additional().map(|token| (special(token, true), None)).collect();
    let ranks = Ranks { tokens, pattern: LLAMA3.to_owned(), special };
    guarded(|| ranks.convert()).map_err(|reason| Error::malformed(path, reason))
}

/// Reads `tekken.json` as mistral-common does: special tokens first, and the vocabulary no larger than
/// `default_vocab_size`. Control tokens in a text are special, as templates need it.
pub(super) fn tekken(path: &Path) -> Result<Parts> {
    let file: Tekken = json_file::read(path)?;
    let ranks = file.ranks().map_err(|reason| Error::malformed(path, reason))?;
    let pads = ranks.special.iter().any(|(token, _)| token.content == PAD);
    let mut parts = guarded(|| ranks.convert()).map_err(|reason| Error::malformed(path, reason))?;
    parts.file.pad_token = pads.then(|| PAD.to_owned());
    Ok(parts)
}

impl Tekken {
    fn ranks(self) -> std::result::Result<Ranks, String> {
        let TekkenConfig { pattern, default_vocab_size, default_num_special_tokens: specials } =
            self.config;
        let Some(own) =
            default_vocab_size.checked_sub(specials).filter(|own| *own <= self.vocab.len())
        else {
            let found = self.vocab.len();
            return Err(format!(
                "says {default_vocab_size} tokens, {specials} of them special, and has {found} others"
            ));
        };
        if specials > MOST_SPECIAL {
            return Err(format!("has {specials} special tokens; {MOST_SPECIAL} are the limit"));
        }
        let mut named = match self.special_tokens {
            Some(tokens) => tokens,
            None => {
                let tokens = OLD_SPECIAL.iter().zip(0..);
                let token = |(token, rank): (&&str, u32)| TekkenSpecial {
                    rank,
                    token_str: (*token).to_owned(),
                    is_control: true,
                };
                tokens.map(token).collect()
            }
        };
        let first = u32::try_from(specials).unwrap_or(u32::MAX);
        let fillers = u32::try_from(named.len()).unwrap_or(u32::MAX)..first;
        named.extend(fillers.map(|rank| {
            let token_str = format!("<SPECIAL_{rank}>");
            TekkenSpecial { rank, token_str, is_control: true }
        }));
        let ids: BTreeSet<_> = named.iter().map(|token| token.rank).collect();
        let texts: BTreeSet<_> = named.iter().map(|token| &token.token_str).collect();
        if named.len() != specials || !ids.iter().copied().eq(0..first) || texts.len() != specials {
            return Err(format!(
                "its special tokens should be {specials} different ones, with the ranks from 0 on"
            ));
        }
        let tokens = self.vocab.into_iter().take(own).enumerate().zip(first..);
        let token = |((at, token), id): ((usize, TekkenToken), u32)| {
            let bytes = base64::decode(&token.token_bytes).filter(|_| token.rank == at);
            bytes
                .map(|bytes| (bytes, id))
                .ok_or_else(|| format!("token {at} should have the rank {at} and bytes in base64"))
        };
        Ok(Ranks {
            tokens: tokens.map(token).collect::<std::result::Result<_, _>>()?,
            pattern,
            special: named
                .into_iter()
                .map(|token| (special(&token.token_str, token.is_control), Some(token.rank)))
                .collect(),
        })
    }
}

/// Two tokens that are put together.
type Merge<'a> = (&'a [u8], &'a [u8]);

impl Ranks {
    fn convert(self) -> tokenizers::Result<Parts> {
        let merges = self.merges()?;
        let letters = letters();
        let written = |bytes: &[u8]| -> String {
            bytes.iter().map(|&byte| letters[usize::from(byte)]).collect()
        };
        let mut vocab: Vocab =
            self.tokens.iter().map(|(token, id)| (written(token), *id)).collect();
        vocab.extend(
            self.special.iter().filter_map(|(token, id)| Some((token.content.clone(), (*id)?))),
        );
        let merges = merges.into_iter().map(|(left, right)| (written(left), written(right)));
        let model = BPE::builder()
            .vocab_and_merges(vocab, merges.collect::<Vec<_>>())
            .fuse_unk(false)
            .ignore_merges(true)
            .build()?;
        let mut tokenizer = Engine::new(model.into());
        tokenizer.add_tokens(self.special.into_iter().map(|(token, _)| token))?;
        let bytes = |trims: bool, regex: bool| {
            json!({
                "type": "ByteLevel", "add_prefix_space": trims, "trim_offsets": trims,
                "use_regex": regex,
            })
        };
        let split = json!({
            "type": "Split", "pattern": {"Regex": self.pattern}, "behavior": "Isolated", "invert": false,
        });
        let mut untrimmed = bytes(true, true);
        untrimmed["trim_offsets"] = Value::Bool(false);
        Sketch {
            normalizer: None,
            pre_tokenizer: json!({
                "type": "Sequence", "pretokenizers": [split, bytes(false, false)],
            }),
            post_processor: untrimmed,
            decoder: bytes(true, true),
        }
        .complete(tokenizer)
    }

    /// Every way to put a token together from two others, lowest rank first.
    fn merges(&self) -> std::result::Result<Vec<Merge<'_>>, String> {
        let ids: HashMap<&[u8], u32> =
            self.tokens.iter().map(|(token, id)| (token.as_slice(), *id)).collect();
        let mut merges = Vec::new();
        for (token, id) in &self.tokens {
            if token.is_empty() || token.len() > LONGEST {
                let bytes = token.len();
                return Err(format!(
                    "the token {id} has {bytes} bytes; it should be 1 to {LONGEST}"
                ));
            }
            let start = merges.len();
            for at in 1..token.len() {
                let (left, right) = token.split_at(at);
                if let (Some(&left_id), Some(&right_id)) = (ids.get(left), ids.get(right)) {
                    merges.push(((left_id, right_id), (left, right)));
                }
            }
            merges[start..].sort_by_key(|&(ids, _)| ids);
        }
        Ok(merges.into_iter().map(|(_, parts)| parts).collect())
    }
}

/// A token in base64 and its rank.
fn ranked(line: &str) -> Option<(Vec<u8>, u32)> {
    let mut parts = line.split_ascii_whitespace();
    let (token, rank) = (parts.next()?, parts.next()?);
    let bytes = base64::decode(token).filter(|bytes| !bytes.is_empty())?;
    Some((bytes, rank.parse().ok().filter(|_| parts.next().is_none())?))
}

fn special(content: &str, is_control: bool) -> AddedToken {
    AddedToken::from(content, is_control).normalized(!is_control)
}

/// In bytes; as for pieces of other vocabularies.
const LONGEST: usize = 1024;
/// Real files have 1,000.
const MOST_SPECIAL: usize = 1 << 16;
const PAD: &str = "<pad>";

/// Of files that name none (`DEPRECATED_SPECIAL_TOKENS`).
const OLD_SPECIAL: &[&str] = &[
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[IMG]",
    "<pad>",
    "[IMG_BREAK]",
    "[IMG_END]",
    "[PREFIX]",
    "[MIDDLE]",
    "[SUFFIX]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
];
