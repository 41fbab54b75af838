//! The tokens of a text before special tokens are put around them.

use std::collections::HashMap;
use std::ops::Range;

use tokenizers::InputSequence;

use crate::error::Result;
use crate::tokenizer::backend::MOST_TEXT;
use crate::tokenizer::cuts;
use crate::tokenizer::shared::Tokenizer;

/// The tokens of a text.
pub(super) enum Tokens {
    /// As the tokenizers crate makes them: about 160 bytes for each.
    Made(Box<tokenizers::Encoding>),
    /// Those of a long text.
    Long(Box<Long>),
}

/// The tokens of a long text, as numbers.
pub(super) struct Long {
    tokenizer: Tokenizer,
    ids: Vec<u32>,
    /// In characters.
    offsets: Vec<(u32, u32)>,
    words: Vec<u32>,
    /// The tokens whose text is not that of their ids, such as unknown ones, by their places.
    texts: HashMap<usize, String>,
    type_id: u32,
}

impl Tokenizer {
    /// The tokens of a text.
    pub(super) fn tokens(&self, text: InputSequence<'_>) -> Result<Tokens> {
        if let InputSequence::Raw(text) = &text
            && (2 * PART..=MOST_TEXT).contains(&text.len())
            && let Some(tokens) = self.tokens_in_parts(text, PART)
        {
            return Ok(Tokens::Long(Box::new(tokens)));
        }
        Ok(Tokens::Made(Box::new(self.shared.backend.split(text, self.side)?)))
    }

    /// The tokens of a text that is encoded in parts of about so many bytes; `None` where it must be encoded as a
    /// whole.
    fn tokens_in_parts(&self, text: &str, bytes: usize) -> Option<Long> {
        let backend = &self.shared.backend;
        if text.len() > u32::MAX as usize
            || !*self.shared.cuts.get_or_init(|| backend.cuts_are_safe())
        {
            return None;
        }
        let parts = cuts::parts(text, bytes);
        let (last, others) = parts.split_last().filter(|(_, others)| !others.is_empty())?;
        let encode = |part: &str| backend.split(part.into(), self.side).ok();
        let mut long = Long::of(self.clone());
        let (mut characters, mut words) = (0, 0);
        for part in others {
            long.add(&encode(part)?, characters, words)?;
            characters += u32::try_from(part.chars().count()).ok()?;
            // Words are counted by their tokens, so the last letter must have one.
            words = long.words.last()? + 1;
            long.offsets.last().filter(|(_, end)| *end == characters)?;
        }
        long.add(&encode(last)?, characters, words)?;
        Some(long)
    }
}

impl Long {
    fn of(tokenizer: Tokenizer) -> Self {
        Self {
            tokenizer,
            ids: Vec::new(),
            offsets: Vec::new(),
            words: Vec::new(),
            texts: HashMap::new(),
            type_id: 0,
        }
    }

    fn add(&mut self, tokens: &tokenizers::Encoding, characters: u32, words: u32) -> Option<()> {
        for (&(start, end), word) in tokens.get_offsets().iter().zip(tokens.get_word_ids()) {
            let place = |at: usize| Some(characters + u32::try_from(at).ok()?);
            self.offsets.push((place(start)?, place(end)?));
            self.words.push(words + (*word)?);
        }
        for (&id, text) in tokens.get_ids().iter().zip(tokens.get_tokens()) {
            if self.tokenizer.id_to_token(id).as_ref() != Some(text) {
                self.texts.insert(self.ids.len(), text.clone());
            }
            self.ids.push(id);
        }
        Some(())
    }

    fn part(&self, range: Range<usize>) -> tokenizers::Encoding {
        let length = range.len();
        let text = |at: usize| {
            let kept = self.texts.get(&at).cloned();
            kept.or_else(|| self.tokenizer.id_to_token(self.ids[at])).unwrap_or_default()
        };
        let offsets = self.offsets[range.clone()].iter();
        tokenizers::Encoding::new(
            self.ids[range.clone()].to_vec(),
            vec![self.type_id; length],
            range.clone().map(text).collect(),
            self.words[range].iter().copied().map(Some).collect(),
            offsets.map(|&(start, end)| (start as usize, end as usize)).collect(),
            vec![0; length],
            vec![1; length],
            Vec::new(),
            Default::default(),
        )
    }
}

impl Tokens {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Made(tokens) => tokens.len(),
            Self::Long(tokens) => tokens.ids.len(),
        }
    }

    /// Says of which text of a pair they are.
    pub(super) fn set_type_id(&mut self, type_id: u32) {
        match self {
            Self::Made(tokens) => tokens.set_type_ids(vec![type_id; tokens.len()]),
            Self::Long(tokens) => tokens.type_id = type_id,
        }
    }

    /// All of them.
    pub(super) fn whole(self) -> tokenizers::Encoding {
        match self {
            Self::Made(tokens) => *tokens,
            Self::Long(tokens) => tokens.part(0..tokens.ids.len()),
        }
    }

    /// Changes them as the tokenizers crate has them.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut tokenizers::Encoding) -> T) -> T {
        let mut tokens = std::mem::replace(self, Self::Made(Box::default())).whole();
        let found = change(&mut tokens);
        *self = Self::Made(Box::new(tokens));
        found
    }

    /// Some of them.
    pub(super) fn part(&self, range: &Range<usize>) -> tokenizers::Encoding {
        let text = match self {
            Self::Made(text) => text,
            Self::Long(tokens) => return tokens.part(range.clone()),
        };
        fn of<T: Clone>(all: &[T], range: &Range<usize>) -> Vec<T> {
            all[range.clone()].to_vec()
        }
        tokenizers::Encoding::new(
            of(text.get_ids(), range),
            of(text.get_type_ids(), range),
            of(text.get_tokens(), range),
            of(text.get_word_ids(), range),
            of(text.get_offsets(), range),
            of(text.get_special_tokens_mask(), range),
            of(text.get_attention_mask(), range),
            Vec::new(),
            Default::default(),
        )
    }
}

/// A text of more than two parts of so many bytes is encoded part by part.
const PART: usize = 1 << 13;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    use serde_json::{Value, json};

    use super::*;
    use crate::tokenizer::encoding::convert;

    /// What long texts are made of: letters that normal forms change or join, spaces alone and in runs, and added
    /// tokens.
    const PIECES: [&str; 40] = [
        "the",
        "Light",
        "of",
        "a",
        "X",
        "it's",
        "don't",
        "42",
        "3.14",
        " ",
        " ",
        " ",
        " ",
        " ",
        " ",
        " ",
        "  ",
        "\n",
        " \n ",
        "\t",
        "\u{a0}",
        "Zoë",
        "e\u{301}",
        "\u{301}",
        "İ",
        "ς",
        "свеча",
        "日本",
        "語",
        "한국",
        "ﬁn",
        "½",
        ".",
        ", ",
        "``",
        "[MASK]",
        "<s>",
        "<MARK>",
        "end",
        "\u{ad}",
    ];

    /// Steps that keep to their side of a cut.
    fn steps() -> Vec<(Value, Value)> {
        let bert = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": true, "lowercase": true});
        let replace = |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
        let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "normalizers": steps});
        let strip = json!({"type": "Strip", "strip_left": false, "strip_right": true});
        let normalizers = [
            Value::Null,
            bert,
            sequence(vec![json!({"type": "NFKC"}), strip, replace(json!({"Regex": " {2,}"}), " ")]),
            sequence(vec![
                replace(json!({"String": "``"}), "\""),
                json!({"type": "NFKD"}),
                json!({"type": "StripAccents"}),
                json!({"type": "Lowercase"}),
            ]),
            sequence(vec![
                json!({"type": "Nmt"}),
                json!({"type": "NFC"}),
                replace(json!({"Regex": "\\s+"}), " "),
            ]),
        ];
        let metaspace = |scheme: &str| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true});
        let bytes = |space: bool| json!({"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": true});
        let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "pretokenizers": steps});
        let digits = json!({"type": "Digits", "individual_digits": false});
        let punctuation = json!({"type": "Punctuation", "behavior": "Isolated"});
        let pre_tokenizers = [
            json!({"type": "BertPreTokenizer"}),
            json!({"type": "Whitespace"}),
            metaspace("always"),
            metaspace("first"),
            metaspace("never"),
            bytes(false),
            bytes(true),
            sequence(vec![json!({"type": "WhitespaceSplit"}), metaspace("first")]),
            sequence(vec![digits, punctuation, bytes(true)]),
        ];
        let pairs = normalizers
            .iter()
            .flat_map(|one| pre_tokenizers.iter().map(|two| (one.clone(), two.clone())));
        pairs.collect()
    }

    /// A tokenizer of such steps before a model that knows few words.
    fn tokenizer((normalizer, pre_tokenizer): (Value, Value), added: Value) -> Tokenizer {
        let words = [
            "[UNK]", "the", "light", "##ht", "L", "##i", "##g", "▁the", "▁of", "Ġthe", "a", "##a",
            "▁", "Ġ",
        ];
        let words = words
            .iter()
            .map(|word| (*word).to_owned())
            .chain(('b'..='z').flat_map(|letter| [letter.to_string(), format!("##{letter}")]));
        let vocab: HashMap<String, usize> = words.zip(0..).collect();
        let mut file = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 20, "vocab": vocab}});
        file["added_tokens"] = added;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
        Tokenizer::open(folder.path()).unwrap()
    }

    fn added(content: &str, id: usize, flags: &[&str]) -> Value {
        let is = |flag: &str| flags.contains(&flag);
        json!({"id": id, "content": content, "single_word": is("single_word"), "lstrip": is("lstrip"),
            "rstrip": is("rstrip"), "normalized": is("normalized"), "special": !is("normalized")})
    }

    /// Whether a text was cut; it must then have the tokens of the whole.
    fn is_cut(tokenizer: &Tokenizer, text: &str, bytes: usize) -> bool {
        let Some(long) = tokenizer.tokens_in_parts(text, bytes) else { return false };
        let whole = Tokens::Made(Box::new(
            tokenizer.shared.backend.split(text.into(), tokenizer.side).unwrap(),
        ));
        let parts = Tokens::Long(Box::new(long));
        assert_eq!(parts.len(), whole.len(), "{text:?}");
        let some = parts.len() / 3..parts.len() / 2;
        assert_eq!(convert(parts.part(&some)), convert(whole.part(&some)), "{text:?}");
        assert_eq!(convert(parts.whole()), convert(whole.whole()), "{text:?}");
        true
    }

    #[test]
    fn parts_of_a_text_have_the_tokens_of_the_whole() {
        let tokens = json!([
            added("[MASK]", 200, &["lstrip"]),
            added("<s>", 201, &["lstrip", "rstrip"]),
            added("<MARK>", 202, &["normalized"]),
            added("Light", 203, &["normalized", "single_word"]),
        ]);
        let run = added("  ", 204, &["normalized"]);
        let named = |steps: (Value, Value)| {
            let name = format!("{steps:?}");
            let mut tokens = tokens.clone();
            // Where runs of spaces become one, it would be the token of every space.
            if !name.contains("s+") {
                tokens.as_array_mut().unwrap().push(run.clone());
            }
            (name, tokenizer(steps, tokens))
        };
        let mut all: Vec<_> = steps().into_iter().map(named).collect();
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/encoders");
        for name in ["bert-tiny", "roberta-tiny", "xlm-roberta-tiny", "deberta-v2-tiny"] {
            all.push((name.to_owned(), Tokenizer::open(goldens.join(name)).unwrap()));
        }
        let text = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..60);
        let rng = || TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
        let mut whole = Vec::new();
        for (name, tokenizer) in &all {
            let cut = Cell::new(0);
            let texts = (text.clone(), 1_usize..30);
            TestRunner::new_with_rng(config.clone(), rng())
                .run(&texts, |(pieces, bytes)| {
                    cut.set(cut.get() + usize::from(is_cut(tokenizer, &pieces.concat(), bytes)));
                    Ok(())
                })
                .unwrap();
            if cut.get() < 6 {
                whole.push(format!("{} texts of {name}", cut.get()));
            }
        }
        assert!(whole.is_empty(), "hardly a text was cut: {}", whole.join("\n"));
    }

    #[test]
    fn steps_that_look_across_a_cut_have_no_parts() {
        let bert = || (Value::Null, json!({"type": "BertPreTokenizer"}));
        let pre_tokenizer = |step: Value| (Value::Null, step);
        let normalizer = |step: Value| (step, bert().1);
        let none = || json!([]);
        let text = "the light of the candle is good";
        assert!(is_cut(&tokenizer(bert(), none()), text, 4));
        let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": false});
        for (steps, added) in [
            (normalizer(json!({"type": "Prepend", "prepend": "▁"})), none()),
            (
                normalizer(json!({"type": "Strip", "strip_left": true, "strip_right": false})),
                none(),
            ),
            (
                normalizer(
                    json!({"type": "Replace", "pattern": {"String": "t o"}, "content": "to"}),
                ),
                none(),
            ),
            (
                normalizer(
                    json!({"type": "Replace", "pattern": {"Regex": "t.o"}, "content": "to"}),
                ),
                none(),
            ),
            (pre_tokenizer(metaspace), none()),
            (pre_tokenizer(json!({"type": "Digits", "individual_digits": true})), none()),
            (
                pre_tokenizer(
                    json!({"type": "Split", "pattern": {"String": "l"}, "behavior": "Removed", "invert": false}),
                ),
                none(),
            ),
            (bert(), json!([added("light of", 200, &[])])),
            (bert(), json!([added("the", 200, &["rstrip"])])),
            (bert(), json!([added(" ", 200, &[])])),
        ] {
            let shown = format!("{steps:?} {added}");
            assert!(!is_cut(&tokenizer(steps, added), text, 4), "{shown}");
        }
    }
}
