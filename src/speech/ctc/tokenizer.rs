//! The letters of a CTC model.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::source::{ModelFiles, json};

/// The letters of a CTC model: `Wav2Vec2CTCTokenizer` of transformers.
#[derive(Debug, Clone)]
pub struct CtcTokenizer {
    ids: HashMap<String, u32>,
    tokens: HashMap<u32, String>,
    /// Tokens that are found whole in texts, the longest first, and whether without the spaces beside them:
    /// special ones, and those of several characters in `vocab.json`.
    whole: Vec<(String, bool)>,
    pub(super) special: HashSet<String>,
    /// `pad_token`: no letter.
    pub(super) blank: Option<String>,
    unknown: Option<String>,
    pub(super) delimiter: Option<String>,
    /// What stands for the delimiter in text.
    pub(super) between_words: String,
    pub(super) lower_case: bool,
    pub(super) cleans_up: bool,
}

impl CtcTokenizer {
    /// Reads `vocab.json`, and `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` where
    /// they are there.
    ///
    /// # Errors
    ///
    /// When there is no `vocab.json`, a file is malformed, or letters of several languages are given and the
    /// config names none.
    pub fn open(files: &ModelFiles) -> Result<Self> {
        Self::read(files, None)
    }

    /// As [`open`](Self::open), with the letters of one language of several (MMS): `target_lang` of
    /// transformers.
    ///
    /// # Errors
    ///
    /// When `vocab.json` does not hold the language, and as there.
    pub fn open_language(files: &ModelFiles, language: &str) -> Result<Self> {
        Self::read(files, Some(language))
    }

    fn read(files: &ModelFiles, language: Option<&str>) -> Result<Self> {
        let path = files.required("vocab.json", "the letters of the model")?;
        let vocab: Map<String, Value> = json::read(&path)?;
        let optional = |name: &str| -> Result<Map<String, Value>> {
            Ok(files.optional(name)?.map(|path| json::read(&path)).transpose()?.unwrap_or_default())
        };
        let config = optional("tokenizer_config.json")?;
        let specials = optional("special_tokens_map.json")?;
        let added = optional("added_tokens.json")?;
        let malformed = |reason: String| Error::malformed(&path, reason);
        let configured = config.get("target_lang").and_then(Value::as_str);
        let numbers = match language.or(configured) {
            Some(language) => match vocab.get(language) {
                Some(Value::Object(numbers)) => numbers,
                _ => {
                    let known: Vec<_> = vocab.keys().take(20).map(String::as_str).collect();
                    let known = known.join(", ");
                    return Err(malformed(format!("no language {language:?}, but {known} …")));
                }
            },
            None => &vocab,
        };
        let mut tokenizer = Self {
            ids: HashMap::new(),
            tokens: HashMap::new(),
            whole: Vec::new(),
            special: HashSet::new(),
            blank: None,
            unknown: None,
            delimiter: None,
            between_words: text(&config, "replace_word_delimiter_char")
                .unwrap_or_else(|| " ".to_owned()),
            lower_case: config.get("do_lower_case").and_then(Value::as_bool).unwrap_or(false),
            cleans_up: config
                .get("clean_up_tokenization_spaces")
                .and_then(Value::as_bool)
                .unwrap_or(false),
        };
        for (token, number) in numbers {
            let Some(id) = number.as_u64().and_then(|id| u32::try_from(id).ok()) else {
                let advice = "where letters are given for several languages, choose one";
                return Err(malformed(format!("{token:?} has the number {number}; {advice}")));
            };
            tokenizer.insert(token, id);
        }
        for (token, number) in &added {
            if let Some(id) = number.as_u64().and_then(|id| u32::try_from(id).ok()) {
                tokenizer.insert(token, id);
            }
        }
        if let Some(Value::Object(added)) = config.get("added_tokens_decoder") {
            for (number, token) in added {
                if let (Ok(id), Some(token)) = (number.parse(), content(token)) {
                    tokenizer.insert(&token, id);
                }
            }
        }
        tokenizer.read_specials(&config, &specials);
        let is_whole = |token: &String| {
            let is_letters = numbers.contains_key(token);
            let whole = is_letters && token.chars().nth(1).is_some();
            (whole || !is_letters).then(|| (token.clone(), is_letters))
        };
        tokenizer.whole = tokenizer.ids.keys().filter_map(is_whole).collect();
        tokenizer.whole.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then(a.cmp(b)));
        Ok(tokenizer)
    }

    /// Special tokens, and their ids: those without one get the next.
    fn read_specials(&mut self, config: &Map<String, Value>, specials: &Map<String, Value>) {
        let named =
            |name: &str, default: &str| match config.get(name).or_else(|| specials.get(name)) {
                None => Some(default.to_owned()),
                Some(token) => content(token),
            };
        let begin = named("bos_token", "<s>");
        let end = named("eos_token", "</s>");
        self.unknown = named("unk_token", "<unk>");
        self.blank = named("pad_token", "<pad>");
        self.delimiter = named("word_delimiter_token", "|");
        let additional = |fields: &Map<String, Value>| match fields.get("additional_special_tokens")
        {
            Some(Value::Array(tokens)) => tokens.iter().filter_map(content).collect(),
            _ => Vec::new(),
        };
        let mut additional = [additional(config), additional(specials)];
        let [of_config, of_map] = &mut additional;
        if of_config.is_empty() {
            of_config.append(of_map);
        }
        let named = [begin, end, self.unknown.clone(), self.blank.clone()];
        for token in named.into_iter().flatten().chain(additional.into_iter().flatten()) {
            if !self.ids.contains_key(&token) {
                self.insert(&token, self.ids.len() as u32);
            }
            self.special.insert(token);
        }
    }

    fn insert(&mut self, token: &str, id: u32) {
        self.ids.insert(token.to_owned(), id);
        self.tokens.insert(id, token.to_owned());
    }

    /// The token of an id.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(&id).map(String::as_str)
    }

    /// The id of a token.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// The id that means no letter.
    #[must_use]
    pub fn blank_id(&self) -> Option<u32> {
        self.id(self.blank.as_deref()?)
    }

    /// The id between words.
    #[must_use]
    pub fn delimiter_id(&self) -> Option<u32> {
        self.id(self.delimiter.as_deref()?)
    }

    pub(super) fn token_or_unknown(&self, id: u32) -> &str {
        self.token(id).or(self.unknown.as_deref()).unwrap_or_default()
    }

    /// The ids of a text, a letter each, with a delimiter for each space; what is no letter of the model is
    /// unknown. Tokens of several characters are found whole, those of `vocab.json` without the spaces beside
    /// them.
    #[must_use]
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut rest = text;
        loop {
            let found = self.whole.iter().filter_map(|(token, strips)| {
                Some((rest.find(token)?, std::cmp::Reverse(token.len()), token, *strips))
            });
            let Some((at, _, token, strips)) = found.min() else {
                self.letters(rest, &mut ids);
                return ids;
            };
            let (before, after) = (&rest[..at], &rest[at + token.len()..]);
            self.letters(if strips { before.trim_end() } else { before }, &mut ids);
            ids.extend(self.id(token));
            rest = if strips { after.trim_start() } else { after };
        }
    }

    /// The ids of letters alone.
    fn letters(&self, text: &str, ids: &mut Vec<u32>) {
        let unknown = self.unknown.as_deref().and_then(|token| self.id(token));
        let text = match self.lower_case {
            true => text.to_lowercase().to_uppercase(),
            false => text.to_owned(),
        };
        for letter in text.chars() {
            let id = match (letter, self.delimiter.as_deref()) {
                (' ', Some(delimiter)) => self.id(delimiter),
                (letter, _) => self.id(letter.encode_utf8(&mut [0; 4])),
            };
            ids.extend(id.or(unknown));
        }
    }
}

/// A token that is given as text or as an object with its content.
fn content(token: &Value) -> Option<String> {
    match token {
        Value::String(token) => Some(token.clone()),
        Value::Object(fields) => text(fields, "content"),
        _ => None,
    }
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).map(str::to_owned)
}
