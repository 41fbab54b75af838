//! The tokenizer of VITS and MMS-TTS: one id for each character. `models/vits/tokenization_vits.py` of
//! transformers 4.57.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::source::{ModelFiles, json};
use crate::speech::spoken::SpokenIds;

/// Turns characters into ids: `VitsTokenizer` of transformers.
#[derive(Debug, Clone)]
pub struct VitsTokenizer {
    /// In the order of the file.
    vocabulary: serde_json::Map<String, Value>,
    /// Tokens at which texts are split, the longest first.
    special: Vec<String>,
    unknown: Option<u32>,
    /// What stands before and behind the phonemes of a Piper voice.
    ends: Option<[u32; 2]>,
    settings: Settings,
}

/// `tokenizer_config.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
struct Settings {
    language: Option<String>,
    add_blank: bool,
    normalize: bool,
    phonemize: bool,
    is_uroman: bool,
    tokenizer_class: Option<String>,
    pad_token: Option<Token>,
    unk_token: Option<Token>,
    bos_token: Option<Token>,
    eos_token: Option<Token>,
    added_tokens_decoder: BTreeMap<String, Token>,
}

/// A token by itself or with its settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Full { content: String },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            language: None,
            add_blank: true,
            normalize: true,
            phonemize: true,
            is_uroman: false,
            tokenizer_class: None,
            bos_token: None,
            eos_token: None,
            pad_token: Some(Token::Text("<pad>".to_owned())),
            unk_token: Some(Token::Text("<unk>".to_owned())),
            added_tokens_decoder: BTreeMap::new(),
        }
    }
}

impl Token {
    fn content(&self) -> &str {
        match self {
            Self::Text(content) | Self::Full { content } => content,
        }
    }
}

impl VitsTokenizer {
    /// Reads `vocab.json` and `tokenizer_config.json`.
    ///
    /// # Errors
    ///
    /// When the vocabulary is missing or malformed.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        let path = files.required("vocab.json", "the ids of characters")?;
        let vocabulary: serde_json::Map<String, Value> = json::read(&path)?;
        let is_id = |id: &Value| id.as_u64().is_some_and(|id| u32::try_from(id).is_ok());
        if let Some((token, id)) = vocabulary.iter().find(|(_, id)| !is_id(id)) {
            return Err(Error::malformed(&path, format!("{token:?} has the id {id}")));
        }
        let settings: Settings = match files.optional("tokenizer_config.json")? {
            None => Settings::default(),
            Some(path) => json::read(&path)?,
        };
        let tokens = settings.pad_token.iter().chain(&settings.unk_token);
        let tokens = tokens.chain(settings.added_tokens_decoder.values()).map(Token::content);
        let special: BTreeSet<&str> = tokens.filter(|token| !token.is_empty()).collect();
        let mut special: Vec<String> = special.into_iter().map(str::to_owned).collect();
        special.sort_by_key(|token| std::cmp::Reverse(token.len()));
        let mut tokenizer = Self { unknown: None, ends: None, vocabulary, special, settings };
        let id = |token: &Option<Token>| tokenizer.id(token.as_ref()?.content());
        let settings = &tokenizer.settings;
        let (unknown, start, end) =
            (id(&settings.unk_token), id(&settings.bos_token), id(&settings.eos_token));
        if settings.tokenizer_class.as_deref() == Some(PIPER) {
            let (Some(start), Some(end)) = (start, end) else {
                return Err(Error::malformed(
                    &path,
                    "a Piper voice needs `bos_token` and `eos_token`",
                ));
            };
            tokenizer.ends = Some([start, end]);
            tokenizer.special.clear();
        } else {
            tokenizer.unknown = unknown;
        }
        Ok(tokenizer)
    }

    /// The language that the voice speaks, where its files say: `eng`.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        self.settings.language.as_deref()
    }

    /// Whether the voice reads phonemes of the International Phonetic Alphabet instead of letters.
    #[must_use]
    pub fn reads_phonemes(&self) -> bool {
        self.settings.phonemize
    }

    /// The ids of a text in the letters of the language. A voice that reads phonemes takes
    /// [`encode_phonemes`](Self::encode_phonemes).
    ///
    /// # Errors
    ///
    /// When the voice reads phonemes, or Latin letters alone and the text has others (`is_uroman`): romanize the
    /// text before with uroman.
    pub fn encode(&self, text: &str) -> Result<SpokenIds> {
        if self.settings.phonemize {
            return Err(Error::input(
                "this voice reads phonemes: give phonemes (`phonemes` of the options), as espeak-ng writes them",
            ));
        }
        let mut unknown = BTreeSet::new();
        let mut text = if self.settings.normalize { self.lowercase(text) } else { text.to_owned() };
        if self.settings.language.as_deref() == Some("ron") {
            text = text.replace('ț', "ţ");
        }
        if self.settings.is_uroman
            && let Some(letter) = text.chars().find(|c| !c.is_ascii() && c.is_alphabetic())
        {
            let reason = format!(
                "this voice reads Latin letters, and the text has {letter:?}: romanize the text with uroman first"
            );
            return Err(Error::input(reason));
        }
        if self.settings.normalize {
            let known = text.chars().filter(|&c| {
                let is_known = self.id(c.encode_utf8(&mut [0; 4])).is_some();
                if !is_known && !c.is_whitespace() {
                    unknown.insert(c);
                }
                is_known
            });
            text = known.collect::<String>().trim().to_owned();
        }
        self.ids(&text, unknown)
    }

    /// The ids of phonemes, as the voice was trained on them.
    ///
    /// # Errors
    ///
    /// When the vocabulary has no token for unknown characters and the text has one.
    pub fn encode_phonemes(&self, phonemes: &str) -> Result<SpokenIds> {
        let words: Vec<_> = phonemes.split_whitespace().collect();
        self.ids(&words.join(" "), BTreeSet::new())
    }

    fn id(&self, token: &str) -> Option<u32> {
        self.vocabulary.get(token).and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok())
    }

    /// In lower case, but for what the vocabulary has in upper case.
    fn lowercase(&self, text: &str) -> String {
        let mut lower = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let words = self.vocabulary.keys().chain(&self.special);
            let known =
                words.map(String::as_str).find(|word| !word.is_empty() && rest.starts_with(word));
            let taken = known.map_or_else(|| c.len_utf8(), str::len);
            match known {
                Some(word) => lower.push_str(word),
                None => lower.extend(c.to_lowercase()),
            }
            rest = &rest[taken..];
        }
        lower
    }

    /// Each stretch between special tokens by itself, with blanks around its characters.
    fn ids(&self, text: &str, mut unknown: BTreeSet<char>) -> Result<SpokenIds> {
        let mut ids: Vec<(u32, Option<char>)> = Vec::new();
        let mut stretch: Vec<(u32, Option<char>)> = Vec::new();
        let mut rest = text;
        let blank = (BLANK, None);
        let flush = |stretch: &mut Vec<_>, ids: &mut Vec<_>| {
            if self.settings.add_blank && !stretch.is_empty() {
                ids.push(blank);
                ids.extend(stretch.drain(..).flat_map(|id| [id, blank]));
            } else {
                ids.append(stretch);
            }
        };
        while let Some(c) = rest.chars().next() {
            if let Some(token) = self.special.iter().find(|token| rest.starts_with(*token)) {
                flush(&mut stretch, &mut ids);
                ids.extend(self.id(token).or(self.unknown).map(|id| (id, None)));
                rest = &rest[token.len()..];
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match (self.id(c.encode_utf8(&mut [0; 4])), self.unknown) {
                (Some(id), _) => stretch.push((id, Some(c))),
                (None, id) => {
                    if !c.is_whitespace() {
                        unknown.insert(c);
                    }
                    stretch.extend(id.map(|id| (id, None)));
                }
            }
        }
        if let Some([start, end]) = self.ends
            && !stretch.is_empty()
        {
            ids.extend([(start, None), blank]);
            ids.extend(stretch.drain(..).flat_map(|id| [id, blank]));
            ids.push((end, None));
        }
        flush(&mut stretch, &mut ids);
        let (ids, symbols) = ids.into_iter().unzip();
        Ok(SpokenIds { symbols, ..SpokenIds::new(ids, unknown) })
    }
}

/// The class of voices that were converted from Piper's files (`docs/speech.md`).
const PIPER: &str = "PiperTokenizer";
/// What stands between characters: whatever has the first id.
const BLANK: u32 = 0;
