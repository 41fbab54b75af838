//! From texts to rows of tokens, as a `Transformer`'s settings say.

use crate::embeddings::messages::Messages;
use crate::embeddings::transformer::TransformerSettings;
use crate::error::Result;
use crate::models::ModelLimits;
use crate::source::ModelFiles;
use crate::tokenizer::{EncodeOptions, Encoding, Tokenizer, Truncation};

/// A tokenizer and the settings around it.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) tokenizer: Tokenizer,
    /// Texts go through the tokenizer's chat template.
    pub(crate) messages: Option<Messages>,
    /// The most tokens of a row.
    pub(crate) max_length: usize,
    /// The number of ids that the model has.
    vocab: usize,
}

impl Reader {
    /// For a model of such limits.
    pub(crate) fn load(
        files: &ModelFiles,
        settings: &TransformerSettings,
        limits: ModelLimits,
    ) -> Result<Self> {
        Self::new(Tokenizer::from_files(files)?, settings, limits)
    }

    pub(crate) fn new(
        mut tokenizer: Tokenizer,
        settings: &TransformerSettings,
        limits: ModelLimits,
    ) -> Result<Self> {
        if settings.lower_case {
            tokenizer = tokenizer.lower_cased()?;
        }
        let of_messages = settings.messages.as_ref();
        let stated = of_messages.and_then(|messages| messages.max_length).or(settings.max_length);
        let stated = stated.or_else(|| tokenizer.model_max_length());
        Ok(Self {
            messages: of_messages.and_then(|settings| Messages::new(&tokenizer, settings)),
            max_length: stated.unwrap_or(limits.context).min(limits.context),
            vocab: limits.vocab,
            tokenizer,
        })
    }

    /// The row of a text behind a prompt; what is cut off is its `overflowing`.
    pub(crate) fn row(&self, prompt: &str, text: &str) -> Result<Encoding> {
        let row = match &self.messages {
            Some(messages) => messages.row(prompt, &[("user", text)], self.max_length)?,
            None => {
                let options = EncodeOptions::default().truncation(Truncation::to(self.max_length));
                self.tokenizer.encode_with(format!("{prompt}{text}").as_str(), &options)?
            }
        };
        self.tokenizer.check_known(&row.ids, self.vocab)?;
        Ok(row)
    }
}
