//! What Whisper's tokenizer knows beside ids and texts: `models/whisper/tokenization_whisper.py` of
//! transformers 4.57.

mod decode;
mod languages;
mod merge;
mod overlap;
mod words;

pub(in crate::speech) use languages::unknown;
pub use languages::{LANGUAGES, language_code, language_name};
pub use merge::{AsrMerge, AsrOutput, Stride, TimestampLevel};

use crate::error::{Error, Result};
use crate::fields::choices;
use crate::tokenizer::{EncodeOptions, Tokenizer};

choices! {
    /// What Whisper does with speech.
    WhisperTask, "task" {
        /// Writes it in its own language.
        Transcribe = "transcribe",
        /// Writes it in English.
        Translate = "translate",
    }
}

/// The tokenizer of a Whisper model.
#[derive(Debug, Clone)]
pub struct WhisperTokenizer {
    tokenizer: Tokenizer,
    start_of_transcript: u32,
    no_timestamps: u32,
    start_of_prev: Option<u32>,
    end_of_text: u32,
    /// Ascending.
    special_ids: Vec<u32>,
    language: Option<&'static str>,
    task: Option<WhisperTask>,
    predict_timestamps: bool,
}

impl WhisperTokenizer {
    /// The tokenizer of a Whisper model.
    ///
    /// # Errors
    ///
    /// When it has no `<|startoftranscript|>` and `<|notimestamps|>`.
    pub fn new(tokenizer: Tokenizer) -> Result<Self> {
        let id = |token: &str| {
            let missing = || Error::tokenizer(format!("it has no token {token}, as Whisper's has"));
            tokenizer.token_to_id(token).ok_or_else(missing)
        };
        Ok(Self {
            start_of_transcript: id("<|startoftranscript|>")?,
            no_timestamps: id("<|notimestamps|>")?,
            start_of_prev: tokenizer.token_to_id("<|startofprev|>"),
            end_of_text: match tokenizer.eos_token() {
                Some(token) => token.id,
                None => id("<|endoftext|>")?,
            },
            special_ids: tokenizer.special_ids().to_vec(),
            language: None,
            task: None,
            predict_timestamps: false,
            tokenizer,
        })
    }

    /// The tokenizer of ids and texts.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The id of `<|0.00|>`; every later one is 0.02 seconds later.
    #[must_use]
    pub fn timestamp_begin(&self) -> u32 {
        self.no_timestamps + 1
    }

    /// The same tokenizer with another prefix for the texts that a model is trained on; what is `None`
    /// stays: `set_prefix_tokens` of transformers.
    ///
    /// # Errors
    ///
    /// When Whisper knows no such language; the error suggests one.
    pub fn with_prefix(
        mut self,
        language: Option<&str>,
        task: Option<WhisperTask>,
        predict_timestamps: Option<bool>,
    ) -> Result<Self> {
        if let Some(language) = language {
            let known =
                language_code(language).ok_or_else(|| Error::option("language", unknown(language)));
            self.language = Some(known?);
        }
        self.task = task.or(self.task);
        self.predict_timestamps = predict_timestamps.unwrap_or(self.predict_timestamps);
        Ok(self)
    }

    /// What stands before the ids of a text: `<|startoftranscript|>`, language and task where they are set,
    /// and `<|notimestamps|>` unless timestamps are predicted.
    ///
    /// # Errors
    ///
    /// When the tokenizer has no token for the task.
    pub fn prefix_ids(&self) -> Result<Vec<u32>> {
        let mut ids = vec![self.start_of_transcript];
        if let Some(language) = self.language {
            let place = LANGUAGES.iter().position(|(code, _)| *code == language);
            ids.extend(
                place.and_then(|place| u32::try_from(place).ok()).map(|place| ids[0] + 1 + place),
            );
        }
        if let Some(task) = self.task {
            let token = format!("<|{task}|>");
            let missing = || Error::option("task", format!("the tokenizer has no token {token}"));
            ids.push(self.tokenizer.token_to_id(&token).ok_or_else(missing)?);
        }
        if !self.predict_timestamps {
            ids.push(self.no_timestamps);
        }
        Ok(ids)
    }

    /// The ids of a text with its prefix and its end, as a model is trained on them.
    ///
    /// # Errors
    ///
    /// As [`prefix_ids`](Self::prefix_ids), and when the text cannot be encoded.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok([self.prefix_ids()?, self.encode_plain(text)?, vec![self.end_of_text]].concat())
    }

    /// The ids of a prompt, a text that what is transcribed follows on: `get_prompt_ids` of transformers.
    ///
    /// # Errors
    ///
    /// When the text holds a special token, or the tokenizer has no `<|startofprev|>`.
    pub fn prompt_ids(&self, text: &str) -> Result<Vec<u32>> {
        let start = self.start_of_prev.ok_or_else(|| {
            Error::tokenizer("it has no token <|startofprev|>, which a prompt begins with")
        })?;
        let ids = self.encode_plain(&format!(" {}", text.trim()))?;
        if let Some(&id) = ids.iter().find(|&&id| id >= self.end_of_text) {
            let token = self.tokenizer.id_to_token(id).unwrap_or_default();
            return Err(Error::option("prompt", format!("holds the special token {token}")));
        }
        Ok([vec![start], ids].concat())
    }

    fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        let options = EncodeOptions::default().add_special_tokens(false);
        Ok(self.tokenizer.encode_with(text, &options)?.ids)
    }

    fn is_special(&self, id: u32) -> bool {
        self.special_ids.binary_search(&id).is_ok()
    }
}
