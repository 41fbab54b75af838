//! English texts: contractions, titles, numbers, spellings.

use std::collections::HashMap;
use std::sync::OnceLock;

use regex::Regex;

use crate::error::Result;
use crate::source::ModelFiles;
use crate::speech::normalizer::numbers::Numbers;
use crate::speech::normalizer::{
    pattern, single_spaces, split, without_brackets, without_symbols_and_diacritics,
};

/// Makes English texts alike: `normalize` of Whisper's tokenizer. Contractions and titles are written out,
/// numbers are written in digits, and spellings are American where a table of spellings is given.
#[derive(Debug, Clone, Default)]
pub struct EnglishNormalizer {
    spellings: HashMap<String, String>,
}

impl EnglishNormalizer {
    /// With a table of British spellings and their American ones.
    #[must_use]
    pub fn new(spellings: HashMap<String, String>) -> Self {
        Self { spellings }
    }

    /// With the table of a Whisper repository, `normalizer.json`; without one where there is no such file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is no table of texts.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        Ok(Self { spellings: files.json("normalizer.json")?.unwrap_or_default() })
    }

    /// The text as every other spelling of it would be.
    #[must_use]
    pub fn normalize(&self, text: &str) -> String {
        let replaced = &REPLACED.get_or_init(Replaced::new);
        let mut text = without_brackets(&text.to_lowercase());
        for (pattern, replacement) in &replaced.before {
            text = pattern.replace_all(&text, *replacement).into_owned();
        }
        text = without_symbols_and_diacritics(&text, ".%$¢€£");
        text = Numbers::new().standardize(&text);
        let words: Vec<_> = split(&text)
            .map(|word| self.spellings.get(word).map_or(word, String::as_str))
            .collect();
        text = words.join(" ");
        for (pattern, replacement) in &replaced.after {
            text = pattern.replace_all(&text, *replacement).into_owned();
        }
        single_spaces(&text)
    }
}

struct Replaced {
    before: Vec<(Regex, &'static str)>,
    after: Vec<(Regex, &'static str)>,
}

static REPLACED: OnceLock<Replaced> = OnceLock::new();

impl Replaced {
    fn new() -> Self {
        let all = |table: &[(&str, &'static str)]| {
            table.iter().map(|(from, to)| (pattern(from), *to)).collect::<Vec<_>>()
        };
        Self { before: all(&BEFORE), after: all(&AFTER) }
    }
}

/// Before symbols go, one after the other.
const BEFORE: [(&str, &str); 53] = [
    (r"\b(hmm|mm|mhm|mmm|uh|um)\b", ""),
    (r"[\s\x1c-\x1f]+'", "'"),
    // Common contractions.
    (r"\bwon't\b", "will not"),
    (r"\bcan't\b", "can not"),
    (r"\blet's\b", "let us"),
    (r"\bain't\b", "aint"),
    (r"\by'all\b", "you all"),
    (r"\bwanna\b", "want to"),
    (r"\bgotta\b", "got to"),
    (r"\bgonna\b", "going to"),
    (r"\bi'ma\b", "i am going to"),
    (r"\bimma\b", "i am going to"),
    (r"\bwoulda\b", "would have"),
    (r"\bcoulda\b", "could have"),
    (r"\bshoulda\b", "should have"),
    (r"\bma'am\b", "madam"),
    // Titles.
    (r"\bmr\b", "mister "),
    (r"\bmrs\b", "missus "),
    (r"\bst\b", "saint "),
    (r"\bdr\b", "doctor "),
    (r"\bprof\b", "professor "),
    (r"\bcapt\b", "captain "),
    (r"\bgov\b", "governor "),
    (r"\bald\b", "alderman "),
    (r"\bgen\b", "general "),
    (r"\bsen\b", "senator "),
    (r"\brep\b", "representative "),
    (r"\bpres\b", "president "),
    (r"\brev\b", "reverend "),
    (r"\bhon\b", "honorable "),
    (r"\basst\b", "assistant "),
    (r"\bassoc\b", "associate "),
    (r"\blt\b", "lieutenant "),
    (r"\bcol\b", "colonel "),
    (r"\bjr\b", "junior "),
    (r"\bsr\b", "senior "),
    (r"\besq\b", "esquire "),
    // Participles behind an apostrophe.
    (r"'d been\b", " had been"),
    (r"'s been\b", " has been"),
    (r"'d gone\b", " had gone"),
    (r"'s gone\b", " has gone"),
    (r"'d done\b", " had done"),
    (r"'s got\b", " has got"),
    // All other contractions.
    (r"n't\b", " not"),
    (r"'re\b", " are"),
    (r"'s\b", " is"),
    (r"'d\b", " would"),
    (r"'ll\b", " will"),
    (r"'t\b", " not"),
    (r"'ve\b", " have"),
    (r"'m\b", " am"),
    // Commas between digits, and periods that no digit follows.
    (r"(\d),(\d)", "${1}${2}"),
    (r"\.([^0-9]|$)", " $1"),
];

/// After numbers are written in digits.
const AFTER: [(&str, &str); 2] = [(r"[.$¢€£]([^0-9])", " $1"), (r"([^0-9])%", "$1 ")];
