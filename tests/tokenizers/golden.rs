//! The expectations that `tests/goldens/make_tokenizers.py` writes, and how a tokenizer is held
//! against them.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use sconce::batch::PaddingSide;
use sconce::tokenizer::BatchOptions;
use sconce::tokenizer::EncodeOptions;
use sconce::tokenizer::Encoding;
use sconce::tokenizer::Padding;
use sconce::tokenizer::TextInput;
use sconce::tokenizer::Tokenizer;
use sconce::tokenizer::Truncation;
use sconce::tokenizer::TruncationStrategy;
use serde_json::Value;

use crate::stream;

/// What Python makes of every text.
pub(crate) struct Golden {
    pub(crate) json: Value,
    pub(crate) texts: Vec<String>,
    /// Ids and texts only: the file does not tell the rest, or tells it differently.
    pub(crate) ids_only: bool,
}

impl Golden {
    pub(crate) fn read(name: &str) -> Self {
        let text = fs::read_to_string(goldens().join(format!("{name}.json"))).unwrap();
        let golden: Value = serde_json::from_str(&text).unwrap();
        let texts = fs::read_to_string(goldens().join("texts.json")).unwrap();
        let mut texts: Vec<String> = serde_json::from_str(&texts).unwrap();
        texts.extend(strings(&golden["special"]));
        Self { json: golden, texts, ids_only: false }
    }
}

/// Everything that differs, so that one run tells all.
#[derive(Default)]
pub(crate) struct Report(Vec<String>);

impl Report {
    pub(crate) fn check(&mut self, name: &str, tokenizer: &Tokenizer, golden: &Golden) {
        let Golden { json: golden, texts, ids_only } = golden;
        let mut same = |what: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug| {
            let (found, expected) = (format!("{found:?}"), format!("{expected:?}"));
            if found != expected {
                self.0.push(format!("{name}: {what}\n    found {found}\n  expects {expected}"));
            }
        };
        if !ids_only {
            same("vocab", &tokenizer.vocab_size(), &number(&golden["vocab"]));
            let max = golden["max_length"].as_u64().map(|length| length as usize);
            same("max_length", &tokenizer.model_max_length(), &max);
            same("special_ids", &tokenizer.special_ids(), &numbers(&golden["special_ids"]));
            same(
                "padding_side",
                &side_name(tokenizer.padding_side()),
                &golden["padding_side"].as_str().unwrap(),
            );
            for (role, token) in [
                ("bos_token", tokenizer.bos_token()),
                ("eos_token", tokenizer.eos_token()),
                ("unk_token", tokenizer.unk_token()),
                ("sep_token", tokenizer.sep_token()),
                ("pad_token", tokenizer.pad_token()),
                ("cls_token", tokenizer.cls_token()),
                ("mask_token", tokenizer.mask_token()),
            ] {
                let expected = golden["named"].get(role);
                let expected = expected.map(|pair| (pair[0].as_str().unwrap(), number(&pair[1])));
                let found = token.map(|token| (token.content.as_str(), token.id as usize));
                same(role, &found, &expected);
            }
        }
        let mut text_cases = texts.iter().zip(golden["cases"].as_array().unwrap());
        assert_eq!(texts.len(), text_cases.len());
        for (text, case) in text_cases.by_ref() {
            let encoding = tokenizer.encode(text).unwrap();
            same(&format!("ids of {text:?}"), &encoding.ids, &numbers(&case["ids"]));
            if encoding.ids != numbers(&case["ids"]) {
                continue;
            }
            same(
                &format!("offsets of {text:?}"),
                &flat(&encoding.offsets),
                &numbers(&case["offsets"]),
            );
            let mask: String = encoding.special_tokens_mask.iter().map(u8::to_string).collect();
            same(&format!("mask of {text:?}"), &mask, &case["mask"].as_str().unwrap());
            for (key, skip) in [("decoded", false), ("skipped", true)] {
                let expected = case[key].as_str().unwrap_or(text);
                let decoded = tokenizer.decode(&encoding.ids, skip).unwrap();
                same(&format!("{key} of {text:?}"), &decoded, &expected);
                same(
                    &format!("stream of {text:?}"),
                    &stream(tokenizer, &encoding.ids, skip),
                    &decoded,
                );
            }
        }
        let long = (texts[..TEXTS].join(" ") + "\n").repeat(25);
        let encoding = tokenizer.encode(&long).unwrap();
        let expected = &golden["long"];
        same("long count", &encoding.len(), &number(&expected["count"]));
        same("long ids", &digest(&encoding.ids), &expected["ids"].as_str().unwrap());
        same(
            "long offsets",
            &digest(&flat(&encoding.offsets)),
            &expected["offsets"].as_str().unwrap(),
        );
        let decoded = tokenizer.decode(&encoding.ids, false).unwrap();
        let characters: Vec<u32> = decoded.chars().map(u32::from).collect();
        same("long text", &digest(&characters), &expected["decoded"].as_str().unwrap());
        if !ids_only {
            calls(tokenizer, &golden["calls"], &mut same);
        }
    }

    pub(crate) fn finish(self) {
        assert!(self.0.is_empty(), "{} differences\n{}", self.0.len(), self.0.join("\n"));
    }
}

fn calls(
    tokenizer: &Tokenizer,
    golden: &Value,
    same: &mut dyn FnMut(&str, &dyn std::fmt::Debug, &dyn std::fmt::Debug),
) {
    let (first, second) =
        ("Who was Jim Henson?", "Jim Henson was a nice puppet. He made Kermit, too.");
    let options = EncodeOptions::default();
    let mut compare = |what: &str, found: &Encoding, expected: &Value| {
        same(&format!("{what} ids"), &found.ids, &numbers(&expected["ids"]));
        same(&format!("{what} types"), &found.type_ids, &numbers(&expected["types"]));
        let offsets: Vec<u32> =
            expected["offsets"].as_array().unwrap().iter().flat_map(numbers).collect();
        same(&format!("{what} offsets"), &flat(&found.offsets), &offsets);
    };
    let pair = tokenizer.encode_with((first, second), &options).unwrap();
    compare("pair", &pair, &golden["pair"]);
    let words = ["Hugging", "Face's", "is", "in", "New-York", ""];
    let encoding = tokenizer.encode_with(TextInput::Words(&words), &options).unwrap();
    compare("words", &encoding, &golden["words"]);
    same("word ids", &encoding.word_ids, &optional_numbers::<u32>(&golden["words"]["words"]));
    same("sequences", &pair.sequence_ids, &optional_numbers::<usize>(&golden["pair_sequences"]));
    let plain = tokenizer.encode_with(first, &options.clone().add_special_tokens(false)).unwrap();
    same("plain", &plain.ids, &numbers(&golden["plain"]));
    for cut in golden["truncated"].as_array().unwrap() {
        let truncation = Truncation::to(number(&cut["length"]))
            .stride(number(&cut["stride"]))
            .side(side(&cut["side"]))
            .strategy(match cut["strategy"].as_str().unwrap() {
                "longest_first" => TruncationStrategy::LongestFirst,
                "only_first" => TruncationStrategy::OnlyFirst,
                _ => TruncationStrategy::OnlySecond,
            });
        let options = EncodeOptions::default().truncation(truncation);
        let found = tokenizer.encode_with((first, second), &options).ok().map(|encoding| {
            let rest = encoding.overflowing.iter().map(|window| window.ids.clone());
            std::iter::once(encoding.ids.clone()).chain(rest).collect::<Vec<_>>()
        });
        let expected = cut["windows"].as_array();
        let expected = expected.map(|windows| windows.iter().map(numbers).collect::<Vec<_>>());
        same(&format!("{truncation:?}"), &found, &expected);
    }
    for padded in golden["padded"].as_array().into_iter().flatten() {
        let mut options = BatchOptions::default().padding_side(side(&padded["side"]));
        options.pad_to_multiple_of = padded["multiple"].as_u64().map(|multiple| multiple as usize);
        if let Some(length) = padded["length"].as_u64() {
            options.padding = Padding::MaxLength(length as usize);
        }
        let batch = tokenizer.encode_batch(&[first, "Hi", second], &options);
        // Python lets rows that are too long stick out; a batch cannot.
        let longest = padded["ids"].as_array().unwrap().iter().map(|row| numbers(row).len()).max();
        if padded["length"].as_u64().is_some_and(|length| longest > Some(length as usize)) {
            assert!(batch.unwrap_err().is_caller_error());
            continue;
        }
        let batch = batch.unwrap();
        let rows = |key: &str| -> Vec<u32> {
            padded[key].as_array().unwrap().iter().flat_map(numbers).collect()
        };
        let mask: Vec<u32> = batch.tokens.attention_mask().iter().map(|&one| one.into()).collect();
        same("padded ids", &batch.tokens.ids(), &rows("ids"));
        same("padded mask", &mask, &rows("mask"));
        let types: Vec<u32> = batch.encodings.iter().flat_map(|row| row.type_ids.clone()).collect();
        same("padded types", &types, &rows("types"));
    }
}

pub(crate) fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/tokenizers")
}

/// FNV-1a over 32-bit words, as in the maker script.
fn digest(numbers: &[u32]) -> String {
    let value = numbers.iter().fold(0xCBF2_9CE4_8422_2325_u64, |value, &number| {
        (value ^ u64::from(number)).wrapping_mul(0x0100_0000_01B3)
    });
    format!("{value:016x}")
}

fn flat(offsets: &[(usize, usize)]) -> Vec<u32> {
    offsets.iter().flat_map(|&(start, end)| [start as u32, end as u32]).collect()
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|value| number(value) as u32).collect()
}

fn optional_numbers<T: TryFrom<u64>>(value: &Value) -> Vec<Option<T>> {
    let optional = |value: &Value| value.as_u64().and_then(|value| T::try_from(value).ok());
    value.as_array().unwrap().iter().map(optional).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn side(value: &Value) -> PaddingSide {
    match value.as_str().unwrap() {
        "left" => PaddingSide::Left,
        _ => PaddingSide::Right,
    }
}

fn side_name(side: PaddingSide) -> &'static str {
    match side {
        PaddingSide::Left => "left",
        PaddingSide::Right => "right",
    }
}

/// The texts that every tokenizer is tried on; a golden may add some of its own.
const TEXTS: usize = 40;
