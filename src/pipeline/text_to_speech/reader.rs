//! From texts to what models that speak read.

use crate::error::{Error, Result};
use crate::source::ModelFiles;
use crate::speech::{SpokenIds, VitsTokenizer};
use crate::tokenizer::CharacterTokenizer;

/// Turns texts into the ids of a model that speaks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SpeechReader {
    /// An id for each character, and one for the end: SpeechT5.
    Characters(CharacterTokenizer),
    /// An id for each character: VITS and MMS-TTS.
    Vits(VitsTokenizer),
}

impl SpeechReader {
    /// Reads the tokenizer of a model that speaks.
    ///
    /// # Errors
    ///
    /// When a file is missing or malformed.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        Ok(match files.optional("spm_char.model")? {
            Some(_) => Self::Characters(CharacterTokenizer::from_files(files)?),
            None => Self::Vits(VitsTokenizer::from_files(files)?),
        })
    }

    /// The ids of a text, or of phonemes.
    ///
    /// # Errors
    ///
    /// When the voice does not read such.
    pub fn read(&self, text: &str, is_phonemes: bool) -> Result<SpokenIds> {
        match self {
            Self::Characters(_) if is_phonemes => {
                Err(Error::option("phonemes", "this voice reads letters"))
            }
            Self::Characters(tokenizer) => {
                let (ids, unknown) = tokenizer.encode(text)?;
                Ok(SpokenIds::new(ids, unknown))
            }
            Self::Vits(tokenizer) if is_phonemes => tokenizer.encode_phonemes(text),
            Self::Vits(tokenizer) => tokenizer.encode(text),
        }
    }
}
