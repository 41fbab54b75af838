//! From the bytes of tokens to a `tokenizer.json`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::letters::letters;
use crate::source::whisper_cpp::reader::Parsed;
use crate::source::whisper_cpp::special::{Kind, Special};

/// The tokens of the text, by their numbers. A file holds no list of merges: a token's number is its rank,
/// and of all pairs that are tokens together the one of the lowest rank is merged first.
#[derive(Debug)]
pub(super) struct Vocabulary<'a> {
    words: Vec<&'a [u8]>,
    ranks: HashMap<&'a [u8], u32>,
}

/// No token of Whisper's is longer than 128 bytes, and together they have a third of a million. The time
/// to find merges grows with both.
const LONGEST: usize = 256;
const ALL_TOGETHER: usize = 1 << 20;

impl<'a> Vocabulary<'a> {
    pub(super) fn new(words: Vec<&'a [u8]>) -> Parsed<Self> {
        if let Some(word) = words.iter().find(|word| word.len() > LONGEST) {
            return Err(format!("has a token of {} bytes", word.len()));
        }
        let bytes: usize = words.iter().map(|word| word.len()).sum();
        if bytes > ALL_TOGETHER {
            return Err(format!("has tokens of {bytes} bytes together"));
        }
        let mut ranks = HashMap::with_capacity(words.len());
        for (word, rank) in words.iter().zip(0..) {
            ranks.entry(*word).or_insert(rank);
        }
        if let Some(byte) = (0..=u8::MAX).find(|byte| !ranks.contains_key([*byte].as_slice())) {
            return Err(format!("has no token for the byte {byte}"));
        }
        Ok(Self { words, ranks })
    }

    /// The id of a token of the text.
    pub(super) fn id(&self, word: &str) -> Option<u32> {
        self.ranks.get(word.as_bytes()).copied()
    }

    /// The first token of a text.
    pub(super) fn first(&self, text: &str) -> Option<u32> {
        let parts = self.merged(text.as_bytes(), u32::MAX);
        self.ranks.get(parts.first()?).copied()
    }

    /// `tokenizer.json` as Hugging Face has it.
    pub(super) fn tokenizer(&self, special: &Special) -> Value {
        let letters = letters();
        let text = |word: &[u8]| -> String {
            word.iter().map(|&byte| letters[usize::from(byte)]).collect()
        };
        let vocab: Map<String, Value> = self
            .words
            .iter()
            .take(special.end as usize)
            .zip(0_u32..)
            .map(|(word, id)| (text(word), id.into()))
            .chain([("<|endoftext|>".to_owned(), special.end.into())])
            .collect();
        let merge = |(word, rank): (&&[u8], u32)| match self.merged(word, rank)[..] {
            [left, right] => Some(json!([text(left), text(right)])),
            _ => None,
        };
        let merges: Vec<Value> = self.words.iter().zip(0..).filter_map(merge).collect();
        let added = |((content, kind), id): ((String, Kind), u32)| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": kind == Kind::Time, "special": kind == Kind::Special,
            })
        };
        let added: Vec<Value> = special.all().zip(special.end..).map(added).collect();
        let named = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
        let [start, plain, end] = ["<|startoftranscript|>", "<|notimestamps|>", "<|endoftext|>"];
        let sequence = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
        let ids = [(start, special.start()), (plain, special.no_timestamps()), (end, special.end)];
        let ids: Map<String, Value> = ids
            .into_iter()
            .map(|(name, id)| (name.to_owned(), json!({"id": name, "ids": [id], "tokens": [name]})))
            .collect();
        let byte_level = |add_prefix_space: bool| {
            json!({
                "type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true,
                "use_regex": true,
            })
        };
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added,
            "normalizer": null,
            "pre_tokenizer": byte_level(false),
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [named(start), named(plain), sequence("A"), named(end)],
                "pair": [named(start), named(plain), sequence("A"), sequence("B"), named(end)],
                "special_tokens": ids,
            },
            "decoder": byte_level(true),
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
                "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": vocab,
                "merges": merges,
            },
        })
    }

    /// What the merges into tokens below a rank make of a word.
    fn merged<'w>(&self, word: &'w [u8], below: u32) -> Vec<&'w [u8]> {
        // Where parts begin, and the end.
        let mut bounds: Vec<usize> = (0..=word.len()).collect();
        loop {
            let pairs = bounds.windows(3).zip(1..);
            let ranks = pairs.filter_map(|(pair, place)| {
                let rank = *self.ranks.get(&word[pair[0]..pair[2]])?;
                (rank < below).then_some((rank, place))
            });
            match ranks.min() {
                Some((_, place)) => drop(bounds.remove(place)),
                None => break,
            }
        }
        bounds.windows(2).map(|part| &word[part[0]..part[1]]).collect()
    }
}
