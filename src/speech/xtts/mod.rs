//! The tokenizer of XTTS: texts are cleaned by language and marked with it.
//!
//! Source: `TTS/tts/layers/xtts/tokenizer.py` of coqui-tts 0.28.0.

mod cleaners;
mod hangul;
mod languages;
mod numbers;

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::models::speech::Xtts;
use crate::speech::spoken::SpokenIds;
use crate::tokenizer::{EncodeOptions, Tokenizer};
use crate::warning::warn;
use languages::{Language, language};

/// Turns texts into what XTTS reads: `VoiceBpeTokenizer` of Coqui.
#[derive(Debug, Clone)]
pub struct XttsTokenizer {
    tokenizer: Tokenizer,
    /// As config.json lists them.
    languages: Vec<String>,
}

impl XttsTokenizer {
    /// The tokenizer of a model.
    #[must_use]
    pub fn of(model: &Xtts) -> Self {
        let languages = model.config().languages.clone();
        Self { tokenizer: model.tokenizer().clone(), languages }
    }

    /// The codes of the languages that the model speaks.
    #[must_use]
    pub fn languages(&self) -> &[String] {
        &self.languages
    }

    /// Characters of a text from which on it is said badly.
    ///
    /// # Errors
    ///
    /// When the model does not speak the language.
    pub fn most_characters(&self, language: &str) -> Result<usize> {
        Ok(self.known(language)?.most_characters)
    }

    /// A text as the model reads it: in lower case, with numbers, signs and abbreviations in words. Numbers that are
    /// not said in the language stay, and a [warning](crate::pipeline::on_warning) names them.
    ///
    /// # Errors
    ///
    /// When the model does not speak the language; for Chinese and Japanese in their own scripts, which are to be
    /// written in pinyin and romaji.
    pub fn clean(&self, text: &str, language: &str) -> Result<String> {
        let known = self.known(language)?;
        let cleaned = cleaners::clean(&text.trim().to_lowercase(), known)?;
        if !cleaned.numbers_left.is_empty() {
            let numbers = cleaned.numbers_left.into_iter().collect::<Vec<_>>().join(", ");
            warn(&format!(
                "XTTS wants numbers in words, and those of the language {:?} are not said here: {numbers}",
                known.code
            ));
        }
        Ok(cleaned.text)
    }

    /// The ids of a text; none where there is nothing to say in it.
    ///
    /// # Errors
    ///
    /// As for [`clean`](Self::clean).
    pub fn encode(&self, text: &str, language: &str) -> Result<Vec<u32>> {
        Ok(self.read(text, language)?.ids)
    }

    /// As [`encode`](Self::encode), with the characters that the model does not know.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn read(&self, text: &str, language: &str) -> Result<SpokenIds> {
        let known = self.known(language)?;
        let (count, most) = (text.trim().chars().count(), known.most_characters);
        if count > most {
            warn(&format!(
                "a text of {count} characters may be cut off: more than {most} are too many in the language \
                 {:?}; set `enable_text_splitting`",
                known.code
            ));
        }
        let cleaned = self.clean(text, language)?;
        if !cleaned.chars().any(char::is_alphanumeric) {
            return Ok(SpokenIds::new(Vec::new(), BTreeSet::new()));
        }
        let mark = if known.code == "zh" { "zh-cn" } else { known.code };
        let marked = format!("[{mark}]{cleaned}").replace(' ', "[SPACE]");
        let options = EncodeOptions::default().add_special_tokens(false);
        let encoding = self.tokenizer.encode_with(marked.as_str(), &options)?;
        let unknown = self.tokenizer.token_to_id("[UNK]");
        let ranges = encoding.ids.iter().zip(encoding.bytes(&marked, 0));
        let unknown = ranges.filter(|(id, _)| Some(**id) == unknown);
        let unknown = unknown.flat_map(|(_, range)| marked[range].chars()).collect();
        Ok(SpokenIds::new(encoding.ids, unknown))
    }

    fn known(&self, code: &str) -> Result<&'static Language> {
        let bare = |code: &str| code.split('-').next().map(str::to_owned);
        let is_spoken = self.languages.iter().any(|known| bare(known) == bare(code));
        language(code).filter(|_| is_spoken).ok_or_else(|| {
            let all = self.languages.join(", ");
            Error::option("language", format!("{code:?} is none that the voice speaks: {all}"))
        })
    }
}
